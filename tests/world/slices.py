"""A small launcher head with two engines: one deflated, one stored. None of it would run, and nobody runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.world.programs import tiny_elf, tiny_pe

from lfbuild.archive.deflate import look_at
from lfbuild.archive.source import BytesSource
from lfbuild.formats.executable import POLYGLOT_START
from lfbuild.manifest.order import EngineSlice, LauncherHead

if TYPE_CHECKING:
    from collections.abc import Iterable

LINUX = "linux-x86_64"
WINDOWS = "windows-x86_64"
LINUX_ENGINE = tiny_elf(20) + b"llama.cpp in small\n" * 150
DEFLATED = bytes.fromhex(
    "ab77f57163626464800126063b06102f27273137512fb9a04021334fa138"
    "373127876b5468546854685468546854685468546854685468040b0100"
)
"""`LINUX_ENGINE` as libdeflate compressed it once: golden bytes must not change with an encoder."""
WINDOWS_ENGINE = tiny_pe(700)


def tiny_slice(
    target: str = LINUX,
    program: bytes = LINUX_ENGINE,
    *,
    stored: bytes | None = None,
    cpus: tuple[str, ...] = ("x86-64-v4", "x86-64-v2"),
) -> EngineSlice:
    """An engine as it is packed; deflated to `stored`, if that is given."""
    return EngineSlice(
        target=target,
        cpus=cpus,
        key=("1" if target == LINUX else "2") * 64,
        source=BytesSource(program if stored is None else stored),
        program=look_at([program]),
        encoder_version="" if stored is None else "0.9.0",
    )


def tiny_launcher(slices: Iterable[EngineSlice] | None = None) -> LauncherHead:
    """A polyglot's first bytes, much shorter than a real head so that a test may look at each of them."""
    chosen = slices if slices is not None else (tiny_slice(stored=DEFLATED), tiny_slice(WINDOWS, WINDOWS_ENGINE))
    return LauncherHead(program="polyglot", data=tiny_pe(start=POLYGLOT_START), slices=tuple(chosen))
