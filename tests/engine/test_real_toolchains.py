"""The toolchains and launchers themselves, on the ten-file project; in `ci/full` on llama.cpp, too.

`LFBUILD_TEST_LLAMA_CPP` names another source tree of llama.cpp than the smallest recipe's, `LFBUILD_COSMOCC` an
unpacked cosmocc.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.engine.tiny import ANSWER, tiny_job, write_tiny_project
from tests.world.zig import libraries_folder

from lfbuild.commands.origins import tree_origin
from lfbuild.commands.settings import read_settings
from lfbuild.engine.compile import compile_engine
from lfbuild.engine.cosmocc import find_cosmocc
from lfbuild.engine.job import LLAMA_CPP, EngineJob, digest_folder
from lfbuild.engine.zig import TRIPLES, Zig, find_zig
from lfbuild.errors import ToolError
from lfbuild.formats.executable import Program, identify_program
from lfbuild.host.machine import look_at_machine
from lfbuild.recipe import load_recipe
from lfbuild.report import SilentReport
from lfbuild.sources import fetch_tree
from lfbuild.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lfbuild.engine.job import Engine
    from lfbuild.host.machine import Machine

pytestmark = pytest.mark.real

RECIPE = Path(__file__).parents[2] / "recipes" / "smollm2.toml"
SOURCES = 7
"""Files of the tiny project that are compiled."""


@pytest.fixture(scope="session")
def machine() -> Machine:
    return look_at_machine(search_path=os.environ["PATH"])


@pytest.fixture(scope="session")
def zig(machine: Machine) -> Zig:
    if machine.system != "linux":
        pytest.skip("zig is used on Linux")
    try:
        return find_zig(None)
    except ToolError as error:
        pytest.skip(str(error))


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that others may look into: distccd gives up root's rights."""
    with tempfile.TemporaryDirectory(prefix="lfbuild-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Builder:
    """Builds in a store of its own, with zig's libraries from the user's."""

    machine: Machine

    def build(self, order: EngineJob, root: Path, **passed: str) -> Engine:
        store = Store(root)
        libraries = libraries_folder()
        kept = store.entry_path("toolchains", libraries.name)
        kept.parent.mkdir(parents=True)
        kept.symlink_to(libraries)
        environment = {"HOME": str(root)} | passed
        return compile_engine(
            order, store=store, machine=self.machine, jobs=2, report=SilentReport(), passed=environment
        )


@pytest.fixture
def builder(machine: Machine) -> Builder:
    return Builder(machine=machine)


def order_in(folder: Path, toolchain: Zig, *, launcher: str | None = None) -> EngineJob:
    return tiny_job(write_tiny_project(folder / "source"), toolchain, launcher=launcher)


def answer(engine: Engine, *before: str) -> str:
    return subprocess.run([*before, engine.path], capture_output=True, text=True, check=True).stdout


def program_or_skip(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return Path(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class DistccServer:
    """A running distccd and its log."""

    port: int
    log: Path

    @property
    def compiled(self) -> int:
        return self.log.read_text(encoding="utf-8").count("COMPILE_OK")


@contextlib.contextmanager
def distcc_server(folder: Path) -> Iterator[DistccServer]:
    """`--enable-tcp-insecure`: it takes any compiler by its path, as the wrappers are new in each build."""
    program = program_or_skip("distccd")
    state = folder / "distccd"
    state.mkdir()
    log = state / "log"
    log.touch()
    for path, mode in ((state, 0o777), (log, 0o666)):
        path.chmod(mode)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [program, "--no-detach", "--daemon", "--allow", "127.0.0.1", "--listen", "127.0.0.1", "--port", str(port)]
    words += ["--log-file", log, "--log-level", "info", "--jobs", "2", "--enable-tcp-insecure"]
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(state)}
    environment |= {"ZIG_GLOBAL_CACHE_DIR": str(state / "zig"), "ZIG_LOCAL_CACHE_DIR": str(state / "zig")}
    server = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)
    try:
        _wait_until_it_listens(port)
        yield DistccServer(port=port, log=log)
    finally:
        server.terminate()
        server.wait()


def _wait_until_it_listens(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    pytest.fail("distccd does not listen")


@pytest.mark.full
@pytest.mark.parametrize("target", TRIPLES)
def test_once_zigs_libraries_are_made_a_build_makes_no_more_of_them(folder: Path, zig: Zig, target: str) -> None:
    """From an empty cache, which takes minutes: `ci/full` runs it."""
    cpus = ("armv8.2-a+dotprod",) if target.endswith("aarch64") else ("x86-64-v3",)
    (goal,) = replace(order_in(folder, zig), target=target, cpus=cpus).goals()
    scratch = folder / "scratch"
    (scratch / "bin").mkdir(parents=True)
    rendering = zig.rendering(goal)
    for name, text in rendering.files.items():
        (scratch / name).write_text(text)
    environment = os.environ | zig.environment(cache=folder / "cache", scratch=scratch)
    subprocess.run(zig.libraries_command(goal, folder=scratch, jobs=2), cwd=scratch, env=environment, check=True)
    kept = {path.name for path in (folder / "cache").glob("*/o/*")}

    order = replace(order_in(folder / "build", zig), target=target, cpus=cpus)
    store = Store(folder / "store")
    toolchains = store.entry_path("toolchains", f"zig-{zig.version}-libraries")
    toolchains.parent.mkdir(parents=True)
    toolchains.symlink_to(folder / "cache")
    machine = look_at_machine(search_path=os.environ["PATH"])
    compile_engine(order, store=store, machine=machine, jobs=2, report=SilentReport(), passed={"HOME": str(folder)})

    made = [path for path in (folder / "cache").glob("*/o/*/*") if path.parent.name not in kept]
    # Windows' own libraries are lists of names, made when one is asked for.
    assert [path.name for path in made if path.suffix != ".lib"] == []


def test_zig_gives_the_same_bytes_in_two_folders(folder: Path, builder: Builder, zig: Zig) -> None:
    engines = [builder.build(order_in(folder / name, zig), folder / name / "a store") for name in ("here", "there")]

    assert answer(engines[0]) == ANSWER
    assert engines[0].path.read_bytes() == engines[1].path.read_bytes()
    assert str(folder).encode() not in engines[0].path.read_bytes()


@pytest.mark.parametrize(
    ("target", "program"),
    [
        ("linux-aarch64", Program(kind="elf", machines=("aarch64",))),
        ("windows-x86_64", Program(kind="pe", machines=("x86_64",))),
        ("macos-aarch64", Program(kind="macho", machines=("aarch64",))),
        ("macos-x86_64", Program(kind="macho", machines=("x86_64",))),
    ],
)
def test_zig_gives_the_same_bytes_for_another_system(
    folder: Path, builder: Builder, zig: Zig, target: str, program: Program
) -> None:
    cpus = ("armv8.2-a+dotprod",) if target.endswith("aarch64") else ("x86-64-v3",)
    orders = {name: replace(order_in(folder / name, zig), target=target, cpus=cpus) for name in ("here", "there")}

    heads = [builder.build(order, folder / name / "a store").path for name, order in orders.items()]

    contents = [head.read_bytes() for head in heads]
    assert identify_program(contents[0]) == program
    assert contents[0] == contents[1]
    assert str(folder).encode() not in contents[0]


def test_a_linux_program_is_static(folder: Path, builder: Builder, zig: Zig) -> None:
    engine = builder.build(order_in(folder, zig), folder / "store")
    root = folder / "an empty system"
    root.mkdir()
    shutil.copy(engine.path, root / "tiny")

    if os.geteuid() != 0:
        pytest.skip("only root can start a program in a system without files")
    finished = subprocess.run(["chroot", root, "/tiny"], capture_output=True, text=True, check=True)

    assert finished.stdout == ANSWER


def test_ccache_compiles_nothing_again_in_another_folder(folder: Path, builder: Builder, zig: Zig) -> None:
    ccache = program_or_skip("ccache")
    environment = {"CCACHE_DIR": str(folder / "ccache")}
    plain = builder.build(order_in(folder / "plain", zig), folder / "plain" / "store")

    heads = [
        builder.build(order_in(folder / name, zig, launcher="ccache"), folder / name / "store", **environment)
        for name in ("here", "there")
    ]

    statistics = subprocess.run([ccache, "--print-stats"], env=environment, capture_output=True, text=True, check=True)
    counts = dict(line.split("\t") for line in statistics.stdout.splitlines())
    assert (counts["cache_miss"], counts["direct_cache_hit"]) == (str(SOURCES), str(SOURCES))
    assert {head.path.read_bytes() for head in heads} == {plain.path.read_bytes()}


def test_distcc_compiles_elsewhere_and_gives_the_same_bytes(folder: Path, builder: Builder, zig: Zig) -> None:
    program_or_skip("distcc")
    (folder / "state").mkdir()
    plain = builder.build(order_in(folder / "plain", zig), folder / "plain" / "store")

    with distcc_server(folder) as server:
        head = builder.build(
            order_in(folder / "far", zig, launcher="distcc"),
            folder / "far" / "store",
            DISTCC_HOSTS=f"127.0.0.1:{server.port}",
            DISTCC_FALLBACK="0",
            DISTCC_DIR=str(folder / "state"),
        )

        assert server.compiled == SOURCES
    assert head.path.read_bytes() == plain.path.read_bytes()


def test_cosmocc_gives_one_program_for_two_architectures(folder: Path, machine: Machine) -> None:
    store = Store(folder / "store")
    named = os.environ.get("LFBUILD_COSMOCC")
    try:
        toolchain = find_cosmocc(None, folder=Path(named) if named else None, machine=machine, store=store)
    except ToolError as error:
        pytest.skip(str(error))
    heads = []
    for name in ("here", "there"):
        order = tiny_job(
            write_tiny_project(folder / name / "source"),
            toolchain,
            target="cosmo",
            cpus=("x86-64-v3", "armv8.2-a+dotprod"),
        )
        environment = {"HOME": str(folder)}
        heads.append(
            compile_engine(
                order,
                store=Store(folder / name / "store"),
                machine=machine,
                jobs=2,
                report=SilentReport(),
                passed=environment,
            )
        )

    assert heads[0].path.read_bytes() == heads[1].path.read_bytes()
    assert heads[0].path.read_bytes()[:8] == b"MZqFpD='"
    assert answer(heads[0], "sh") == ANSWER
    # The loader for the other architecture is in the file as text that a shell unpacks; qemu is given it directly.
    loader, qemu = toolchain.root / "bin" / "ape-aarch64.elf", program_or_skip("qemu-aarch64")
    assert answer(heads[0], str(qemu), str(loader)) == ANSWER


def llama_cpp_tree() -> Path:
    """The tree that the environment names, else the smallest recipe's, out of the user's cache."""
    named = os.environ.get("LFBUILD_TEST_LLAMA_CPP")
    if named:
        return Path(named)
    settings = read_settings(
        os.environ, proxies=urllib.request.getproxies(), cache_folder=None, offline=False, now=time.time()
    )
    recipe = load_recipe(RECIPE)
    source = recipe.engine.source
    tree = fetch_tree(
        tree_origin(source, recipe),
        folder=source.folder,
        sha256=None,
        store=settings.store(),
        network=settings.network(),
        report=SilentReport(),
        now=settings.now,
    )
    return tree.path


@pytest.mark.full
def test_llama_cpp_through_distcc_and_ccache_is_the_same_program(folder: Path, builder: Builder, zig: Zig) -> None:
    """Half an hour of compiling: `ci/full` runs it."""
    program_or_skip("distcc")
    program_or_skip("ccache")
    tree = llama_cpp_tree()
    (folder / "state").mkdir()
    order = EngineJob(
        version="real",
        source=tree,
        source_sha256=digest_folder(tree, leave_out=(".git",)),
        target="linux-x86_64",
        cpus=("x86-64-v3",),
        toolchain=zig,
        project=LLAMA_CPP,
    )
    cached = {"CCACHE_DIR": str(folder / "ccache")}
    with distcc_server(folder) as server:
        far = {"DISTCC_HOSTS": f"127.0.0.1:{server.port}", "DISTCC_FALLBACK": "0", "DISTCC_DIR": str(folder / "state")}
        first = builder.build(replace(order, launcher="distcc"), folder / "far", **far)
        assert server.compiled > 150
    second = builder.build(replace(order, launcher="ccache"), folder / "filling", **cached)
    third = builder.build(replace(order, launcher="ccache"), folder / "cached", **cached)

    assert first.path.read_bytes() == second.path.read_bytes() == third.path.read_bytes()
