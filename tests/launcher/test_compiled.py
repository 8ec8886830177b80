"""The launchers that zig makes: for each target the right kind of program, the same bytes anywhere, and small.

Natively they start; for ARM under qemu; for Windows under Wine; for macOS their structure is looked at.
"""

from __future__ import annotations

import os
import platform
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.launcher.conftest import ENGINE_SOURCE, World, answer, start, whole
from tests.launcher.files import Engine, change, find_data, write_file
from tests.launcher.files import Plan as FilePlan
from tests.stubs.conftest import compile_program, find_compiler
from tests.world.zig import libraries_folder

from lfbuild.engine.launcher import compile_launcher, launcher_sources
from lfbuild.engine.zig import TRIPLES, Zig, find_zig
from lfbuild.errors import ToolError
from lfbuild.report import SilentReport
from lfbuild.store import Store

pytestmark = pytest.mark.real

LIMIT_BYTES = 150_000
WINE = shutil.which("wine64") or "/usr/lib/wine/wine64"
HEAD_SYSTEMS = {"linux": b"\x7fELF\2\1\1", "windows": b"MZ", "macos": b"\xcf\xfa\xed\xfe"}


@pytest.fixture(scope="session")
def zig() -> Zig:
    try:
        return find_zig(None)
    except ToolError as error:
        pytest.skip(str(error))


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Launchers out of the user's own store: an unchanged source is not compiled again."""

    zig: Zig
    kept: Path

    def launcher(self, target: str) -> bytes:
        return self.compile(target, Store(self.kept))

    def compile(self, target: str, store: Store) -> bytes:
        return compile_launcher(target, self.zig, store=store, report=SilentReport(), passed={})

    def new_store(self, root: Path) -> Store:
        """An empty one, but for the libraries that zig builds for itself."""
        libraries = libraries_folder()
        (root / "toolchains").mkdir(parents=True)
        (root / "toolchains" / libraries.name).symlink_to(libraries)
        return Store(root)

    def engine(self, target: str, folder: Path) -> bytes:
        """The tiny engine for another system."""
        program = folder / "engine.exe"
        command: list[str | Path] = [
            self.zig.program,
            "cc",
            "-target",
            TRIPLES[target],
            "-O2",
            "-s",
            ENGINE_SOURCE,
            "-lshell32",
        ]
        cache = {**os.environ, **self.zig.environment(cache=libraries_folder(), scratch=folder)}
        subprocess.run([*command, "-o", program], env=cache, check=True)
        return program.read_bytes()


@pytest.fixture(scope="session")
def maker(zig: Zig) -> Maker:
    return Maker(zig=zig, kept=libraries_folder().parents[1])


@pytest.mark.parametrize("target", TRIPLES)
def test_every_target_has_a_launcher_of_its_kind_that_is_small(maker: Maker, target: str) -> None:
    program = maker.launcher(target)

    assert program.startswith(HEAD_SYSTEMS[target.partition("-")[0]])
    assert len(program) <= LIMIT_BYTES
    assert str(maker.kept).encode() not in program


@pytest.mark.parametrize("target", TRIPLES)
def test_the_same_sources_give_the_same_bytes_in_another_folder(maker: Maker, tmp_path: Path, target: str) -> None:
    assert maker.compile(target, maker.new_store(tmp_path / "another store")) == maker.launcher(target)


def test_a_target_that_zig_does_not_make_is_refused(maker: Maker) -> None:
    with pytest.raises(ToolError) as caught:
        maker.launcher("plan9-x86_64")

    assert str(caught.value) == f"plan9-x86_64: zig makes no launchers for it, only for {', '.join(TRIPLES)}"


def test_a_source_that_does_not_compile_is_shown(maker: Maker, tmp_path: Path) -> None:
    from lfbuild.engine.job import stubs_folder

    stubs = tmp_path / "stubs"
    shutil.copytree(stubs_folder(), stubs)
    (stubs / "launcher" / "launch.c").write_text("int broken(void) { return }\n")

    with pytest.raises(ToolError) as caught:
        compile_launcher(
            "linux-x86_64",
            maker.zig,
            store=maker.new_store(tmp_path / "store"),
            report=SilentReport(),
            passed={},
            stubs=stubs,
        )

    assert str(caught.value).startswith("launcher for linux-x86_64: zig refused its sources\n")
    assert "launch.c:1:27: error: expected expression" in str(caught.value)


def test_every_c_file_belongs_to_some_launcher() -> None:
    from lfbuild.engine.job import stubs_folder

    compiled = {name for target in TRIPLES for name in launcher_sources(target)}

    assert {f"launcher/{path.name}" for path in (stubs_folder() / "launcher").glob("*.c")} <= compiled
    assert all((stubs_folder() / name).is_file() for name in compiled)


def linux_world(folder: Path, maker: Maker, architecture: str, engine_program: bytes, cpus: str) -> World:
    target = f"linux-{architecture}"
    engine = Engine(program=engine_program, target=target, cpus=cpus)
    return World(folder=folder, head=maker.launcher(target), engine=engine)


