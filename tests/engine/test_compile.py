"""An order is carried out once, leaves nothing but its result, and says what broke when it breaks."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.engine.tiny import ANSWER, PC, tiny_job, write_tiny_project

from lfbuild.engine.compile import compile_engine, load_engine
from lfbuild.errors import HostError, ToolError
from lfbuild.report import SilentReport
from lfbuild.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.engine.conftest import HostCompiler

    from lfbuild.engine.job import Engine, EngineJob
    from lfbuild.engine.toolchain import Toolchain
    from lfbuild.host.machine import Machine
    from lfbuild.report import Report, Step, Unit


class Told:
    """A report that keeps what it is told, and raises when the first file is done if it shall."""

    def __init__(self, *, interrupted: bool = False) -> None:
        self.titles: list[str] = []
        self.notes: list[str] = []
        self.counts: list[tuple[int, str]] = []
        self.total = 0
        self._interrupted = interrupted

    @contextmanager
    def step(self, title: str, /, *, total: int | None = None, unit: Unit = "bytes") -> Iterator[Step]:
        assert (total, unit) == (None, "steps")
        self.titles.append(title)
        yield self

    def advance(self, amount: int, /, *, detail: str = "") -> None:
        self.counts.append((amount, detail))
        if self._interrupted:
            raise KeyboardInterrupt

    def expect(self, total: int, /) -> None:
        self.total = total

    def note(self, text: str, /) -> None:
        self.notes.append(text)


def build(order: EngineJob, store: Store, *, report: Report | None = None) -> Engine:
    return compile_engine(
        order, store=store, machine=PC, jobs=2, report=report or SilentReport(), passed={"HOME": "/nowhere"}
    )


def answer(engine: Engine) -> str:
    return subprocess.run([engine.path], capture_output=True, text=True, check=True).stdout


def left_behind(store: Store) -> list[Path]:
    return list((store.root / "incoming").iterdir())


def test_a_compiler_that_makes_libraries_of_its_own_makes_them_first(
    source: Path, store: Store, compiler: HostCompiler
) -> None:
    made = store.root / "made"
    report = Told()

    build(tiny_job(source, replace(compiler, libraries=("/usr/bin/touch", str(made)))), store, report=report)

    assert made.is_file()
    assert report.titles[:2] == ["making host's libraries for linux-x86_64", "configuring tiny for linux-x86_64"]


def test_libraries_that_cannot_be_made_are_the_end_of_it(source: Path, store: Store, compiler: HostCompiler) -> None:
    order = tiny_job(source, replace(compiler, libraries=("/bin/sh", "-c", "echo no room >&2; exit 3")))

    with pytest.raises(ToolError) as caught:
        build(order, store)

    said = str(caught.value).splitlines()
    assert said[0] == "tiny 1.0: host's libraries were not made by"
    assert said[-1] == "  no room"
    assert left_behind(store) == []


def test_an_order_becomes_a_head_with_its_facts_and_its_log(source: Path, store: Store, compiler: Toolchain) -> None:
    report = Told()
    order = tiny_job(source, compiler)

    engine = build(order, store, report=report)

    assert answer(engine) == ANSWER
    assert engine.facts == order.facts()
    assert engine.path.stat().st_mode & 0o777 == 0o755
    assert "[9/9] Linking CXX executable bin/tiny" in engine.log.read_text(encoding="utf-8")
    assert report.titles == ["configuring tiny for linux-x86_64", "compiling tiny for linux-x86_64"]
    assert (report.total, sum(amount for amount, _ in report.counts)) == (9, 9)
    assert "part0.c" in {detail for _, detail in report.counts}
    assert left_behind(store) == []


def test_the_same_order_is_compiled_once(source: Path, store: Store, compiler: Toolchain) -> None:
    build(tiny_job(source, compiler), store)
    report = Told()

    engine = build(tiny_job(source, compiler, launcher="ccache"), store, report=report)

    assert report.titles == []
    assert answer(engine) == ANSWER


def test_two_folders_give_the_same_bytes(tmp_path: Path, compiler: Toolchain) -> None:
    heads = []
    for folder in (tmp_path / "here", tmp_path / "some where else"):
        order = tiny_job(write_tiny_project(folder / "source"), compiler)
        heads.append(build(order, Store(folder / "cache")).path.read_bytes())

    assert heads[0] == heads[1]
    assert str(tmp_path).encode() not in heads[0]


def test_a_folder_git_beside_the_source_is_not_seen(source: Path, store: Store, compiler: Toolchain) -> None:
    (source / ".git").write_text("gitdir: ../../.git/modules/tiny\n", encoding="utf-8")
    cmake = source / "CMakeLists.txt"
    lines = 'if(EXISTS "${CMAKE_SOURCE_DIR}/.git")\n  message(FATAL_ERROR "git is seen")\nendif()\n'
    cmake.write_text(cmake.read_text(encoding="utf-8") + lines, encoding="utf-8")

    assert answer(build(tiny_job(source, compiler), store)) == ANSWER


def test_nothing_of_the_machine_is_found_by_the_project(source: Path, store: Store, compiler: Toolchain) -> None:
    cmake = source / "CMakeLists.txt"
    lines = 'find_program(GIT git)\nfind_library(M m)\nif(GIT OR M)\n  message(FATAL_ERROR "${GIT} ${M}")\nendif()\n'
    cmake.write_text(cmake.read_text(encoding="utf-8") + lines, encoding="utf-8")

    assert answer(build(tiny_job(source, compiler), store)) == ANSWER


def test_a_failed_compile_shows_its_command_and_last_words(source: Path, store: Store, compiler: Toolchain) -> None:
    (source / "part2.c").write_text("int part2(strange x);\n", encoding="utf-8")
    order = tiny_job(source, compiler)

    with pytest.raises(ToolError) as caught:
        build(order, store)

    first, command, *words = str(caught.value).splitlines()
    assert first == "tiny 1.0: CMakeFiles/part.dir/part2.c.o was not made by"
    assert command.startswith("  ")
    assert "host-cc" in command
    assert command.endswith("source/part2.c")
    assert any("unknown type name" in word for word in words)
    log = store.root / "logs" / f"engines-{order.key()}.log"
    assert caught.value.hint == f"the whole log is {log}"
    assert "unknown type name" in log.read_text(encoding="utf-8")
    assert load_engine(store, order.key()) is None
    assert left_behind(store) == []


def test_a_source_that_cmake_refuses_is_told_in_cmakes_words(source: Path, store: Store, compiler: Toolchain) -> None:
    (source / "CMakeLists.txt").write_text(
        'cmake_minimum_required(VERSION 3.20)\nproject(tiny C)\nmessage(FATAL_ERROR "no such engine")\n',
        encoding="utf-8",
    )

    with pytest.raises(ToolError) as caught:
        build(tiny_job(source, compiler), store)

    first, second, third, *_ = str(caught.value).splitlines()
    assert first == "tiny 1.0: CMake refused the source"
    assert second == "  CMake Error at CMakeLists.txt:3 (message):"
    assert third == "    no such engine"


def test_a_target_that_makes_another_program_is_noticed(source: Path, store: Store, compiler: Toolchain) -> None:
    order = tiny_job(source, compiler)

    with pytest.raises(ToolError) as caught:
        build(replace(order, project=replace(order.project, program="bin/llama")), store)

    assert str(caught.value) == "tiny 1.0: the build ended well but made no bin/llama"


def test_an_interrupted_build_leaves_nothing_and_the_next_one_works(
    source: Path, store: Store, compiler: Toolchain
) -> None:
    order = tiny_job(source, compiler)

    with pytest.raises(KeyboardInterrupt):
        build(order, store, report=Told(interrupted=True))

    assert left_behind(store) == []
    assert load_engine(store, order.key()) is None
    assert answer(build(order, store)) == ANSWER


def test_a_missing_launcher_is_told_before_anything_is_built(
    source: Path, store: Store, compiler: Toolchain, tmp_path: Path
) -> None:
    order = tiny_job(source, compiler, launcher="icecc")
    machine = replace(PC, search_path=str(tmp_path))

    with pytest.raises(ToolError) as caught:
        compile_engine(order, store=store, machine=machine, jobs=2, report=SilentReport(), passed={})

    assert str(caught.value) == "icecc: the compiler launcher is not installed"
    assert not store.root.joinpath("incoming").exists()


def test_a_damaged_engine_is_not_handed_out(source: Path, store: Store, compiler: Toolchain) -> None:
    order = tiny_job(source, compiler)
    engine = build(order, store)
    (engine.path.parent / "engine.json").write_bytes(b"{")

    with pytest.raises(ToolError) as caught:
        build(order, store)

    assert str(caught.value) == f"{engine.path.parent}: the kept engine is damaged"
    assert caught.value.hint == "remove this folder; it is compiled again"


def machine_with_npm(folder: Path, npm: str) -> Machine:
    folder.mkdir()
    for name, text in {"npm": npm, "node": "exit 0"}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return replace(PC, search_path=str(folder))


def source_with_page(source: Path) -> Path:
    cmake = source / "CMakeLists.txt"
    page = "\nadd_custom_target(llama-ui-assets COMMAND npm ci || true COMMENT UI)\n"
    cmake.write_text(cmake.read_text(encoding="utf-8") + page, encoding="utf-8")
    return source


def test_the_chat_page_is_built_first_by_the_npm_of_the_search_path(
    source: Path, store: Store, compiler: Toolchain, tmp_path: Path
) -> None:
    npm = 'mkdir -p tools/ui/dist; echo page > tools/ui/dist/index.html; echo "node has $NODE_OPTIONS"'
    machine = machine_with_npm(tmp_path / "node", npm)
    report = Told()
    order = tiny_job(source_with_page(source), compiler, ui=True)

    engine = compile_engine(order, store=store, machine=machine, jobs=2, report=report, passed={})

    assert report.titles[1] == "building the chat page"
    assert re.search(r'node has --require "/.*/fixed-clock.cjs"', engine.log.read_text(encoding="utf-8"))


def test_a_page_that_npm_did_not_build_stops_the_build(
    source: Path, store: Store, compiler: Toolchain, tmp_path: Path
) -> None:
    """Upstream only warns, and compiles an engine without a page for ten minutes."""
    machine = machine_with_npm(tmp_path / "node", "echo 'npm error code ENOTFOUND'; exit 1")
    report = Told()

    with pytest.raises(ToolError) as caught:
        compile_engine(
            tiny_job(source_with_page(source), compiler, ui=True),
            store=store,
            machine=machine,
            jobs=2,
            report=report,
            passed={},
        )

    assert str(caught.value) == "tiny 1.0: npm did not build the chat page\n  npm error code ENOTFOUND"
    assert report.titles == ["configuring tiny for linux-x86_64", "building the chat page"]


def test_a_source_that_is_gone_is_told_by_its_path(store: Store, compiler: Toolchain, source: Path) -> None:
    order = replace(tiny_job(source, compiler), source=source / "gone")

    with pytest.raises(HostError) as caught:
        build(order, store)

    assert str(caught.value) == f"{source}/gone: does not exist"


def _build_forever(order: EngineJob, root: Path) -> None:
    build(order, Store(root))


def test_a_killed_lfbuild_leaves_no_compiler_behind(source: Path, store: Store, compiler: Toolchain) -> None:
    mark = source / "compiling"
    (source / "slow.sh").write_text(f"echo $$ > {mark}\nexec sleep 600\n", encoding="utf-8")
    slow = "add_custom_target(slow COMMAND sh ${CMAKE_SOURCE_DIR}/slow.sh)\n"
    cmake = source / "CMakeLists.txt"
    cmake.write_text(cmake.read_text(encoding="utf-8") + slow, encoding="utf-8")
    order = tiny_job(source, compiler)
    order = replace(order, project=replace(order.project, cmake_target="slow"))
    lfbuild = multiprocessing.get_context("spawn").Process(target=_build_forever, args=(order, store.root))
    lfbuild.start()
    assert wait_for(lambda: mark.is_file() and mark.read_text(encoding="utf-8") != "", seconds=60)
    pid = int(mark.read_text(encoding="utf-8"))

    assert lfbuild.pid is not None
    os.kill(lfbuild.pid, signal.SIGKILL)
    lfbuild.join()

    assert wait_for(lambda: not is_running(pid), seconds=10)
    assert load_engine(store, order.key()) is None
    assert store.drop_abandoned() > 0
    assert left_behind(store) == []


def wait_for(condition: Callable[[], bool], *, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def _build_elsewhere(order: EngineJob, root: Path, told: multiprocessing.SimpleQueue[list[str]]) -> None:
    report = Told()
    build(order, Store(root), report=report)
    told.put(report.titles)


def test_two_lfbuilds_on_one_store_compile_an_engine_once(source: Path, store: Store, compiler: Toolchain) -> None:
    context = multiprocessing.get_context("spawn")
    told: multiprocessing.SimpleQueue[list[str]] = context.SimpleQueue()
    order = tiny_job(source, compiler)
    builders = [context.Process(target=_build_elsewhere, args=(order, store.root, told)) for _ in range(2)]

    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()

    assert [builder.exitcode for builder in builders] == [0, 0]
    titles = ["configuring tiny for linux-x86_64", "compiling tiny for linux-x86_64"]
    assert sorted([told.get(), told.get()]) == [[], titles]


def test_the_programs_of_a_build_see_only_what_passes(
    source: Path, store: Store, compiler: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFLAGS", "-DSURPRISE")
    cmake = source / "CMakeLists.txt"
    lines = 'message(STATUS "home $ENV{HOME} flags $ENV{CFLAGS} epoch $ENV{SOURCE_DATE_EPOCH}")\n'
    cmake.write_text(cmake.read_text(encoding="utf-8") + lines, encoding="utf-8")

    engine = compile_engine(
        tiny_job(source, compiler),
        store=store,
        machine=PC,
        jobs=2,
        report=SilentReport(),
        passed=os.environ | {"HOME": "/h"},
    )

    assert "-- home /h flags  epoch 0" in engine.log.read_text(encoding="utf-8").splitlines()
