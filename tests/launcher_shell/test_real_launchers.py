"""Launchers of all five targets, compiled by zig, in one polyglot; each system's half is run or read.

macOS is read by lief only, as none is at hand. `LFBUILD_WINE` may name a wine that is not on the search path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.launcher_shell.test_placing import with_mount
from tests.launcher_shell.test_zip_and_signature import FACTS
from tests.launcher_shell.world import SHELLS, World, host_target, needs

from lfbuild.engine.zig import TRIPLES
from lfbuild.formats.executable import Program, identify_program
from lfbuild.formats.head import TARGETS, lay_out_head, make_head
from lfbuild.formats.pe import HEADER_OFFSET

pytestmark = pytest.mark.real


@pytest.fixture(scope="session")
def launchers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    pytest.importorskip("ziglang", reason="zig is not installed")
    folder = tmp_path_factory.mktemp("launchers")
    source = str(Path(__file__).parent / "stand_in.c")
    for target, name in TRIPLES.items():
        command = [sys.executable, "-m", "ziglang", "cc", "-target", name, "-O2", "-s", source, "-o", folder / target]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr
    return {target: (folder / target).read_bytes() for target in TRIPLES}


@pytest.fixture
def polyglot(launchers: dict[str, bytes], world: World) -> Path:
    path = world.folder / "grüße chat.exe"
    path.write_bytes(make_head("polyglot", launchers, facts=FACTS))
    path.chmod(0o755)
    return path


class Wine:
    """One prefix for the session: making one takes longer than all that is run in it."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        prefix = {"HOME": str(folder), "WINEPREFIX": str(folder / "prefix"), "WINEDEBUG": "-all"}
        self._environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **prefix}

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[bytes]:
        words = [self._program, *command]
        return subprocess.run(words, env=self._environment, capture_output=True, check=False, timeout=300)


@pytest.fixture(scope="session")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Wine:
    debians = "/usr/lib/wine/wine64"
    program = os.environ.get("LFBUILD_WINE") or shutil.which("wine64") or shutil.which("wine") or shutil.which(debians)
    if program is None:
        pytest.skip("wine is not on this machine")
    return Wine(program, tmp_path_factory.mktemp("wine"))


def test_every_launcher_is_small(launchers: dict[str, bytes]) -> None:
    assert {target: len(data) for target, data in launchers.items() if len(data) > 150_000} == {}


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_starts_this_machines_launcher(
    polyglot: Path, launchers: dict[str, bytes], world: World, shell: str
) -> None:
    needs(shell)

    started = replace(world, launcher=launchers[host_target()]).start(*SHELLS[shell], "-c", f"'{polyglot}' word")

    assert (started.file, started.words) == (str(polyglot), ("word",))


def test_the_windows_half_runs_under_wine(polyglot: Path, wine: Wine) -> None:
    said = wine.run(polyglot, "a word")

    assert said.stdout.split(b"\0")[2:] == [b"a word", b""], said.stderr
    assert wine.run(polyglot, "--exit", "41").returncode == 41


def test_a_polyglot_for_windows_alone_runs_too(launchers: dict[str, bytes], wine: Wine, tmp_path: Path) -> None:
    file = tmp_path / "chat.exe"
    file.write_bytes(make_head("polyglot", {"windows-x86_64": launchers["windows-x86_64"]}))

    assert wine.run(file, "--exit", "7").returncode == 7


def test_another_architectures_launcher_is_placed_and_runs_there(
    polyglot: Path, launchers: dict[str, bytes], world: World
) -> None:
    """The kernel cannot start it, so the placed copy is given to qemu by hand."""
    qemu = needs("qemu-aarch64")
    (world.folder / "uname").write_text("#!/bin/sh\necho Linux aarch64\n")
    (world.folder / "uname").chmod(0o755)
    world.run("sh", polyglot, PATH=f"{world.folder}:{world.environment['PATH']}")

    placed = world.cache / replace(world, launcher=launchers["linux-aarch64"]).name

    assert placed.read_bytes() == launchers["linux-aarch64"]
    assert world.start(qemu, placed, "word", LFBUILD_FILE=str(polyglot)).words == ("word",)


