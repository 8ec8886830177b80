"""What Explorer shows of a program: read back by lief, which knows nothing of us."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import pytest
from tests.world.programs import linked_pe

from lfbuild.errors import FormatError
from lfbuild.formats.pe import move_headers
from lfbuild.formats.resources import WindowsFacts, resource_bytes

FACTS = WindowsFacts(
    product="Acme Chat",
    description="Grüße von Acme",
    version="1.2.70000-beta.4",
    copyright="© Acme",
    filename="acme-chat.exe",
)
PICTURES = (b"\x89PNG first", b"\x89PNG the second")


def icon(*pictures: bytes) -> bytes:
    """An .ico with these pictures, each said to be 16 by 16."""
    start = 6 + 16 * len(pictures)
    entries = b""
    for index, picture in enumerate(pictures):
        offset = start + sum(map(len, pictures[:index]))
        entries += struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(picture), offset)
    return struct.pack("<HHH", 0, 1, len(pictures)) + entries + b"".join(pictures)


def read_back(facts: WindowsFacts) -> Any:
    lief = pytest.importorskip("lief", reason="lief, an independent reader of PE, is not installed")
    data = move_headers(linked_pe(), resources=lambda address: resource_bytes(facts, address), where="x")
    return lief.PE.parse(list(data)).resources_manager


def test_version_information_is_what_an_independent_reader_finds() -> None:
    (version,) = read_back(FACTS).version

    strings = {item.key: item.value for item in version.string_file_info.children[0].entries}
    assert strings == {
        "FileDescription": "Grüße von Acme",
        "FileVersion": "1.2.70000-beta.4",
        "LegalCopyright": "© Acme",
        "OriginalFilename": "acme-chat.exe",
        "ProductName": "Acme Chat",
        "ProductVersion": "1.2.70000-beta.4",
    }
    assert version.string_file_info.children[0].key == "040904b0"
    assert version.var_file_info.vars[0].values == [0x04B00409]
    assert version.file_info.signature == 0xFEEF04BD
    numbers = version.file_info
    assert (numbers.file_version_ms, numbers.file_version_ls) == (1 << 16 | 2, 65535 << 16 | 4)
    assert (numbers.product_version_ms, numbers.product_version_ls) == (1 << 16 | 2, 65535 << 16 | 4)


def test_the_pictures_of_an_icon_are_what_an_independent_reader_finds() -> None:
    found = list(read_back(replace(FACTS, icon=icon(*PICTURES))).icons)

    assert sorted(bytes(picture.pixels) for picture in found) == sorted(PICTURES)
    assert {(picture.width, picture.height, picture.bit_count) for picture in found} == {(16, 16, 32)}


def test_a_program_takes_long_paths_as_an_independent_reader_finds() -> None:
    assert "longPathAware" in read_back(FACTS).manifest


def test_what_is_not_said_has_no_line() -> None:
    content = resource_bytes(replace(FACTS, copyright="", filename=""), 0x1000)

    assert "LegalCopyright".encode("utf-16-le") not in content
    assert "ProductName".encode("utf-16-le") in content


def test_the_size_does_not_depend_on_the_address() -> None:
    assert len(resource_bytes(FACTS, 0)) == len(resource_bytes(FACTS, 0x7FFFF000))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x89PNG", "icon: is not an .ico file"),
        (b"\0\0\2\0\1\0", "icon: is not an .ico file"),
        (b"\0\0\1\0\0\0", "icon: is cut off, or has no picture"),
        (icon(*PICTURES)[:30], "icon: is cut off, or has no picture"),
        (icon(*PICTURES)[:-1], "icon: its picture 2 lies outside of it"),
        (icon(b""), "icon: its picture 1 lies outside of it"),
    ],
)
def test_what_is_no_icon_is_refused(data: bytes, what: str) -> None:
    with pytest.raises(FormatError) as caught:
        resource_bytes(replace(FACTS, icon=data), 0)

    assert str(caught.value) == what


@pytest.mark.parametrize("text", ["a\0b", "a" * 1001])
def test_a_text_that_cannot_stand_there_is_refused(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        resource_bytes(replace(FACTS, product=text), 0)

    assert str(caught.value) == "version information: ProductName has a NUL or more than 1000 characters"
