/* System, as Windows has it. See system.h. */
#include "system.h"

#include <fcntl.h>
#include <io.h>
#include <stdlib.h>
#include <string.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <aclapi.h>
#include <ntsecapi.h>
#include <sddl.h>

#define NEW_FILE_START ".new-"

/* A folder for its owner alone: nothing is inherited, and what is made in it has the same. */
#define PRIVATE_SDDL L"D:P(A;OICI;FA;;;OW)(A;OICI;FA;;;SY)"

enum {
    RETRIES = 10,
    RETRY_MILLISECONDS = 20,
    WRITE_STEP_BYTES = 1 << 24,
    SID_CAPACITY_BYTES = 256,
};

#define DAY_IN_FILETIME_UNITS (24ull * 60 * 60 * 10000000)

/* What others could use to change a folder or to put a library beside an engine, which Windows would load with it. */
#define WRITE_RIGHTS                                                                                                   \
    (FILE_ADD_FILE | FILE_ADD_SUBDIRECTORY | FILE_DELETE_CHILD | WRITE_DAC | WRITE_OWNER | GENERIC_WRITE | GENERIC_ALL)

static DWORD last_error;
static UINT console_page;

static bool failed(void) {
    last_error = GetLastError();
    return false;
}

struct wide {
    wchar_t text[LFBUILD_PATH_CAPACITY_BYTES];
};

static bool widen(const char *text, struct wide *wide) {
    return MultiByteToWideChar(CP_UTF8, 0, text, -1, wide->text, LFBUILD_PATH_CAPACITY_BYTES) > 0 || failed();
}

static bool narrow(const wchar_t *wide, char *text) {
    return WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, LFBUILD_PATH_CAPACITY_BYTES, NULL, NULL) > 0 || failed();
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
    struct wide wide;
    DWORD length = GetModuleFileNameW(NULL, wide.text, LFBUILD_PATH_CAPACITY_BYTES);
    return length > 0 && length < LFBUILD_PATH_CAPACITY_BYTES && narrow(wide.text, path);
}

const char *lfbuild_system_variable(const char *name) {
    char *value = lfbuild_platform_variable(name); /* kept to the end of the process */
    return value && value[0] ? value : NULL;
}

bool lfbuild_system_set_variable(const char *name, const char *value) {
    struct wide wide_name, wide_value;
    return widen(name, &wide_name) && widen(value, &wide_value) &&
           (SetEnvironmentVariableW(wide_name.text, wide_value.text) || failed());
}

bool lfbuild_system_absolute(const char *path, char *absolute) {
    struct wide wide, full;
    DWORD length = widen(path, &wide) ? GetFullPathNameW(wide.text, LFBUILD_PATH_CAPACITY_BYTES, full.text, NULL) : 0;
    return length > 0 && length < LFBUILD_PATH_CAPACITY_BYTES && narrow(full.text, absolute);
}

bool lfbuild_system_exists(const char *path) {
    struct wide wide;
    return widen(path, &wide) && GetFileAttributesW(wide.text) != INVALID_FILE_ATTRIBUTES;
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

static bool make_folder(const wchar_t *path) {
    SECURITY_ATTRIBUTES access = {.nLength = sizeof access};
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(PRIVATE_SDDL, SDDL_REVISION_1,
                                                              &access.lpSecurityDescriptor, NULL)) {
        return failed();
    }
    bool made = CreateDirectoryW(path, &access) || GetLastError() == ERROR_ALREADY_EXISTS || failed();
    LocalFree(access.lpSecurityDescriptor);
    return made;
}

static bool make_folders(wchar_t *path, unsigned levels) {
    if (make_folder(path)) {
        return true;
    }
    wchar_t *slash = wcsrchr(path, L'\\');
    if (last_error != ERROR_PATH_NOT_FOUND || levels <= 1 || !slash || slash == path) {
        return false;
    }
    *slash = L'\0';
    bool made = make_folders(path, levels - 1);
    *slash = L'\\';
    return made && make_folder(path);
}

static bool is_any(PSID sid, const WELL_KNOWN_SID_TYPE *types, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (IsWellKnownSid(sid, types[i])) {
            return true;
        }
    }
    return false;
}

