"""Carries out an engine's work order: render, configure, compile, join, keep.

The build happens in a folder of its own inside the store and leaves nothing there but its result. Two lfbuilds that
want the same engine compile it once. What decides the bytes stands in `job`, what the compiler needs in `toolchain`.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from lfbuild.engine.environment import build_environment, launcher_environment
from lfbuild.engine.job import Engine, EngineFacts
from lfbuild.engine.ninja import Progress, read_failure
from lfbuild.engine.render import render
from lfbuild.engine.source import read_flags
from lfbuild.engine.tools import find_cmake, find_launcher, find_ninja, find_npm
from lfbuild.errors import ToolError
from lfbuild.host.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lfbuild.engine.cpu import CpuLevel
    from lfbuild.engine.job import EngineJob
    from lfbuild.host.machine import Machine
    from lfbuild.host.process import Finished
    from lfbuild.report import Report
    from lfbuild.store import Store

HEAD = "head"
FACTS = "engine.json"
FLAGS = "flags.txt"
LOG = "build.log"


def compile_engine(
    job: EngineJob, *, store: Store, machine: Machine, jobs: int, report: Report, passed: Mapping[str, str]
) -> Engine:
    """The engine of this order: out of the store when it is there, else compiled and kept.

    `passed` is the front door's environment, of which a build sees only what `passed_variables` lets through.

    Raises:
        ToolError: a tool is missing, or the build failed; the sentence shows the command that did, the hint the log.
    """
    facts = job.facts()
    key = facts.key
    kept = load_engine(store, key)
    if kept is not None:
        return kept
    waiting = f"another lfbuild is compiling {job.name} {job.version}; waiting for it"
    with store.lock(f"engines/{key}", waiting=lambda: report.note(waiting)):
        kept = load_engine(store, key)
        if kept is not None:
            return kept
        _compile(job, facts=facts, store=store, machine=machine, jobs=jobs, report=report, passed=passed)
    made = load_engine(store, key)
    assert made is not None  # noqa: S101  # it was made just now, or an error raised
    return made


def load_engine(store: Store, key: str) -> Engine | None:
    """The kept engine with that key, or None.

    Raises:
        ToolError: what is kept is damaged.
    """
    import msgspec

    entry = store.entry("engines", key)
    if entry is None:
        return None
    try:
        facts = msgspec.json.decode((entry / FACTS).read_bytes(), type=EngineFacts)
        flags = frozenset((entry / FLAGS).read_text(encoding="utf-8").split())
    except (OSError, ValueError) as error:
        raise ToolError(entry, "the kept engine is damaged", hint="remove this folder; it is compiled again") from error
    return Engine(path=entry / HEAD, facts=facts, flags=flags, log=entry / LOG)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Workshop:
    """Where one build happens, and with what."""

    job: EngineJob
    folder: Path
    cmake: Path
    ninja: Path
    launcher: Path | None
    environment: Mapping[str, str]
    jobs: int
    log: BinaryIO
    log_path: Path

    def slice_folder(self, level: CpuLevel) -> Path:
        return self.folder / level.architecture

    def build_folder(self, level: CpuLevel) -> Path:
        return self.slice_folder(level) / "build"

    def call(
        self, argv: Sequence[str | Path], *, level: CpuLevel, on_line: Callable[[str], None] | None = None
    ) -> Finished:
        """Run a command of the build; its words and all its output go to the log."""
        toolchain, launcher = self.job.toolchain, self.job.launcher
        self.log.write(f"$ {' '.join(map(str, argv))}\n".encode())
        return run(
            argv,
            cwd=self.slice_folder(level),
            env={
                **launcher_environment(launcher, toolchain=toolchain, level=level, folder=self.folder),
                **self.environment,
            },
            on_line=on_line,
            log=self.log,
        )

    def failed(self, what: str, lines: Sequence[str]) -> ToolError:
        shown = "\n".join(f"  {line}" for line in lines)
        where = f"{self.job.name} {self.job.version}"
        return ToolError(where, f"{what}\n{shown}" if shown else what, hint=f"the whole log is {self.log_path}")


def _compile(
    job: EngineJob,
    *,
    facts: EngineFacts,
    store: Store,
    machine: Machine,
    jobs: int,
    report: Report,
    passed: Mapping[str, str],
) -> None:
    levels = job.levels()
    cmake, ninja = find_cmake(), find_ninja()
    launcher = find_launcher(job.launcher, machine) if job.launcher else None
    npm = [find_npm(machine)] if job.ui else []
    log_path = store.root / "logs" / f"{job.name}-{facts.key[:12]}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with (
        store.incoming() as scratch,
        store.making("engines", facts.key) as entry,
        log_path.open("wb", buffering=0) as log,
    ):
        folder = scratch.resolve()
        cache = store.entry_path("toolchains", f"{job.toolchain.kind}-{job.toolchain.version}-libraries").absolute()
        environment = build_environment(folder, programs=npm, passed=passed)
        workshop = _Workshop(
            job=job,
            folder=folder,
            cmake=cmake,
            ninja=ninja,
            launcher=launcher,
            environment=environment | dict(job.toolchain.environment(cache=cache, scratch=folder)),
            jobs=jobs,
            log=log,
            log_path=log_path,
        )
        # Beyond this point nothing is decided any more: the order is carried out.
        _lay_out(workshop, levels)
        programs = {level.architecture: _build(workshop, level, report) for level in levels}
        job.toolchain.finish(programs, entry / HEAD, call=lambda argv: _join(workshop, levels[0], argv))
        _write_entry(entry, facts, read_flags(job.source), log_path)
    log_path.unlink()


def _lay_out(workshop: _Workshop, levels: Sequence[CpuLevel]) -> None:
    """Everything that is written before CMake starts.

    The source stands under the same relative name in every build, so that ccache's relative paths are the same too.
    """
    job = workshop.job
    _link_entries(job.source, workshop.folder / "source")
    if job.project.stubs:
        _link_entries(job.stubs, workshop.folder / "stubs")
    for level in levels:
        folder, rendering = workshop.slice_folder(level), job.toolchain.rendering(level)
        (folder / "bin").mkdir(parents=True)
        for name, text in rendering.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        for name, text in rendering.commands.items():
            (folder / "bin" / name).write_text(text, encoding="utf-8")
            (folder / "bin" / name).chmod(0o755)
        options = job.cmake_options(level) | _local_options(workshop)
        (folder / "cache.cmake").write_text(render("cache.cmake", options=sorted(options.items())), encoding="utf-8")


def _link_entries(tree: Path, folder: Path) -> None:
    """A folder that shows what `tree` holds, but for `.git`, out of which upstream would read its build number.

    Not one link to the tree itself: a path that goes up from such a link means one thing to CMake, another to Ninja.
    """
    folder.mkdir()
    for entry in sorted(tree.resolve().iterdir()):
        if entry.name != ".git":
            (folder / entry.name).symlink_to(entry)


def _local_options(workshop: _Workshop) -> dict[str, str]:
    """CMake variables that hold paths of this machine; none of them may decide a byte."""
    options = {"CMAKE_MAKE_PROGRAM": str(workshop.ninja)}
    if workshop.launcher is not None:
        options |= dict.fromkeys(("CMAKE_C_COMPILER_LAUNCHER", "CMAKE_CXX_COMPILER_LAUNCHER"), str(workshop.launcher))
    if workshop.job.project.stubs:
        stubs = workshop.folder / "stubs"
        options |= {"LFBUILD_STUBS": str(stubs), "CMAKE_PROJECT_INCLUDE": str(stubs / "lfbuild.cmake")}
    return options


def _build(workshop: _Workshop, level: CpuLevel, report: Report) -> Path:
    """Configure and compile for one architecture; returns the linked program."""
    job = workshop.job
    with report.step(f"configuring {job.name} for {level.name}", unit="steps"):
        _configure(workshop, level)
    if job.ui:
        with report.step("building the chat page", unit="steps"):
            _build_page(workshop, level)
    with report.step(f"compiling {job.name} for {level.name}", unit="steps") as step:
        _ninja(workshop, level, job.project.cmake_target, on_line=Progress(step))
    program = workshop.build_folder(level) / job.project.program
    if not program.is_file():
        raise workshop.failed(f"the build ended well but made no {job.project.program}", ())
    return program


def _configure(workshop: _Workshop, level: CpuLevel) -> None:
    folder = workshop.slice_folder(level)
    argv: list[str | Path] = [workshop.cmake, "-G", "Ninja", "-S", workshop.folder / "source"]
    argv += ["-B", workshop.build_folder(level), "-C", folder / "cache.cmake"]
    argv += ["--toolchain", folder / "toolchain.cmake"]
    finished = workshop.call(argv, level=level)
    if finished.returncode != 0:
        raise workshop.failed("CMake refused the source", _cmake_words(finished.tail))


def _build_page(workshop: _Workshop, level: CpuLevel) -> None:
    """Upstream's own step, first and alone: it only warns when npm fails, and compiles an engine without a page."""
    page = workshop.build_folder(level) / "tools" / "ui" / "dist"
    made = sorted(workshop.folder.glob("*/build/tools/ui/dist"))
    if made:
        shutil.copytree(made[0], page)
    _ninja(workshop, level, "llama-ui-assets", on_line=None)
    if not (page / "index.html").is_file():
        raise workshop.failed("npm did not build the chat page", ())


