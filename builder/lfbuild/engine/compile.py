"""Carries out an engine's work order: render, configure, compile, join, keep.

The build happens in a folder of its own inside the store and leaves nothing there but its result. Two lfbuilds that
want the same engine compile it once. What decides the bytes stands in `job`, what the compiler needs in `toolchain`.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from lfbuild.engine.job import Engine, EngineFacts
from lfbuild.engine.ninja import Progress
from lfbuild.engine.source import read_flags
from lfbuild.engine.workshop import Workshop, find_tools
from lfbuild.errors import ToolError
from lfbuild.host.files import host_error

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lfbuild.engine.cpu import Goal
    from lfbuild.engine.job import EngineJob
    from lfbuild.host.machine import Machine
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
        HostError: the disk is full, or the store cannot be written.
    """
    facts = job.facts()
    kept = load_engine(store, facts.key)
    if kept is not None:
        return kept
    waiting = f"another lfbuild is compiling {job.name} {job.version}; waiting for it"
    with store.lock(f"engines/{facts.key}", waiting=lambda: report.note(waiting)):
        kept = load_engine(store, facts.key)
        if kept is not None:
            return kept
        try:
            _compile(job, facts=facts, store=store, machine=machine, jobs=jobs, report=report, passed=passed)
        except OSError as error:
            raise host_error(error.filename or store.root, error) from error
    made = load_engine(store, facts.key)
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
    goals = job.goals()
    tools = find_tools(launcher=job.launcher, ui=job.ui, machine=machine)
    log_path = store.log("engines", facts.key)
    cache = store.entry_path("toolchains", f"{job.toolchain.kind}-{job.toolchain.version}-libraries").absolute()
    # Beyond this point nothing is decided any more: the order is carried out.
    with store.making("engines", facts.key) as entry:
        # The scratch folder is gone before the entry is flushed, so that a gigabyte of objects need not be.
        with store.incoming() as scratch, log_path.open("wb", buffering=0) as log:
            workshop = Workshop(
                job=job,
                tools=tools,
                folder=scratch.resolve(),
                cache=cache,
                passed=passed,
                jobs=jobs,
                log=log,
                log_path=log_path,
            )
            workshop.furnish()
            programs = {goal.architecture: _build(workshop, goal, report) for goal in goals}
            job.toolchain.finish(
                programs,
                entry / HEAD,
                call=lambda argv: workshop.call(argv, goal=goals[0], what="the finished head was"),
            )
        _write_entry(entry, facts, read_flags(job.source), log_path)
    log_path.unlink()


def _build(workshop: Workshop, goal: Goal, report: Report) -> Path:
    """Configure and compile for one architecture; returns the linked program."""
    job = workshop.job
    workshop.lay_out(goal)
    libraries_command = workshop.libraries_command(goal)
    if libraries_command:
        with report.step(f"making {job.toolchain.kind}'s libraries for {goal.name}", unit="steps"):
            workshop.call(libraries_command, goal=goal, what=f"{job.toolchain.kind}'s libraries were")
    with report.step(f"configuring {job.name} for {goal.name}", unit="steps"):
        workshop.configure(goal)
    if job.ui:
        with report.step("building the chat page", unit="steps"):
            workshop.make_page(goal)
    with report.step(f"compiling {job.name} for {goal.name}", unit="steps") as step:
        workshop.make(goal, job.project.cmake_target, on_line=Progress(step))
    return workshop.program(goal)


def _write_entry(entry: Path, facts: EngineFacts, flags: frozenset[str], log_path: Path) -> None:
    import msgspec

    (entry / HEAD).chmod(0o755)
    (entry / FACTS).write_bytes(msgspec.json.format(msgspec.json.encode(facts), indent=1) + b"\n")
    (entry / FLAGS).write_text("".join(f"{flag}\n" for flag in sorted(flags)), encoding="utf-8")
    shutil.copyfile(log_path, entry / LOG)