/* The user, or who may do everything anyway: an administrator's files belong to the group. */
static bool is_trusted_owner(PSID owner) {
    static const WELL_KNOWN_SID_TYPE types[] = {WinBuiltinAdministratorsSid, WinLocalSystemSid};
    union {
        TOKEN_USER user;
        unsigned char bytes[SID_CAPACITY_BYTES];
    } token;
    HANDLE handle;
    DWORD size_bytes;
    bool is_user = false;
    if (OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &handle)) {
        is_user = GetTokenInformation(handle, TokenUser, &token, sizeof token, &size_bytes) &&
                  EqualSid(owner, token.user.User.Sid);
        CloseHandle(handle);
    }
    return is_user || is_any(owner, types, sizeof types / sizeof types[0]);
}

static bool lets_others_write(PACL list) {
    static const WELL_KNOWN_SID_TYPE types[] = {WinWorldSid,        WinAuthenticatedUserSid, WinBuiltinUsersSid,
                                                WinInteractiveSid,  WinBuiltinGuestsSid,     WinAnonymousSid,
                                                WinNetworkSid};
    if (!list) {
        return true; /* no list at all: everybody may do everything */
    }
    for (DWORD i = 0; i < list->AceCount; i++) {
        ACCESS_ALLOWED_ACE *entry;
        if (GetAce(list, i, (void **)&entry) && entry->Header.AceType == ACCESS_ALLOWED_ACE_TYPE &&
            !(entry->Header.AceFlags & INHERIT_ONLY_ACE) && (entry->Mask & WRITE_RIGHTS) &&
            is_any(&entry->SidStart, types, sizeof types / sizeof types[0])) {
            return true;
        }
    }
    return false;
}

static const char *check_folder(wchar_t *path) {
    DWORD attributes = GetFileAttributesW(path);
    if (attributes == INVALID_FILE_ATTRIBUTES) {
        failed();
        return lfbuild_system_problem();
    }
    if (!(attributes & FILE_ATTRIBUTE_DIRECTORY) || (attributes & FILE_ATTRIBUTE_REPARSE_POINT)) {
        return "it is no folder";
    }
    PSID owner;
    PACL list;
    PSECURITY_DESCRIPTOR facts;
    last_error = GetNamedSecurityInfoW(path, SE_FILE_OBJECT, OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                                       &owner, NULL, &list, NULL, &facts);
    if (last_error != ERROR_SUCCESS) {
        return lfbuild_system_problem();
    }
    const char *problem = !is_trusted_owner(owner)  ? "it belongs to another user"
                          : lets_others_write(list) ? "others may write to it"
                                                    : NULL;
    LocalFree(facts);
    return problem;
}

const char *lfbuild_folder_open(const char *path, unsigned levels, struct lfbuild_folder *folder) {
    struct wide wide;
    if (!lfbuild_system_absolute(path, folder->path) || !widen(folder->path, &wide)) {
        return "it is no path";
    }
    const char *unmade = make_folders(wide.text, levels) ? NULL : lfbuild_system_problem();
    const char *problem = check_folder(wide.text);
    return problem && unmade ? unmade : problem;
}

void lfbuild_folder_close(struct lfbuild_folder *folder) {
    (void)folder;
}

static bool path_in(const struct lfbuild_folder *folder, const char *name, struct wide *wide) {
    char path[LFBUILD_PATH_CAPACITY_BYTES];
    int length = snprintf(path, sizeof path, "%s\\%s", folder->path, name);
    return length > 0 && (size_t)length < sizeof path && widen(path, wide);
}

/* Takes the handle over. */
static int descriptor_of(HANDLE handle, int flags) {
    int fd = _open_osfhandle((intptr_t)handle, flags | _O_BINARY | _O_NOINHERIT);
    if (fd < 0) {
        CloseHandle(handle);
    }
    return fd;
}

const char *lfbuild_folder_open_file(const struct lfbuild_folder *folder, const char *name, int *fd) {
    struct wide wide;
    if (!path_in(folder, name, &wide)) {
        return lfbuild_system_problem();
    }
    /* Shared for reading only: while it is open, nobody can write to it, remove it or put another in its place. */
    HANDLE handle = CreateFileW(wide.text, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING,
                                FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    if (handle == INVALID_HANDLE_VALUE) {
        failed();
        return lfbuild_system_problem();
    }
    BY_HANDLE_FILE_INFORMATION facts;
    if (!GetFileInformationByHandle(handle, &facts) ||
        (facts.dwFileAttributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT))) {
        CloseHandle(handle);
        return "it is no regular file";
    }
    *fd = descriptor_of(handle, _O_RDONLY);
    return *fd < 0 ? "too many files are open" : NULL;
}