def _ninja(workshop: _Workshop, level: CpuLevel, target: str, *, on_line: Callable[[str], None] | None) -> None:
    argv = [str(workshop.ninja), "-C", str(workshop.build_folder(level)), "-j", str(workshop.jobs), target]
    finished = workshop.call(argv, level=level, on_line=on_line)
    if finished.returncode == 0:
        return
    failure = read_failure(finished.tail)
    if failure is None:
        raise workshop.failed("Ninja failed", finished.tail[-10:])
    raise workshop.failed(f"{failure.outputs} was not made by", (failure.command, *failure.lines))


def _join(workshop: _Workshop, level: CpuLevel, argv: Sequence[str | Path]) -> None:
    finished = workshop.call(argv, level=level)
    if finished.returncode != 0:
        raise workshop.failed("the finished head was not made by", (" ".join(map(str, argv)), *finished.tail[-10:]))


def _cmake_words(lines: Sequence[str]) -> tuple[str, ...]:
    """From CMake's first error on; its last lines when it names none."""
    for number, line in enumerate(lines):
        if line.startswith("CMake Error"):
            return tuple(line for line in lines[number : number + 20] if line.strip())
    return tuple(lines[-10:])


def _write_entry(entry: Path, facts: EngineFacts, flags: frozenset[str], log_path: Path) -> None:
    import msgspec

    (entry / HEAD).chmod(0o755)
    (entry / FACTS).write_bytes(msgspec.json.format(msgspec.json.encode(facts), indent=1) + b"\n")
    (entry / FLAGS).write_text("".join(f"{flag}\n" for flag in sorted(flags)), encoding="utf-8")
    shutil.copyfile(log_path, entry / LOG)
