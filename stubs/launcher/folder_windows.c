/* Folders, as Windows has them. See folder.h. */
#include "folder.h"
#include "windows_files.h"

#include <fcntl.h>
#include <string.h>

#include <aclapi.h>
#include <ntsecapi.h>
#include <sddl.h>

#define NEW_FILE_START ".new-"

/* A folder for its owner alone: nothing is inherited, and what is made in it has the same. */
#define PRIVATE_SDDL L"D:P(A;OICI;FA;;;OW)(A;OICI;FA;;;SY)"

enum {
    SID_CAPACITY_BYTES = 256,
};

#define DAY_IN_FILETIME_UNITS (24ull * 60 * 60 * 10000000)

/* What others could use to change a folder or to put a library beside an engine, which Windows would load with it. */
#define WRITE_RIGHTS                                                                                                   \
    (FILE_ADD_FILE | FILE_ADD_SUBDIRECTORY | FILE_DELETE_CHILD | WRITE_DAC | WRITE_OWNER | GENERIC_WRITE | GENERIC_ALL)

/* ERROR_SUCCESS, or why there is none. */
static DWORD make_folder(const wchar_t *path) {
    SECURITY_ATTRIBUTES access = {.nLength = sizeof access};
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(PRIVATE_SDDL, SDDL_REVISION_1,
                                                              &access.lpSecurityDescriptor, NULL)) {
        return GetLastError();
    }
    DWORD error = CreateDirectoryW(path, &access) ? ERROR_SUCCESS : GetLastError();
    LocalFree(access.lpSecurityDescriptor);
    return error == ERROR_ALREADY_EXISTS ? ERROR_SUCCESS : error;
}

static DWORD make_folders(wchar_t *path, unsigned levels) {
    DWORD error = make_folder(path);
    wchar_t *slash = wcsrchr(path, L'\\');
    if (error != ERROR_PATH_NOT_FOUND || levels <= 1 || !slash || slash == path) {
        return error;
    }
    *slash = L'\0';
    error = make_folders(path, levels - 1);
    *slash = L'\\';
    return error == ERROR_SUCCESS ? make_folder(path) : error;
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
        lfbuild_windows_failed();
        return lfbuild_system_problem();
    }
    if (!(attributes & FILE_ATTRIBUTE_DIRECTORY) || (attributes & FILE_ATTRIBUTE_REPARSE_POINT)) {
        return "it is no folder";
    }
    PSID owner;
    PACL list;
    PSECURITY_DESCRIPTOR facts;
    DWORD error = GetNamedSecurityInfoW(path, SE_FILE_OBJECT, OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                                        &owner, NULL, &list, NULL, &facts);
    if (error != ERROR_SUCCESS) {
        lfbuild_windows_keep(error);
        return lfbuild_system_problem();
    }
    const char *problem = !is_trusted_owner(owner)  ? "it belongs to another user"
                          : lets_others_write(list) ? "others may write to it"
                                                    : NULL;
    LocalFree(facts);
    return problem;
}

const char *lfbuild_folder_open(const char *path, unsigned levels, struct lfbuild_folder *folder) {
    struct lfbuild_wide wide;
    if (!lfbuild_system_absolute(path, folder->path) || !lfbuild_windows_widen(folder->path, &wide)) {
        return "it is no path";
    }
    /* Whether it could be made shows when it is looked at; what is wrong with making it is the better reason. */
    DWORD unmade = make_folders(wide.text, levels);
    const char *problem = check_folder(wide.text);
    if (problem && unmade != ERROR_SUCCESS) {
        lfbuild_windows_keep(unmade);
        return lfbuild_system_problem();
    }
    return problem;
}

bool lfbuild_folder_is_own(const char *path) {
    (void)path;
    return true;
}

void lfbuild_folder_close(struct lfbuild_folder *folder) {
    (void)folder;
}

static bool path_in(const struct lfbuild_folder *folder, const char *name, struct lfbuild_wide *wide) {
    char path[LFBUILD_PATH_CAPACITY_BYTES];
    int length = snprintf(path, sizeof path, "%s\\%s", folder->path, name);
    return length > 0 && (size_t)length < sizeof path && lfbuild_windows_widen(path, wide);
}

const char *lfbuild_folder_open_file(const struct lfbuild_folder *folder, const char *name, int *fd) {
    struct lfbuild_wide wide;
    if (!path_in(folder, name, &wide)) {
        return lfbuild_system_problem();
    }
    /* Shared for reading only: while it is open, nobody can write to it, remove it or put another in its place. */
    HANDLE handle = CreateFileW(wide.text, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING,
                                FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    if (handle == INVALID_HANDLE_VALUE) {
        lfbuild_windows_failed();
        return lfbuild_system_problem();
    }
    BY_HANDLE_FILE_INFORMATION facts;
    if (!GetFileInformationByHandle(handle, &facts) ||
        (facts.dwFileAttributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT))) {
        CloseHandle(handle);
        return "it is no regular file";
    }
    *fd = lfbuild_windows_descriptor(handle, _O_RDONLY);
    return *fd < 0 ? "too many files are open" : NULL;
}

static bool make_name(char *name) {
    unsigned char random[8];
    if (!RtlGenRandom(random, sizeof random)) {
        return lfbuild_windows_failed();
    }
    size_t used = (size_t)snprintf(name, LFBUILD_NAME_CAPACITY_BYTES, "%s", NEW_FILE_START);
    for (size_t i = 0; i < sizeof random; i++) {
        used += (size_t)snprintf(name + used, LFBUILD_NAME_CAPACITY_BYTES - used, "%02x", random[i]);
    }
    return true;
}

int lfbuild_folder_create(const struct lfbuild_folder *folder, char *name, const char **problem) {
    struct lfbuild_wide wide;
    int fd = make_name(name) && path_in(folder, name, &wide) ? lfbuild_windows_create(wide.text) : -1;
    *problem = fd < 0 ? lfbuild_system_problem() : NULL;
    return fd;
}

static bool move(const struct lfbuild_folder *folder, const char *old_name, const char *new_name, DWORD flags) {
    struct lfbuild_wide old_path, new_path;
    return path_in(folder, old_name, &old_path) && path_in(folder, new_name, &new_path) &&
           lfbuild_windows_move(old_path.text, new_path.text, flags);
}

bool lfbuild_folder_name(const struct lfbuild_folder *folder, const char *old_name, const char *new_name) {
    return move(folder, old_name, new_name, 0);
}

bool lfbuild_folder_rename(const struct lfbuild_folder *folder, const char *old_name, const char *new_name) {
    return move(folder, old_name, new_name, MOVEFILE_REPLACE_EXISTING);
}

void lfbuild_folder_remove(const struct lfbuild_folder *folder, const char *name) {
    struct lfbuild_wide wide;
    if (path_in(folder, name, &wide)) {
        DeleteFileW(wide.text);
    }
}

static uint64_t filetime(FILETIME time) {
    return (uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime;
}

void lfbuild_folder_sweep(const struct lfbuild_folder *folder) {
    struct lfbuild_wide pattern, wide;
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
        if (filetime(found.ftLastWriteTime) + DAY_IN_FILETIME_UNITS < filetime(now) &&
            lfbuild_windows_narrow(found.cFileName, name) && path_in(folder, name, &wide)) {
            DeleteFileW(wide.text);
        }
    } while (FindNextFileW(search, &found));
    FindClose(search);
}
