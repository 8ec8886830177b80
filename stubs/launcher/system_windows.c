/* System, as Windows has it. See system.h. */
#include "windows_files.h"

#include <fcntl.h>
#include <io.h>
#include <stdlib.h>
#include <string.h>

enum {
    RETRIES = 10,
    RETRY_MILLISECONDS = 20,
    WRITE_STEP_BYTES = 1 << 24,
};

static DWORD last_error;
static UINT console_page;

void lfbuild_windows_keep(DWORD error) {
    last_error = error;
}

bool lfbuild_windows_failed(void) {
    last_error = GetLastError();
    return false;
}

bool lfbuild_windows_widen(const char *text, struct lfbuild_wide *wide) {
    return MultiByteToWideChar(CP_UTF8, 0, text, -1, wide->text, LFBUILD_PATH_CAPACITY_BYTES) > 0 ||
           lfbuild_windows_failed();
}

bool lfbuild_windows_narrow(const wchar_t *wide, char *text) {
    return WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, LFBUILD_PATH_CAPACITY_BYTES, NULL, NULL) > 0 ||
           lfbuild_windows_failed();
}

const char *lfbuild_system_problem(void) {
    static char words[64];
    switch (last_error) {
    case ERROR_ACCESS_DENIED:
        return "access denied";
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
        return "it is not there";
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL:
        return "the disk is full";
    case ERROR_WRITE_PROTECT:
        return "it is write-protected";
    case ERROR_SHARING_VIOLATION:
        return "another program uses it";
    case ERROR_VIRUS_INFECTED:
        return "a virus scanner forbids it";
    case ERROR_ACCESS_DISABLED_BY_POLICY:
        return "a policy forbids it";
    default:
        snprintf(words, sizeof words, "Windows error %lu", last_error);
        return words;
    }
}

bool lfbuild_system_program(char *path) {
    struct lfbuild_wide wide;
    DWORD length = GetModuleFileNameW(NULL, wide.text, LFBUILD_PATH_CAPACITY_BYTES);
    return length > 0 && length < LFBUILD_PATH_CAPACITY_BYTES && lfbuild_windows_narrow(wide.text, path);
}

const char *lfbuild_system_variable(const char *name) {
    char *value = lfbuild_platform_variable(name); /* kept to the end of the process */
    return value && value[0] ? value : NULL;
}

bool lfbuild_system_set_variable(const char *name, const char *value) {
    struct lfbuild_wide wide_name, wide_value;
    return lfbuild_windows_widen(name, &wide_name) && lfbuild_windows_widen(value, &wide_value) &&
           (SetEnvironmentVariableW(wide_name.text, wide_value.text) || lfbuild_windows_failed());
}

bool lfbuild_system_absolute(const char *path, char *absolute) {
    struct lfbuild_wide wide, full;
    if (!lfbuild_windows_widen(path, &wide)) {
        return false;
    }
    DWORD length = GetFullPathNameW(wide.text, LFBUILD_PATH_CAPACITY_BYTES, full.text, NULL);
    return length > 0 && length < LFBUILD_PATH_CAPACITY_BYTES && lfbuild_windows_narrow(full.text, absolute);
}

bool lfbuild_system_exists(const char *path) {
    struct lfbuild_wide wide;
    return lfbuild_windows_widen(path, &wide) && GetFileAttributesW(wide.text) != INVALID_FILE_ATTRIBUTES;
}

/* Windows puts \\?\ before such a path, and \\?\UNC before the two of a server's. */
static const wchar_t *plain_path(wchar_t *path) {
    static const wchar_t start[] = L"\\\\?\\", server[] = L"\\\\?\\UNC\\";
    if (wcsncmp(path, server, wcslen(server)) == 0) {
        path[wcslen(server) - 2] = L'\\';
        return path + wcslen(server) - 2;
    }
    return wcsncmp(path, start, wcslen(start)) == 0 ? path + wcslen(start) : path;
}

