"""Compiles launchers: the small program at the head of a file that finds the engine for its machine in it.

One a target, of C in `stubs/` and of zig's own BLAKE3 and DEFLATE; kept in the store under a key of everything that
decides its bytes. What a launcher does is said in docs/formats/launch.md; how heads are made of them is not known here.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.engine.environment import build_environment
from lfbuild.engine.job import stubs_folder
from lfbuild.engine.zig import TRIPLES
from lfbuild.errors import ToolError
from lfbuild.host.files import host_error
from lfbuild.host.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lfbuild.engine.zig import Zig
    from lfbuild.report import Report
    from lfbuild.store import Store

KEY_FORMAT = 1
"""Raised when the same sources would be compiled otherwise than before by something the key does not see."""
SHOWN_LINES = 20

_SHARED = ("complaint.c", "cpu_check.c", "zip_directory.c")
"""Of the engine's file layer, what a launcher has in common with it."""
_PORTABLE = (
    "cache_dir.c",
    "choice.c",
    "crc32.c",
    "digest.c",
    "extract.c",
    "info.c",
    "launch.c",
    "launcher.c",
    "manifest.c",
    "member.c",
    "own_file.c",
    "own_flags.c",
    "place.c",
    "private_folder.c",
    "slice_table.c",
    "verify.c",
)
_OPTIONS = (
    *("-std=c11", "-g0", "-Wall", "-Wextra", "-Werror"),
    *("-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-s"),
)
_SMALL = ("-O3", "-Xclang", "-Oz")
"""Small, with the libraries that zig has made for engines: some KiB more than with its small ones, and minutes less."""
_SYSTEM_OPTIONS = {
    "linux": (*_SMALL, "-static", "-Wl,--build-id=none"),
    # MinGW's libraries are 15 KiB smaller when zig makes them so; Windows' own printf is there anyway. C has no use for
    # tables of how a stack is unwound; asked for by -fno-unwind-tables, zig would make its libraries again.
    "windows": ("-Oz", "-Xclang", "-funwind-tables=0", "-D__USE_MINGW_ANSI_STDIO=0", "-lshell32", "-ladvapi32"),
    "macos": _SMALL,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ZigPart:
    """An object that zig makes of one of the files in its own language."""

    source: str
    cpu: str
    mode: str

    @property
    def object(self) -> str:
        """Its file, inside the build's folder."""
        return f"{Path(self.source).stem}-{self.cpu}.o"


_INFLATE_MODE = "ReleaseSafe"
"""What it decodes is not verified yet: what goes wrong in it must trap."""
_ZIG_PARTS = {
    "x86_64": (
        ZigPart(source="inflate.zig", cpu="x86_64", mode=_INFLATE_MODE),
        # Where AVX2 is, and that is nearly everywhere, the other one is taken: so this one may be small.
        ZigPart(source="blake3.zig", cpu="x86_64", mode="ReleaseSmall"),
        ZigPart(source="blake3.zig", cpu="x86_64_v3", mode="ReleaseFast"),
    ),
    "aarch64": (
        ZigPart(source="inflate.zig", cpu="baseline", mode=_INFLATE_MODE),
        ZigPart(source="blake3.zig", cpu="baseline", mode="ReleaseFast"),
    ),
}


def compile_launcher(
    target: str, toolchain: Zig, *, store: Store, report: Report, passed: Mapping[str, str], stubs: Path | None = None
) -> bytes:
    """The launcher of a target: out of the store when it is there, else compiled and kept.

    `passed` is the front door's environment, of which the compiler sees only what `passed_variables` lets through.

    Raises:
        ToolError: zig makes no programs for it, or refused its sources.
        HostError: the disk is full, or the store cannot be written.
    """
    if target not in TRIPLES:
        raise ToolError(target, f"zig makes no launchers for it, only for {', '.join(TRIPLES)}")
    stubs = stubs or stubs_folder()
    key = launcher_key(target, toolchain, stubs=stubs)
    try:
        with store.lock(f"launchers/{key}"):
            kept = store.entry("launchers", key)
            if kept is None:
                with report.step(f"compiling the launcher for {target}", unit="steps"):
                    _compile(target, toolchain, key=key, stubs=stubs, store=store, passed=passed)
        return (store.entry_path("launchers", key) / _name(target)).read_bytes()
    except OSError as error:
        raise host_error(error.filename or store.root, error) from error


def launcher_sources(target: str) -> tuple[str, ...]:
    """The C files of a target's launcher, relative to `stubs/`."""
    system = target.partition("-")[0]
    flavour = "windows" if system == "windows" else "posix"
    own = (*_PORTABLE, *(f"{name}_{flavour}.c" for name in ("folder", "main", "start", "system")))
    return (*_SHARED, f"platform_{flavour}.c", *(f"launcher/{name}" for name in own))


def launcher_key(target: str, toolchain: Zig, *, stubs: Path | None = None) -> str:
    """The target, and a sha256 over what decides the bytes: all headers of the layer, but no engine's sources."""
    stubs = stubs or stubs_folder()
    headers = sorted(path.relative_to(stubs).as_posix() for path in stubs.rglob("*.h"))
    zig_sources = sorted({f"launcher/{part.source}" for part in _zig_parts(target)})
    names = [*launcher_sources(target), *headers, *zig_sources]
    order = {
        "format": KEY_FORMAT,
        "zig": toolchain.version,
        "files": {name: hashlib.sha256((stubs / name).read_bytes()).hexdigest() for name in names},
        "commands": [words[1:] for words in _commands(target, toolchain, stubs=Path(), folder=Path())],
    }
    return f"{target}-{hashlib.sha256(json.dumps(order, sort_keys=True).encode()).hexdigest()}"


def load_launcher(store: Store, key: str) -> bytes | None:
    """The kept launcher with that key, or None."""
    entry = store.entry("launchers", key)
    found = sorted(entry.iterdir()) if entry else []
    return found[0].read_bytes() if found else None


def _name(target: str) -> str:
    """A file name of its own for each target: a Mach-O's signature has it inside."""
    return f"lfbuild-launcher-{target}" + (".exe" if target.startswith("windows") else "")


def _zig_parts(target: str) -> tuple[ZigPart, ...]:
    return _ZIG_PARTS[target.partition("-")[2]]


def _commands(target: str, toolchain: Zig, *, stubs: Path, folder: Path) -> list[list[str]]:
    """Every call of zig, in order; objects go to `folder`, and so does the launcher."""
    triple = TRIPLES[target]
    calls = [
        [
            *(str(toolchain.program), "build-obj", str(stubs / "launcher" / part.source), "-target", triple),
            *(f"-mcpu={part.cpu}", "-O", part.mode, "-fstrip", f"-femit-bin={folder / part.object}"),
        ]
        for part in _zig_parts(target)
    ]
    link = [str(toolchain.program), "cc", "-target", triple, *_OPTIONS, f'-DLFBUILD_TARGET="{target}"']
    link += [f"-ffile-prefix-map={stubs}=/lfbuild", *(str(stubs / name) for name in launcher_sources(target))]
    link += [str(folder / part.object) for part in _zig_parts(target)]
    link += [*_SYSTEM_OPTIONS[target.partition("-")[0]], "-o", str(folder / _name(target))]
    return [*calls, link]


def _compile(target: str, toolchain: Zig, *, key: str, stubs: Path, store: Store, passed: Mapping[str, str]) -> None:
    libraries = store.entry_path("toolchains", f"{toolchain.kind}-{toolchain.version}-libraries").absolute()
    # The scratch folder is gone before the entry is flushed.
    with store.making("launchers", key) as entry, store.incoming() as scratch:
        folder = scratch.resolve()
        environment = {
            **build_environment(folder, programs=(), passed=passed),
            **toolchain.environment(cache=libraries, scratch=folder),
        }
        for words in _commands(target, toolchain, stubs=stubs.resolve(), folder=folder):
            _call(words, target=target, folder=folder, environment=environment)
        data = (folder / _name(target)).read_bytes()
        (entry / _name(target)).write_bytes(data)


def _call(words: Sequence[str], *, target: str, folder: Path, environment: Mapping[str, str]) -> None:
    finished = run(words, cwd=folder, env=environment)
    if finished.returncode != 0:
        shown = "".join(f"\n  {line}" for line in (shlex.join(words), *finished.tail[-SHOWN_LINES:]))
        raise ToolError(f"launcher for {target}", f"zig refused its sources{shown}")