def test_the_native_one_starts_verifies_and_refuses(maker: Maker, tmp_path: Path, engine_program: bytes) -> None:
    if platform.system() != "Linux":
        pytest.skip("this is not Linux")
    world = linux_world(
        tmp_path,
        maker,
        platform.machine(),
        engine_program,
        ["x86-64", "armv8-a"][platform.machine() == "aarch64"],
    )
    path = world.write()

    assert world.start(path, "exit=3").stdout == answer(path, "exit=3")
    assert world.start(path, "--lf-verify").stdout == whole(path)
    change(world.placed, 1000, 0x55)
    assert world.start(path).stdout == answer(path)
    change(path, find_data(path, world.engine.member) + 1000, 0x55)
    world.placed.unlink()
    assert world.start(path).returncode == 1


def test_a_chroot_with_nothing_in_it_is_enough(maker: Maker, tmp_path: Path) -> None:
    if os.geteuid() != 0 or platform.machine() != "x86_64":
        pytest.skip("only root can change its root folder")
    static = compile_program(find_compiler("gcc"), tmp_path / "engine", [ENGINE_SOURCE], "-static", "-s")
    world = linux_world(tmp_path, maker, "x86_64", static.read_bytes(), "x86-64")
    world.write()
    (tmp_path / "tmp").mkdir()

    result = start("chroot", tmp_path, "/tiny.lf", "x", variables={"PATH": os.environ["PATH"]})

    assert result.stdout == answer("/tiny.lf", "x")
    assert (tmp_path / "tmp" / "lfbuild-0" / world.placed.name).is_file()


def test_a_cpu_without_avx2_gets_the_same_digests(maker: Maker, tmp_path: Path, engine_program: bytes) -> None:
    qemu = shutil.which("qemu-x86_64")
    if qemu is None:
        pytest.skip("qemu-x86_64 is not here, so another CPU cannot be played")
    world = linux_world(tmp_path, maker, "x86_64", engine_program, "x86-64")
    path = world.write()

    for cpu in ("qemu64", "max"):
        result = world.start(qemu, "-cpu", cpu, str(path), "--lf-verify")
        assert result.stdout == whole(path)


def test_the_one_for_arm_starts_under_an_emulator(maker: Maker, tmp_path: Path, engine_program: bytes) -> None:
    """The emulated launcher starts an engine of this machine: an emulated program cannot start another one."""
    qemu = shutil.which("qemu-aarch64")
    if qemu is None:
        pytest.skip("qemu-aarch64 is not here, so an ARM processor cannot be played")
    world = linux_world(tmp_path, maker, "aarch64", engine_program, "armv8.2-a+dotprod,armv8-a")
    path = world.write()

    assert world.start(qemu, str(path), "x", "exit=3").stdout == answer(path, "x", "exit=3")
    assert world.start(qemu, str(path), "--lf-verify").stdout == whole(path)
    change(world.placed, 1000, 0x55)
    assert world.start(qemu, str(path)).stdout == answer(path)


@dataclass(frozen=True, kw_only=True)
class Wine:
    """Windows, played by Wine in a folder of its own."""

    prefix: Path

    def start(
        self, *words: str | Path, cwd: Path | None = None, stdin: str = "", **variables: str | Path
    ) -> subprocess.CompletedProcess[str]:
        environment: dict[str, str | Path] = {
            "WINEPREFIX": self.prefix,
            "WINEDEBUG": "-all",
            "LC_ALL": "C.UTF-8",
            "PATH": os.environ["PATH"],
        }
        return start(WINE, *words, cwd=cwd, stdin=stdin, variables=environment | variables)

    def path(self, path: Path) -> str:
        return "Z:" + str(path).replace("/", "\\")


@pytest.fixture(scope="session")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Wine:
    if not Path(WINE).is_file():
        pytest.skip("wine64 is not here, so Windows cannot be played")
    wine = Wine(prefix=tmp_path_factory.mktemp("wine"))
    wine.start("cmd", "/c", "exit")
    return wine


