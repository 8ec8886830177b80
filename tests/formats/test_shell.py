"""The text of the shell half; what it does is tested in tests/launcher_shell."""

from __future__ import annotations

import pytest

from lfbuild.errors import FormatError
from lfbuild.formats.shell import PlacedLauncher, named_targets, shell_text

LINUX = PlacedLauncher(target="linux-x86_64", block=3, size_bytes=5000, sha256="0123456789abcdef" * 4)


def test_each_launcher_has_a_line() -> None:
    text = shell_text(["linux-x86_64", "windows-x86_64"], [LINUX])

    digest = "0123456789abcdef" * 4
    assert f"'Linux x86_64') lf_block=3 lf_bytes=5000 lf_name={digest} lf_cache=.cache ;;\n" in text


def test_every_variable_but_the_promised_one_has_the_prefix() -> None:
    words = shell_text(["linux-x86_64"], [LINUX]).replace("\n", " ").split()
    assigned = {word.partition("=")[0] for word in words if word.partition("=")[0].isidentifier() and "=" in word}

    operands_of_dd = {"if", "bs", "skip", "count"}
    assert {name for name in assigned if not name.startswith("lf_")} - operands_of_dd == {"LFBUILD_FILE"}


def test_a_launcher_that_no_shell_starts_is_refused() -> None:
    windows = PlacedLauncher(target="windows-x86_64", block=1, size_bytes=1, sha256="0" * 64)

    with pytest.raises(FormatError) as caught:
        shell_text(["windows-x86_64"], [windows])

    assert str(caught.value) == "head: a shell script cannot start the launcher of windows-x86_64"


@pytest.mark.parametrize(
    ("start", "targets"),
    [
        (b"#!/bin/sh\n" + shell_text(["linux-x86_64", "macos-x86_64"], []).encode(), ("linux-x86_64", "macos-x86_64")),
        (b"#!/bin/sh\necho lf_targets='a'\n", ()),
        (b"#!/bin/sh\nlf_targets='a b", ()),
        (b"", ()),
    ],
)
def test_the_targets_are_read_again(start: bytes, targets: tuple[str, ...]) -> None:
    assert named_targets(start) == targets
