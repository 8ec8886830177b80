/* What the launcher's files for Windows share: UTF-8 made wide, files by wide names, and why the last call failed. */
#ifndef LFBUILD_LAUNCHER_WINDOWS_FILES_H
#define LFBUILD_LAUNCHER_WINDOWS_FILES_H

#include "system.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

struct lfbuild_wide {
    wchar_t text[LFBUILD_PATH_CAPACITY_BYTES];
};
bool lfbuild_windows_widen(const char *text, struct lfbuild_wide *wide);
bool lfbuild_windows_narrow(const wchar_t *wide, char *text);

/* What `lfbuild_system_problem` puts into words from now on; the second keeps GetLastError's, and returns false. */
void lfbuild_windows_keep(DWORD error);
bool lfbuild_windows_failed(void);

/* Takes the handle over; -1 where there can be no descriptor for it. */
int lfbuild_windows_descriptor(HANDLE handle, int flags);
int lfbuild_windows_create(const wchar_t *path);
bool lfbuild_windows_move(const wchar_t *old_path, const wchar_t *new_path, DWORD flags);

#endif