@pytest.fixture(scope="session")
def windows_engine(maker: Maker, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("windows-engine")
    return Engine(program=maker.engine("windows-x86_64", folder), target="windows-x86_64")


@pytest.fixture
def windows_file(maker: Maker, windows_engine: Engine, tmp_path: Path) -> Path:
    folder = tmp_path / "wéird folder 模型"
    folder.mkdir()
    plan = FilePlan(head=maker.launcher("windows-x86_64"), engines=(windows_engine,))
    return write_file(folder / "tiny ü.exe", plan)


def windows_answer(wine: Wine, path: Path, *words: str, no_args: str = "-") -> str:
    return answer(wine.path(path), *words, no_args=no_args)


def test_on_windows_words_exit_code_and_streams_go_through(wine: Wine, windows_file: Path, tmp_path: Path) -> None:
    words = ["-p", "two words", 'q"uote', "back\\slash\\", "", "Grüße 模型", "exit=77"]

    result = wine.start(windows_file, *words, LFBUILD_CACHE_DIR=wine.path(tmp_path / "a" / "b"))

    assert (result.stdout, result.stderr, result.returncode) == (windows_answer(wine, windows_file, *words), "", 77)
    assert [path.suffix for path in (tmp_path / "a" / "b").iterdir()] == [".exe"]
    assert wine.start(windows_file, "copy", stdin="in\n\x1aout").stdout == "in\n\x1aout"


def test_on_windows_only_the_own_flag_is_left_out(wine: Wine, windows_file: Path) -> None:
    result = wine.start(windows_file, "--lf-no-args", "two words", 'q"uote')

    assert result.stdout == windows_answer(wine, windows_file, "two words", 'q"uote', no_args="1")


def test_on_windows_a_poisoned_engine_is_made_anew(wine: Wine, windows_file: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    wine.start(windows_file, LFBUILD_CACHE_DIR=wine.path(cache))
    (placed,) = cache.iterdir()
    whole = placed.read_bytes()
    change(placed, 2000, 0x55)

    result = wine.start(windows_file, LFBUILD_CACHE_DIR=wine.path(cache))

    assert result.stdout == windows_answer(wine, windows_file)
    assert placed.read_bytes() == whole
    assert list(cache.iterdir()) == [placed]


def test_on_windows_a_damaged_engine_is_refused(wine: Wine, windows_file: Path, windows_engine: Engine) -> None:
    change(windows_file, find_data(windows_file, windows_engine.member) + 1000, 0x55)

    result = wine.start(windows_file, LFBUILD_CACHE_DIR=wine.path(windows_file.parent / "cache"))

    assert result.returncode == 1
    assert result.stderr.startswith(f"{wine.path(windows_file)}: its engine for windows-x86_64 is damaged (")
    assert list((windows_file.parent / "cache").iterdir()) == []


def test_on_windows_the_cache_is_where_programs_keep_theirs(wine: Wine, windows_file: Path) -> None:
    result = wine.start(windows_file, "--lf-cache-dir")

    assert result.stdout.endswith("\\AppData\\Local\\lfbuild\n")


def test_on_windows_a_member_is_extracted(wine: Wine, windows_file: Path, tmp_path: Path) -> None:
    result = wine.start(windows_file, "--lf-extract", ".lfbuild/slices", cwd=tmp_path)

    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)
    assert (tmp_path / "slices").read_bytes().startswith(b"lfbuild-slices 1\n")


def test_on_windows_weights_stand_beside_the_program_that_a_link_leads_to(
    wine: Wine, maker: Maker, windows_engine: Engine, tmp_path: Path
) -> None:
    head, beside = maker.launcher("windows-x86_64"), tmp_path / "weights.llamafile"
    plan = FilePlan(head=head, engines=(windows_engine,), members={".lfbuild/file": b"weights.llamafile\n"})
    path, link = write_file(tmp_path / "tiny.exe", plan), tmp_path / "elsewhere" / "link.exe"
    beside.touch()
    link.parent.mkdir()
    link.symlink_to(path)

    assert wine.start(path).stdout == answer(wine.path(beside), argv0=wine.path(path))
    assert wine.start(link).stdout == answer(wine.path(beside), argv0=wine.path(link))


def load_commands(program: bytes) -> dict[int, tuple[int, bytes]]:
    """By their kinds, the last load command of each: where it is, and its bytes."""
    commands, offset = {}, 32
    for _ in range(struct.unpack_from("<I", program, 16)[0]):
        kind, size = struct.unpack_from("<II", program, offset)
        commands[kind] = (offset, program[offset : offset + size])
        offset += size
    return commands


@pytest.mark.parametrize(("target", "cpu"), [("macos-aarch64", 0x0100000C), ("macos-x86_64", 0x01000007)])
def test_on_macos_it_needs_the_systems_own_library_and_nothing_else(maker: Maker, target: str, cpu: int) -> None:
    program = maker.launcher(target)

    assert struct.unpack_from("<II", program, 4)[0] == cpu
    commands = load_commands(program)
    libraries = [body[24:].split(b"\0")[0] for kind, (_, body) in commands.items() if kind & 0xFF == 0x0C]
    assert libraries == [b"/usr/lib/libSystem.B.dylib"]


def test_on_apples_processors_it_is_signed_as_the_system_demands(maker: Maker) -> None:
    program = maker.launcher("macos-aarch64")

    _, body = load_commands(program)[0x1D]  # LC_CODE_SIGNATURE
    offset, size = struct.unpack_from("<II", body, 8)
    magic, length = struct.unpack_from(">II", program, offset)
    assert (magic, offset + size) == (0xFADE0CC0, len(program))
    directory = offset + struct.unpack_from(">I", program, offset + 16)[0]
    assert struct.unpack_from(">I", program, directory)[0] == 0xFADE0C02
    assert struct.unpack_from(">I", program, directory + 12)[0] & 0x2  # ad hoc
    assert length <= size
