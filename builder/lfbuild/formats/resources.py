"""Resources of a Windows program: what Explorer shows of it, and its icon.

Makes the content of a `.rsrc` section. It knows no PE header; the section's address is told from outside, since the
tree's leaves hold addresses. (Microsoft, "PE Format: The .rsrc Section", "VS_VERSIONINFO", "Icons", "Application
manifests".)
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

from lfbuild.errors import FormatError

_ICON, _GROUP_ICON, _VERSION, _MANIFEST = 3, 14, 16, 24
_US_ENGLISH: Final = 0x0409
_UTF_16: Final = 1200
_SUBDIRECTORY: Final = 0x80000000
_DIRECTORY = struct.Struct("<IIHHHH")
_ENTRY = struct.Struct("<II")
_LEAF = struct.Struct("<IIII")
_FIXED_INFO = struct.Struct("<13I")
_ICON_START = struct.Struct("<HHH")
_ICON_ENTRY = struct.Struct("<BBBBHHII")
_GROUP_ENTRY = struct.Struct("<BBBBHHIH")
_LONGEST_TEXT = 1000

_LONG_PATHS: Final = b"""\
<assembly xmlns="urn:schemas-microsoft-com:asm.v1" manifestVersion="1.0">
  <application xmlns="urn:schemas-microsoft-com:asm.v3"><windowsSettings>
    <longPathAware xmlns="http://schemas.microsoft.com/SMI/2016/WindowsSettings">true</longPathAware>
  </windowsSettings></application>
</assembly>
"""
"""The program's manifest: it takes paths of more than 260 characters, as its engine does."""

_Tree = dict[int, "dict[int, bytes]"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowsFacts:
    """What a Windows program says of itself under Properties, and the picture it has."""

    product: str
    description: str
    version: str
    """As people write it; its first four numbers are what installers compare."""
    copyright: str = ""
    filename: str = ""
    """The name it was made under, with `.exe`."""
    icon: bytes = b""
    """The bytes of an `.ico` file; none if empty."""


def resource_bytes(facts: WindowsFacts, address: int) -> bytes:
    """The section's content, for this address in memory.

    Raises:
        FormatError: the icon is not one, or a text cannot stand in version information.
    """
    tree: _Tree = _icon_resources(facts.icon) if facts.icon else {}
    tree[_VERSION] = {1: _version_info(facts)}
    tree[_MANIFEST] = {1: _LONG_PATHS}
    return _tree_bytes(tree, address)


def _icon_resources(icon: bytes) -> _Tree:
    """Pictures become resources of their own; the group lists them as an `.ico` does, by number and not by offset."""
    if len(icon) < _ICON_START.size or _ICON_START.unpack_from(icon)[:2] != (0, 1):
        raise FormatError("icon", "is not an .ico file")
    count = _ICON_START.unpack_from(icon)[2]
    if count == 0 or _ICON_START.size + count * _ICON_ENTRY.size > len(icon):
        raise FormatError("icon", "is cut off, or has no picture")
    group, pictures = _ICON_START.pack(0, 1, count), {}
    for number in range(1, count + 1):
        *look, size, offset = _ICON_ENTRY.unpack_from(icon, _ICON_START.size + (number - 1) * _ICON_ENTRY.size)
        if size == 0 or offset + size > len(icon):
            raise FormatError("icon", f"its picture {number} lies outside of it")
        pictures[number] = icon[offset : offset + size]
        group += _GROUP_ENTRY.pack(*look, size, number)
    return {_ICON: pictures, _GROUP_ICON: {1: group}}


def _version_info(facts: WindowsFacts) -> bytes:
    texts = {
        "FileDescription": facts.description,
        "FileVersion": facts.version,
        "LegalCopyright": facts.copyright,
        "OriginalFilename": facts.filename,
        "ProductName": facts.product,
        "ProductVersion": facts.version,
    }
    for key, text in texts.items():
        if "\0" in text or len(text) > _LONGEST_TEXT:
            raise FormatError("version information", f"{key} has a NUL or more than {_LONGEST_TEXT} characters")
    strings = b"".join(_aligned(_text_block(key, text)) for key, text in texts.items() if text)
    table = _block(f"{_US_ENGLISH:04x}{_UTF_16:04x}", strings)
    translation = _block("Translation", struct.pack("<HH", _US_ENGLISH, _UTF_16), value_size=4, is_text=False)
    children = _aligned(_block("StringFileInfo", table)) + _block("VarFileInfo", translation)
    fixed = _fixed_info(facts.version)
    return _block("VS_VERSION_INFO", _aligned(fixed) + children, value_size=len(fixed), is_text=False)


def _fixed_info(version: str) -> bytes:
    numbers = [min(int(number), 0xFFFF) for number in re.findall(r"[0-9]{1,9}", version)[:4]]
    major, minor, patch, build = (*numbers, 0, 0, 0, 0)[:4]
    high, low = major << 16 | minor, patch << 16 | build
    any_flag, windows_nt, application = 0x3F, 0x40004, 1
    return _FIXED_INFO.pack(0xFEEF04BD, 0x10000, high, low, high, low, any_flag, 0, windows_nt, application, 0, 0, 0)


def _text_block(key: str, text: str) -> bytes:
    value = f"{text}\0".encode("utf-16-le", errors="surrogatepass")
    return _block(key, value, value_size=len(value) // 2)  # texts are counted in characters, all else in bytes


def _block(key: str, content: bytes, *, value_size: int = 0, is_text: bool = True) -> bytes:
    """The shape of everything in version information: sizes, a key, and content at the next multiple of 4."""
    name = f"{key}\0".encode("utf-16-le")
    body = _aligned(bytes(6) + name)[6:] + content
    return struct.pack("<HHH", 6 + len(body), value_size, is_text) + body


def _aligned(data: bytes) -> bytes:
    return data.ljust(-(-len(data) // 4) * 4, b"\0")


def _tree_bytes(tree: _Tree, address: int) -> bytes:
    """Three levels of directories (type, number, language), then the leaves, then what they point to."""
    types = sorted(tree)
    items = [(kind, number) for kind in types for number in sorted(tree[kind])]
    numbers_at = _directory_size(len(types))
    languages_at = numbers_at + sum(_directory_size(len(tree[kind])) for kind in types)
    leaves_at = languages_at + len(items) * _directory_size(1)
    data_at = leaves_at + len(items) * _LEAF.size

    root, numbers, languages, leaves, data = [], b"", b"", b"", b""
    for kind in types:
        root.append((kind, _SUBDIRECTORY | numbers_at + len(numbers)))
        below = []
        for number in sorted(tree[kind]):
            below.append((number, _SUBDIRECTORY | languages_at + len(languages)))
            languages += _directory([(_US_ENGLISH, leaves_at + len(leaves))])
            leaves += _LEAF.pack(address + data_at + len(data), len(tree[kind][number]), 0, 0)
            data += _aligned(tree[kind][number])
        numbers += _directory(below)
    return _directory(root) + numbers + languages + leaves + data


def _directory_size(entries: int) -> int:
    return _DIRECTORY.size + entries * _ENTRY.size


def _directory(entries: list[tuple[int, int]]) -> bytes:
    return _DIRECTORY.pack(0, 0, 0, 0, 0, len(entries)) + b"".join(_ENTRY.pack(*entry) for entry in entries)
