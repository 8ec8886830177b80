/* CRC-32: see crc32.h. Eight bytes at a time, so that 20 GB are read as fast as most disks give them. */
#include "crc32.h"

enum {
    SLICES = 8,
};

static uint32_t table[SLICES][256];

static void fill_table(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
        table[0][byte] = crc;
    }
    for (int slice = 1; slice < SLICES; slice++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = table[slice - 1][byte];
            table[slice][byte] = before >> 8 ^ table[0][before & 0xff];
        }
    }
}

uint32_t lfbuild_crc32(uint32_t crc, const unsigned char *bytes, size_t size_bytes) {
    if (!table[0][1]) {
        fill_table();
    }
    crc = ~crc;
    for (; size_bytes >= SLICES; bytes += SLICES, size_bytes -= SLICES) {
        uint32_t low = crc ^ (bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24);
        crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^ table[4][low >> 24] ^
              table[3][bytes[4]] ^ table[2][bytes[5]] ^ table[1][bytes[6]] ^ table[0][bytes[7]];
    }
    for (; size_bytes > 0; bytes++, size_bytes--) {
        crc = crc >> 8 ^ table[0][(crc ^ *bytes) & 0xff];
    }
    return ~crc;
}
