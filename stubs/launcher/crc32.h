/* CRC-32 as ZIP has it (reflected, polynomial 0xedb88320). */
#ifndef LFBUILD_LAUNCHER_CRC32_H
#define LFBUILD_LAUNCHER_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Start with 0; the result of one piece is the start of the next. */
uint32_t lfbuild_crc32(uint32_t crc, const unsigned char *bytes, size_t size_bytes);

#endif