void lfbuild_system_follow_links(char *path) {
    struct lfbuild_wide wide, real;
    HANDLE handle = INVALID_HANDLE_VALUE;
    if (lfbuild_windows_widen(path, &wide)) {
        handle = CreateFileW(wide.text, 0, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
                             FILE_ATTRIBUTE_NORMAL, NULL);
    }
    if (handle == INVALID_HANDLE_VALUE) {
        return;
    }
    DWORD length = GetFinalPathNameByHandleW(handle, real.text, LFBUILD_PATH_CAPACITY_BYTES, VOLUME_NAME_DOS);
    CloseHandle(handle);
    char plain[LFBUILD_PATH_CAPACITY_BYTES];
    if (length > 0 && length < LFBUILD_PATH_CAPACITY_BYTES && lfbuild_windows_narrow(plain_path(real.text), plain)) {
        strcpy(path, plain);
    }
}

const char *lfbuild_system_last_part(const char *path) {
    const char *last = path;
    for (; *path; path++) {
        last = strchr("/\\:", *path) ? path + 1 : last;
    }
    return last;
}

unsigned lfbuild_system_user(void) {
    return 0;
}

static void restore_console(void) {
    SetConsoleOutputCP(console_page);
}

void lfbuild_system_prepare_stdout(void) {
    _setmode(_fileno(stdout), _O_BINARY);
    console_page = GetConsoleOutputCP();
    if (console_page) {
        atexit(restore_console);
        SetConsoleOutputCP(CP_UTF8);
    }
}

int lfbuild_windows_descriptor(HANDLE handle, int flags) {
    int fd = _open_osfhandle((intptr_t)handle, flags | _O_BINARY | _O_NOINHERIT);
    if (fd < 0) {
        CloseHandle(handle);
    }
    return fd;
}

int lfbuild_windows_create(const wchar_t *path) {
    HANDLE handle = CreateFileW(path, GENERIC_WRITE, 0, NULL, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
    if (handle == INVALID_HANDLE_VALUE) {
        lfbuild_windows_failed();
        return -1;
    }
    return lfbuild_windows_descriptor(handle, _O_WRONLY);
}

/* A virus scanner may hold a new file for a moment. */
bool lfbuild_windows_move(const wchar_t *old_path, const wchar_t *new_path, DWORD flags) {
    for (int i = 0; i < RETRIES; i++) {
        if (MoveFileExW(old_path, new_path, flags)) {
            return true;
        }
        lfbuild_windows_failed();
        if (last_error != ERROR_ACCESS_DENIED && last_error != ERROR_SHARING_VIOLATION) {
            break;
        }
        Sleep(RETRY_MILLISECONDS);
    }
    return false;
}

int lfbuild_system_create(const char *path) {
    struct lfbuild_wide wide;
    return lfbuild_windows_widen(path, &wide) ? lfbuild_windows_create(wide.text) : -1;
}

bool lfbuild_system_rename(const char *old_path, const char *new_path) {
    struct lfbuild_wide wide_old, wide_new;
    return lfbuild_windows_widen(old_path, &wide_old) && lfbuild_windows_widen(new_path, &wide_new) &&
           lfbuild_windows_move(wide_old.text, wide_new.text, 0);
}

void lfbuild_system_remove(const char *path) {
    struct lfbuild_wide wide;
    if (lfbuild_windows_widen(path, &wide)) {
        DeleteFileW(wide.text);
    }
}

bool lfbuild_system_write(int fd, const void *bytes, size_t size_bytes) {
    const char *source = bytes;
    while (size_bytes > 0) {
        DWORD step = size_bytes < WRITE_STEP_BYTES ? (DWORD)size_bytes : WRITE_STEP_BYTES, written;
        if (!WriteFile((HANDLE)_get_osfhandle(fd), source, step, &written, NULL)) {
            return lfbuild_windows_failed();
        }
        source += written;
        size_bytes -= written;
    }
    return true;
}

bool lfbuild_system_finish(int fd) {
    return _close(fd) == 0 || lfbuild_windows_failed();
}

int lfbuild_system_memory_file(void) {
    last_error = ERROR_NOT_SUPPORTED;
    return -1;
}

bool lfbuild_system_seal(int fd) {
    (void)fd;
    return false;
}
