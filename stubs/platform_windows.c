/* Platform, as Windows has it. See platform.h.
 *
 * Paths and all other text are UTF-8 on this side and UTF-16 on the system's, so the machine's code page never counts.
 * A descriptor is the C runtime's, since stdio stands on it; below it is a HANDLE.
 */
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <shellapi.h>

enum {
    MODE_CAPACITY = 8,
    STEP_BYTES = 1 << 30, /* ReadFile counts in 32 bits */
};

/* The byte that stands for the whole file in locks: docs/formats/launch.md. A lock on Windows keeps others from reading
 * what it covers, so it covers one byte that no file has. */
#define LOCK_OFFSET_HIGH 0x40000000u

/* To be freed; NULL with errno. */
static wchar_t *to_wide(const char *text) {
    int length = MultiByteToWideChar(CP_UTF8, 0, text, -1, NULL, 0);
    wchar_t *wide = length > 0 ? malloc((size_t)length * sizeof *wide) : NULL;
    if (wide) {
        MultiByteToWideChar(CP_UTF8, 0, text, -1, wide, length);
    } else {
        errno = length > 0 ? ENOMEM : EINVAL;
    }
    return wide;
}

/* To be freed. */
static char *to_utf8(const wchar_t *wide) {
    int size_bytes = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
    char *text = size_bytes > 0 ? malloc((size_t)size_bytes) : NULL;
    if (text) {
        WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, size_bytes, NULL, NULL);
    }
    return text;
}

static int error_number(DWORD error) {
    switch (error) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME:
    case ERROR_INVALID_DRIVE:
    case ERROR_BAD_NETPATH:
    case ERROR_BAD_NET_NAME:
        return ENOENT;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION:
        return EACCES;
    case ERROR_TOO_MANY_OPEN_FILES:
        return EMFILE;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
        return ENOMEM;
    default:
        return EIO;
    }
}

static HANDLE handle_of(int fd) {
    return (HANDLE)_get_osfhandle(fd);
}

/* Takes the handle over. */
static int descriptor_of(HANDLE handle) {
    int fd = _open_osfhandle((intptr_t)handle, _O_RDONLY | _O_BINARY | _O_NOINHERIT);
    if (fd < 0) {
        CloseHandle(handle);
    }
    return fd;
}

int lfbuild_platform_open(const char *path) {
    wchar_t *wide = to_wide(path);
    if (!wide) {
        return -1;
    }
    /* Shared for deleting too: an update may move a file aside that is in use. */
    HANDLE handle = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                                OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    DWORD error = GetLastError();
    free(wide);
    if (handle == INVALID_HANDLE_VALUE) {
        errno = error_number(error);
        return -1;
    }
    return descriptor_of(handle);
}

void lfbuild_platform_close(int fd) {
    int error = errno; /* callers report the error that made them close */
    _close(fd);
    errno = error;
}

int64_t lfbuild_platform_size(int fd) {
    LARGE_INTEGER size_bytes;
    if (GetFileType(handle_of(fd)) != FILE_TYPE_DISK || !GetFileSizeEx(handle_of(fd), &size_bytes)) {
        return -1;
    }
    return size_bytes.QuadPart;
}

