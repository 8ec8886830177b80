"""On which machines a wheel may be installed: its platform tags, by the targets whose engines are in it.

A Linux engine of ours is static: it needs no libc, neither glibc nor musl, only a kernel. So its wheel has both
families of tags, each with the oldest version that an installer in use still asks for: an installer on glibc looks for
`manylinux`, one on musl for `musllinux` (PEP 600, PEP 656), and neither looks for the other's; plain `linux` is what
package indexes refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lfbuild.errors import Problem, RecipeError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLATFORMS: Final[dict[str, tuple[str, ...]]] = {
    "linux-x86_64": ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "musllinux_1_1_x86_64"),
    "linux-aarch64": ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "musllinux_1_1_aarch64"),
    "windows-x86_64": ("win_amd64",),
    # zig compiles for macOS 13 (decision 6).
    "macos-aarch64": ("macosx_13_0_arm64",),
    "macos-x86_64": ("macosx_13_0_x86_64",),
    # On Windows a program's name has to end in .exe, and elsewhere it should not: there, name the target.
    "cosmo": (
        *("macosx_14_0_arm64", "macosx_14_0_x86_64"),
        *("manylinux2014_aarch64", "manylinux2014_x86_64", "manylinux_2_17_aarch64", "manylinux_2_17_x86_64"),
        *("musllinux_1_1_aarch64", "musllinux_1_1_x86_64"),
    ),
}


def platforms(targets: Sequence[str]) -> tuple[str, ...]:
    """The platform tags of a wheel with a program for these targets, sorted.

    Raises:
        RecipeError: Windows is one of several: its programs are named otherwise.
    """
    windows = [target for target in targets if target.startswith("windows-")]
    if windows and len(targets) > 1:
        what = f"a wheel for {windows[0]} is for nothing else, as a program's name ends in .exe there"
        raise RecipeError(
            "target", [Problem(where="target", key="", what=what)], hint="make a wheel of each: -C target=TARGET"
        )
    return tuple(sorted({tag for target in targets for tag in _PLATFORMS[target]}))


def program_name(command: str, targets: Sequence[str]) -> str:
    """What the program is called among the scripts of an environment."""
    return f"{command}.exe" if any(target.startswith("windows-") for target in targets) else command