static bool make_name(char *name) {
    unsigned char random[8];
    if (!RtlGenRandom(random, sizeof random)) {
        return failed();
    }
    size_t used = (size_t)snprintf(name, LFBUILD_NAME_CAPACITY_BYTES, "%s", NEW_FILE_START);
    for (size_t i = 0; i < sizeof random; i++) {
        used += (size_t)snprintf(name + used, LFBUILD_NAME_CAPACITY_BYTES - used, "%02x", random[i]);
    }
    return true;
}

static int create(const wchar_t *path) {
    HANDLE handle = CreateFileW(path, GENERIC_WRITE, 0, NULL, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
    if (handle == INVALID_HANDLE_VALUE) {
        failed();
        return -1;
    }
    return descriptor_of(handle, _O_WRONLY);
}

int lfbuild_folder_create(const struct lfbuild_folder *folder, char *name, const char **problem) {
    struct wide wide;
    int fd = make_name(name) && path_in(folder, name, &wide) ? create(wide.text) : -1;
    *problem = fd < 0 ? lfbuild_system_problem() : NULL;
    return fd;
}

/* A virus scanner may hold a new file for a moment. */
static bool move(const wchar_t *old_path, const wchar_t *new_path, DWORD flags) {
    for (int i = 0; i < RETRIES; i++) {
        if (MoveFileExW(old_path, new_path, flags)) {
            return true;
        }
        failed();
        if (last_error != ERROR_ACCESS_DENIED && last_error != ERROR_SHARING_VIOLATION) {
            break;
        }
        Sleep(RETRY_MILLISECONDS);
    }
    return false;
}

bool lfbuild_folder_rename(const struct lfbuild_folder *folder, const char *old_name, const char *new_name) {
    struct wide old_path, new_path;
    return path_in(folder, old_name, &old_path) && path_in(folder, new_name, &new_path) &&
           move(old_path.text, new_path.text, MOVEFILE_REPLACE_EXISTING);
}

void lfbuild_folder_remove(const struct lfbuild_folder *folder, const char *name) {
    struct wide wide;
    if (path_in(folder, name, &wide)) {
        DeleteFileW(wide.text);
    }
}

static uint64_t filetime(FILETIME time) {
    return (uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime;
}

void lfbuild_folder_sweep(const struct lfbuild_folder *folder) {
    struct wide pattern, wide;
    WIN32_FIND_DATAW found;
    HANDLE search = path_in(folder, NEW_FILE_START "*", &pattern) ? FindFirstFileW(pattern.text, &found)
                                                                  : INVALID_HANDLE_VALUE;
    if (search == INVALID_HANDLE_VALUE) {
        return;
    }
    FILETIME now;
    GetSystemTimeAsFileTime(&now);
    do {
        char name[LFBUILD_PATH_CAPACITY_BYTES];
        if (filetime(found.ftLastWriteTime) + DAY_IN_FILETIME_UNITS < filetime(now) && narrow(found.cFileName, name) &&
            path_in(folder, name, &wide)) {
            DeleteFileW(wide.text);
        }
    } while (FindNextFileW(search, &found));
    FindClose(search);
}

int lfbuild_system_create(const char *path) {
    struct wide wide;
    return widen(path, &wide) ? create(wide.text) : -1;
}

bool lfbuild_system_rename(const char *old_path, const char *new_path) {
    struct wide wide_old, wide_new;
    return widen(old_path, &wide_old) && widen(new_path, &wide_new) && move(wide_old.text, wide_new.text, 0);
}

void lfbuild_system_remove(const char *path) {
    struct wide wide;
    if (widen(path, &wide)) {
        DeleteFileW(wide.text);
    }
}

bool lfbuild_system_write(int fd, const void *bytes, size_t size_bytes) {
    const char *source = bytes;
    while (size_bytes > 0) {
        DWORD step = size_bytes < WRITE_STEP_BYTES ? (DWORD)size_bytes : WRITE_STEP_BYTES, written;
        if (!WriteFile((HANDLE)_get_osfhandle(fd), source, step, &written, NULL)) {
            return failed();
        }
        source += written;
        size_bytes -= written;
    }
    return true;
}

bool lfbuild_system_finish(int fd) {
    return _close(fd) == 0;
}

int lfbuild_system_memory_file(void) {
    last_error = ERROR_NOT_SUPPORTED;
    return -1;
}

bool lfbuild_system_seal(int fd) {
    (void)fd;
    return false;
}

void lfbuild_system_set_problem(unsigned long error) {
    last_error = error;
}