@pytest.mark.parametrize("machine", ["arm64", "x86_64"])
def test_on_macos_the_launcher_is_placed_where_it_belongs(
    polyglot: Path, launchers: dict[str, bytes], world: World, machine: str
) -> None:
    """Placed only: what comes next needs macOS."""
    (world.folder / "uname").write_text(f"#!/bin/sh\necho Darwin {machine}\n")
    (world.folder / "uname").chmod(0o755)
    (world.folder / "home/Library").mkdir()
    world.run("sh", polyglot, PATH=f"{world.folder}:{world.environment['PATH']}")

    launcher = launchers[f"macos-{machine.replace('arm64', 'aarch64')}"]
    placed = world.folder / "home/Library/Caches/lfbuild" / replace(world, launcher=launcher).name

    assert placed.read_bytes() == launcher


@pytest.mark.parametrize(("answer", "system"), [("1", "macos-aarch64"), ("0", "macos-x86_64"), ("", "macos-x86_64")])
def test_what_rosetta_runs_gets_the_launcher_of_the_machine(
    polyglot: Path, launchers: dict[str, bytes], world: World, answer: str, system: str
) -> None:
    """The shell is Intel's, and is told that the machine is; `sysctl` knows better."""
    (world.folder / "uname").write_text("#!/bin/sh\necho Darwin x86_64\n")
    (world.folder / "sysctl").write_text(f"#!/bin/sh\n[ \"$*\" = '-in hw.optional.arm64' ] && echo {answer}\n")
    for name in ("uname", "sysctl"):
        (world.folder / name).chmod(0o755)
    script = 'cp sysctl /usr/sbin && exec sh "$0"'
    command = with_mount("mode=755", Path("/usr/sbin"), "sh", "-c", script, polyglot)
    world.run(*command, PATH=f"{world.folder}:{world.environment['PATH']}")

    placed = world.folder / "home/Library/Caches/lfbuild" / replace(world, launcher=launchers[system]).name

    assert placed.read_bytes() == launchers[system]


@pytest.mark.parametrize("target", ["macos-aarch64", "macos-x86_64"])
def test_a_mach_o_is_whole_inside_the_head(polyglot: Path, launchers: dict[str, bytes], target: str) -> None:
    lief = pytest.importorskip("lief", reason="lief, an independent reader of Mach-O, is not installed")
    layout = lay_out_head("polyglot", {name: len(data) for name, data in launchers.items()}, facts=FACTS)
    start = layout.starts[target]

    program = lief.MachO.parse(list(polyglot.read_bytes()[start : start + len(launchers[target])])).at(0)

    assert program.has_entrypoint
    if target == "macos-aarch64":
        assert program.has_code_signature


def test_independent_readers_take_the_polyglot_for_a_windows_program(polyglot: Path) -> None:
    lief = pytest.importorskip("lief", reason="lief, an independent reader of PE, is not installed")
    program = lief.PE.parse(str(polyglot))

    assert program.dos_header.addressof_new_exeheader == HEADER_OFFSET
    assert program.optional_header.sizeof_headers == 0x1000
    assert program.optional_header.checksum == 0
    assert program.sections[-1].name == ".rsrc"
    assert {library.name.lower() for library in program.imports} >= {"kernel32.dll"}
    assert identify_program(polyglot.read_bytes()[:4096]) == Program(kind="polyglot", machines=("x86_64", "aarch64"))
    assert set(TRIPLES) == set(TARGETS)
    if shutil.which("objdump"):
        said = subprocess.run(["objdump", "-x", polyglot], capture_output=True, text=True, check=False)
        if "pei-x86-64" in said.stdout:  # an objdump without PE says nothing
            assert "has a malformed" not in said.stderr
            assert "The .rsrc Resource Directory section" in said.stdout