static bool read_step(HANDLE handle, char *target, DWORD size_bytes, uint64_t offset, DWORD *got) {
    OVERLAPPED where = {.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
    return ReadFile(handle, target, size_bytes, got, &where) && *got > 0;
}

bool lfbuild_platform_read_at(int fd, void *bytes, size_t size_bytes, uint64_t offset) {
    HANDLE handle = handle_of(fd);
    /* Such a read moves the handle's position, on which a stream may stand. */
    LARGE_INTEGER nowhere = {.QuadPart = 0}, before;
    bool keeps = SetFilePointerEx(handle, nowhere, &before, FILE_CURRENT);
    char *target = bytes;
    while (size_bytes > 0) {
        DWORD got;
        if (!read_step(handle, target, size_bytes < STEP_BYTES ? (DWORD)size_bytes : STEP_BYTES, offset, &got)) {
            errno = EIO;
            break;
        }
        target += got;
        offset += got;
        size_bytes -= got;
    }
    return keeps && SetFilePointerEx(handle, before, NULL, FILE_BEGIN) && size_bytes == 0;
}

enum lfbuild_lock lfbuild_platform_lock_shared(int fd) {
    OVERLAPPED where = {.OffsetHigh = LOCK_OFFSET_HIGH};
    if (LockFileEx(handle_of(fd), LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &where)) {
        return LFBUILD_LOCK_HELD;
    }
    return GetLastError() == ERROR_LOCK_VIOLATION ? LFBUILD_LOCK_BUSY : LFBUILD_LOCK_UNSUPPORTED;
}

FILE *lfbuild_platform_fopen(const char *path, const char *mode) {
    wchar_t wide_mode[MODE_CAPACITY];
    if (!MultiByteToWideChar(CP_UTF8, 0, mode, -1, wide_mode, MODE_CAPACITY)) {
        errno = EINVAL;
        return NULL;
    }
    wchar_t *wide = to_wide(path);
    FILE *stream = wide ? _wfopen(wide, wide_mode) : NULL;
    free(wide);
    return stream;
}

FILE *lfbuild_platform_stream(int fd) {
    return _fdopen(fd, "rb");
}

int lfbuild_platform_seek(FILE *stream, int64_t offset, int whence) {
    return _fseeki64(stream, offset, whence);
}

int64_t lfbuild_platform_tell(FILE *stream) {
    return _ftelli64(stream);
}

int lfbuild_platform_duplicate(int fd) {
    HANDLE self = GetCurrentProcess(), copy;
    if (!DuplicateHandle(self, handle_of(fd), self, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS)) {
        errno = error_number(GetLastError());
        return -1;
    }
    return descriptor_of(copy);
}

size_t lfbuild_platform_map_granularity_bytes(void) {
    SYSTEM_INFO facts;
    GetSystemInfo(&facts);
    return facts.dwAllocationGranularity;
}

/* Takes `path` over. */
static bool place_path(struct lfbuild_own_file *own, char *path) {
    size_t size_bytes = path ? strlen(path) + 1 : 0;
    bool fits = size_bytes > 0 && size_bytes <= LFBUILD_PATH_CAPACITY_BYTES;
    if (fits) {
        memcpy(own->opens, path, size_bytes);
        memcpy(own->shows, path, size_bytes);
    }
    free(path);
    return fits;
}

bool lfbuild_platform_executable(struct lfbuild_own_file *own) {
    wchar_t wide[LFBUILD_PATH_CAPACITY_BYTES];
    DWORD length = GetModuleFileNameW(NULL, wide, LFBUILD_PATH_CAPACITY_BYTES);
    return length > 0 && length < LFBUILD_PATH_CAPACITY_BYTES && place_path(own, to_utf8(wide));
}

bool lfbuild_platform_own_file(struct lfbuild_own_file *own) {
    char *named = lfbuild_platform_variable("LFBUILD_FILE");
    if (named && named[0]) {
        return place_path(own, named);
    }
    free(named);
    return lfbuild_platform_executable(own);
}

char *lfbuild_platform_variable(const char *name) {
    wchar_t *wide_name = to_wide(name);
    DWORD capacity = wide_name ? GetEnvironmentVariableW(wide_name, NULL, 0) : 0;
    wchar_t *wide = capacity ? malloc(capacity * sizeof *wide) : NULL;
    /* One that another thread makes longer meanwhile counts as not set. */
    char *value = wide && GetEnvironmentVariableW(wide_name, wide, capacity) < capacity ? to_utf8(wide) : NULL;
    free(wide);
    free(wide_name);
    return value;
}

bool lfbuild_platform_arguments(int *argc, char ***argv) {
    int count = 0;
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &count);
    char **words = wide ? calloc((size_t)count + 1, sizeof *words) : NULL;
    bool complete = words != NULL;
    for (int i = 0; complete && i < count; i++) {
        words[i] = to_utf8(wide[i]);
        complete = words[i] != NULL;
    }
    LocalFree(wide);
    if (complete) { /* else what is there is left to the end of the process, which is near */
        *argc = count;
        *argv = words;
    }
    return complete;
}

/* A console shows UTF-16 as it is meant, and bytes by its code page; a file or a pipe gets UTF-8. */
static bool tell_console(const char *line) {
    HANDLE console = GetStdHandle(STD_ERROR_HANDLE);
    DWORD mode, written;
    wchar_t *wide = GetConsoleMode(console, &mode) ? to_wide(line) : NULL;
    bool told = wide && WriteConsoleW(console, wide, (DWORD)wcslen(wide), &written, NULL) &&
                WriteConsoleW(console, L"\r\n", 2, &written, NULL);
    free(wide);
    return told;
}

void lfbuild_platform_tell_user(const char *line) {
    fflush(stderr);
    if (!tell_console(line)) {
        fprintf(stderr, "%s\n", line);
        fflush(stderr);
    }
}
