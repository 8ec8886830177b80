"""One build's folder and everything that runs in it.

    source/  stubs/         links to what is compiled; the same relative names in every build, for ccache's sake
    ARCHITECTURE/bin/       the compiler wrappers
    ARCHITECTURE/*.cmake    toolchain file and initial cache
    ARCHITECTURE/build/     CMake's and Ninja's

It lays this out, runs CMake and Ninja, and finds the words when one fails. What comes of it is not its business.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lfbuild.engine.environment import build_environment, launcher_environment
from lfbuild.engine.ninja import read_failure
from lfbuild.engine.render import render
from lfbuild.engine.tools import find_cmake, find_launcher, find_ninja, find_node
from lfbuild.errors import ToolError
from lfbuild.host.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lfbuild.engine.cpu import Goal
    from lfbuild.engine.job import EngineJob
    from lfbuild.host.machine import Machine
    from lfbuild.host.process import Finished

SHOWN_LINES = 20
PAGE = Path("tools", "ui", "dist")
"""Where upstream's build folder has the finished chat page."""
CLOCK = "fixed-clock.cjs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """The programs that carry out an order."""

    cmake: Path
    ninja: Path
    launcher: Path | None
    node: tuple[Path, ...]


def find_tools(*, launcher: str | None, ui: bool, machine: Machine) -> Tools:
    """Everything that a build with this launcher, and with the chat page or without, needs of this machine.

    Raises:
        ToolError: one of them is missing; nothing has been started yet.
    """
    return Tools(
        cmake=find_cmake(),
        ninja=find_ninja(),
        launcher=find_launcher(launcher, machine) if launcher else None,
        node=find_node(machine) if ui else (),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Workshop:
    """Where one order is carried out, and with what."""

    job: EngineJob
    tools: Tools
    folder: Path
    cache: Path
    """The toolchain's own cache, which outlives the build."""
    passed: Mapping[str, str]
    jobs: int
    log: BinaryIO
    log_path: Path

    def lay_out(self, goal: Goal) -> None:
        """Everything of one architecture that is written before CMake starts."""
        folder, rendering = self._slice(goal), self.job.toolchain.rendering(goal)
        for name, text in rendering.files.items():
            _write(folder / name, text)
        for name, text in rendering.commands.items():
            _write(folder / "bin" / name, text)
            (folder / "bin" / name).chmod(0o755)
        options = self.job.cmake_options(goal) | self._local_options()
        _write(folder / "cache.cmake", render("cache.cmake", options=sorted(options.items())))

    def furnish(self) -> None:
        """What all architectures share: the trees under names of the workshop's own, and the page's clock."""
        _link_entries(self.job.source, self.folder / "source")
        if self.job.project.stubs:
            _link_entries(self.job.stubs, self.folder / "stubs")
        if self.job.ui:
            milliseconds = int(self.job.source_sha256[:10], 16)
            _write(self.folder / CLOCK, render("fixed-clock.cjs", milliseconds=milliseconds))

    def libraries_command(self, goal: Goal) -> Sequence[str | Path]:
        """How the compiler makes the libraries that it does not come with; empty if there are none."""
        return self.job.toolchain.libraries_command(goal, folder=self._slice(goal), jobs=self.jobs)

    def configure(self, goal: Goal) -> None:
        """Run CMake for one architecture."""
        folder = self._slice(goal)
        argv: list[str | Path] = [self.tools.cmake, "-G", "Ninja", "-S", self.folder / "source"]
        argv += ["-B", self.build_folder(goal), "-C", folder / "cache.cmake"]
        argv += ["--toolchain", folder / "toolchain.cmake"]
        finished = self._call(argv, goal=goal)
        if finished.returncode != 0:
            raise self._failed("CMake refused the source", _cmake_words(finished.tail))

    def make_page(self, goal: Goal) -> None:
        """Build the chat page, first and alone: upstream only warns when npm fails, and goes on without a page."""
        page = self.build_folder(goal) / PAGE
        made = sorted(self.folder.glob(f"*/build/{PAGE}"))
        if made:  # for the architecture before; it is the same for all
            shutil.copytree(made[0], page)
        self.make(goal, "llama-ui-assets")
        if not (page / "index.html").is_file():
            raise self._failed("npm did not build the chat page", _npm_words(self.log_path))

    def make(self, goal: Goal, target: str, *, on_line: Callable[[str], None] | None = None) -> None:
        """Run Ninja for one target; `on_line` hears what it writes."""
        argv = [str(self.tools.ninja), "-C", str(self.build_folder(goal)), "-j", str(self.jobs), target]
        finished = self._call(argv, goal=goal, on_line=on_line)
        if finished.returncode == 0:
            return
        failure = read_failure(finished.tail)
        if failure is None:
            raise self._failed("Ninja failed", finished.tail[-SHOWN_LINES:])
        raise self._failed(f"{failure.output} was not made by", (failure.command, *failure.lines))

    def program(self, goal: Goal) -> Path:
        """The linked program of one architecture."""
        program = self.build_folder(goal) / self.job.program
        if not program.is_file():
            raise self._failed(f"the build ended well but made no {self.job.program}", ())
        return program

    def call(self, argv: Sequence[str | Path], *, goal: Goal, what: str) -> None:
        """Run a command that makes something; `what` names that in the sentence if it fails."""
        finished = self._call(argv, goal=goal)
        if finished.returncode != 0:
            words = (" ".join(map(str, argv)), *finished.tail[-SHOWN_LINES:])
            raise self._failed(f"{what} not made by", words)

    def build_folder(self, goal: Goal) -> Path:
        """CMake's folder for one architecture."""
        return self._slice(goal) / "build"

    def _slice(self, goal: Goal) -> Path:
        return self.folder / goal.architecture

    def _local_options(self) -> dict[str, str]:
        """CMake variables that hold paths of this machine; none of them may decide a byte."""
        options = {"CMAKE_MAKE_PROGRAM": str(self.tools.ninja)}
        if self.tools.launcher is not None:
            launcher = str(self.tools.launcher)
            options |= {"CMAKE_C_COMPILER_LAUNCHER": launcher, "CMAKE_CXX_COMPILER_LAUNCHER": launcher}
        if self.job.project.stubs:
            stubs = self.folder / "stubs"
            options |= {"LFBUILD_STUBS": str(stubs), "CMAKE_PROJECT_INCLUDE": str(stubs / "lfbuild.cmake")}
            options |= {"LFBUILD_PYTHON": sys.executable}
        return options

    def _call(
        self, argv: Sequence[str | Path], *, goal: Goal, on_line: Callable[[str], None] | None = None
    ) -> Finished:
        """Run a command of the build; its words and all its output go to the log."""
        toolchain = self.job.toolchain
        environment = {
            **launcher_environment(self.job, goal=goal, folder=self.folder),
            **build_environment(self.folder, programs=self.tools.node, passed=self.passed),
            **toolchain.environment(cache=self.cache, scratch=self.folder),
            **({"NODE_OPTIONS": f'--require "{self.folder / CLOCK}"'} if self.job.ui else {}),
        }
        self.log.write(f"$ {' '.join(map(str, argv))}\n".encode())
        return run(argv, cwd=self._slice(goal), env=environment, on_line=on_line, log=self.log)

    def _failed(self, what: str, lines: Sequence[str]) -> ToolError:
        shown = "".join(f"\n  {line}" for line in lines)
        where = f"{self.job.name} {self.job.version}"
        return ToolError(where, f"{what}{shown}", hint=f"the whole log is {self.log_path}")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _link_entries(tree: Path, folder: Path) -> None:
    """A folder that shows what `tree` holds, but for `.git`, out of which upstream would read its build number.

    Not one link to the tree itself: a path that goes up from such a link means one thing to CMake, another to Ninja.
    """
    folder.mkdir()
    for entry in sorted(tree.resolve().iterdir()):
        if entry.name != ".git":
            (folder / entry.name).symlink_to(entry)


def _cmake_words(lines: Sequence[str]) -> tuple[str, ...]:
    """From CMake's first error on; its last lines when it names none."""
    for number, line in enumerate(lines):
        if line.startswith("CMake Error"):
            return tuple(line for line in lines[number : number + SHOWN_LINES] if line.strip())
    return tuple(lines[-SHOWN_LINES:])


def _npm_words(log: Path) -> tuple[str, ...]:
    """What upstream's script said of npm, and npm's own errors."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return tuple(line for line in lines if line.startswith(("-- UI:", "npm error", "npm ERR!")))[-SHOWN_LINES:]
