/* What llama.cpp's calls of Windows become, by redirect_mmap.h; weights_io.h says how the layer's calls behave. */
#ifndef LFBUILD_WEIGHTS_WINDOWS_H
#define LFBUILD_WEIGHTS_WINDOWS_H

#include "platform.h"

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX /* for the C++ that comes behind */
#endif
#include <windows.h>

#ifdef __cplusplus
extern "C" {
#endif

LFBUILD_API BOOL lfbuild_set_file_pointer(HANDLE handle, LARGE_INTEGER offset, LARGE_INTEGER *position, DWORD whence);
LFBUILD_API BOOL lfbuild_read_file(HANDLE handle, void *target, DWORD size_bytes, DWORD *got, OVERLAPPED *where);

LFBUILD_API HANDLE lfbuild_create_file_mapping(HANDLE handle, SECURITY_ATTRIBUTES *security, DWORD protection,
                                               DWORD size_high, DWORD size_low, const char *name);
LFBUILD_API void *lfbuild_map_view(HANDLE mapping, DWORD access, DWORD offset_high, DWORD offset_low, SIZE_T length);
LFBUILD_API BOOL lfbuild_unmap_view(const void *address);
LFBUILD_API BOOL lfbuild_close_handle(HANDLE handle);

#ifdef __cplusplus
}
#endif

#endif
