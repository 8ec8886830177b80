"""The work order for an engine, the key of its result, and the facts that are kept beside the result.

An order says everything that decides the bytes and where to find it on this machine; its key is made of the first
alone. How the order is carried out stands in `compile`; recipes are not known here.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import lfbuild
from lfbuild.engine.cpu import Goal, parse_cpu, sorted_levels
from lfbuild.engine.render import templates_sha256
from lfbuild.engine.source import read_aliases
from lfbuild.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lfbuild.engine.toolchain import Toolchain

KEY_FORMAT = 1
"""Raised when the same order would be carried out otherwise than before by something the key does not see."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """What a CMake project is built as: the target, the program it makes, and the options every build of it has."""

    cmake_target: str
    program: str
    """Path of the linked program inside the build folder, without a system's `.exe`."""
    options: tuple[tuple[str, str], ...] = ()
    stubs: bool = True
    """Whether our C layer is compiled in; it fits llama.cpp only."""


LLAMA_CPP = Project(
    cmake_target="llama-app",
    program="bin/llama",
    options=(
        ("GGML_NATIVE", "OFF"),
        ("GGML_OPENMP", "OFF"),
        ("GGML_CCACHE", "OFF"),
        # Apple's frameworks, which upstream takes for granted on macOS, are not there to cross-compile with.
        ("GGML_ACCELERATE", "OFF"),
        ("GGML_BLAS", "OFF"),
        ("GGML_METAL", "OFF"),
        ("LLAMA_BUILD_TESTS", "OFF"),
        ("LLAMA_BUILD_EXAMPLES", "OFF"),
        ("LLAMA_OPENSSL", "OFF"),
        ("LLAMA_USE_PREBUILT_UI", "OFF"),
        # Upstream takes these from git; the same source must give the same bytes with a .git folder and without.
        ("LLAMA_BUILD_NUMBER", "0"),
    ),
)


def stubs_folder() -> Path:
    """Our C layer: inside an installed package, else beside it in the checkout."""
    package = Path(lfbuild.__file__).parent
    installed = package / "stubs"
    return installed if installed.is_dir() else package.parents[1] / "stubs"


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineJob:
    """One engine to compile."""

    name: str = "llama.cpp"
    version: str
    source: Path
    """The unpacked source tree; it is only read."""
    source_sha256: str
    """Of the archive that the tree came from, or of the tree."""
    folder: str = ""
    """The folder of that archive that `source` is; empty for the whole."""
    target: str
    cpus: tuple[str, ...]
    """One level or several for each architecture of the target, in any order."""
    toolchain: Toolchain
    options: tuple[tuple[str, str], ...] = ()
    """CMake options of the recipe; they win over all others."""
    ui: bool = False
    """Whether upstream's chat page is built, with npm."""
    aliases: str | None = None
    """Other spellings of verbs, where they are known without the tree: see `verb_aliases`."""
    launcher: str | None = None
    project: Project = LLAMA_CPP
    stubs: Path = field(default_factory=stubs_folder)

    def goals(self) -> tuple[Goal, ...]:
        """What is compiled: one program for each architecture of the target, in the target's order.

        Raises:
            RecipeError: there is no such level.
            ToolError: the toolchain does not make this target, or the levels do not fit it.
        """
        architectures = self.toolchain.targets.get(self.target)
        if architectures is None:
            known = ", ".join(self.toolchain.targets)
            raise ToolError(self.target, f"{self.toolchain.kind} makes no files for it, only for {known}")
        levels = sorted_levels(map(parse_cpu, self.cpus))
        if {level.architecture for level in levels} != set(architectures):
            named = ", ".join(self.cpus) or "none"
            raise ToolError(self.target, f"needs CPU levels of {' and '.join(architectures)}, not {named}")
        return tuple(
            Goal(
                target=self.target,
                architecture=architecture,
                levels=tuple(level for level in levels if level.architecture == architecture),
            )
            for architecture in architectures
        )

    @property
    def program(self) -> str:
        """Path of the linked program inside the build folder."""
        return self.project.program + (".exe" if self.target.startswith("windows-") else "")

    def cmake_options(self, goal: Goal) -> dict[str, str]:
        """Every CMake variable that does not depend on where the build happens; the recipe's have the last word."""
        fixed = {
            "CMAKE_BUILD_TYPE": "Release",
            "BUILD_SHARED_LIBS": "OFF",
            "LLAMA_BUILD_COMMIT": self.source_sha256[:12],
            "LLAMA_BUILD_UI": "ON" if self.ui else "OFF",
        }
        if self.project.stubs:
            fixed |= {
                "LFBUILD_ENGINE_VERSION": f"{self.name} {self.version}",
                "LFBUILD_VERB_ALIASES": self.verb_aliases(),
            } | _variants(goal)
        return fixed | dict(self.project.options) | dict(goal.least.options) | dict(self.options)

    def verb_aliases(self) -> str:
        """Other spellings of the program's verbs, as default_args.c reads them: `server=serve,client=cli`."""
        return read_aliases(self.source) if self.aliases is None else self.aliases

    def key(self) -> str:
        """A sha256 over everything that decides the bytes: not over paths, the number of jobs, or the launcher."""
        order = {
            "format": KEY_FORMAT,
            "source": [self.source_sha256, self.folder],
            "stubs": self.stubs_sha256(),
            "templates": templates_sha256(),
            "target": self.target,
            "cmake-target": [self.project.cmake_target, self.project.program],
            "ui": self.ui,
            "toolchain": [self.toolchain.kind, self.toolchain.version, self.toolchain.sha256],
            "slices": [
                [self.toolchain.identity(goal), sorted(self.cmake_options(goal).items())] for goal in self.goals()
            ],
        }
        return hashlib.sha256(json.dumps(order, sort_keys=True).encode()).hexdigest()

    def stubs_sha256(self) -> str:
        """The digest of our C layer as it is compiled in; empty where it is not."""
        return digest_folder(self.stubs, leave_out=("tests", "launcher")) if self.project.stubs else ""

    def facts(self) -> EngineFacts:
        """What is kept of the order beside its result."""
        return EngineFacts(
            name=self.name,
            version=self.version,
            source_sha256=self.source_sha256,
            stubs_sha256=self.stubs_sha256(),
            toolchain=ToolchainFacts(
                kind=self.toolchain.kind, version=self.toolchain.version, sha256=self.toolchain.sha256
            ),
            target=self.target,
            cpus=tuple(level.name for goal in self.goals() for level in goal.levels),
            options=self.options,
            ui=self.ui,
            key=self.key(),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolchainFacts:
    """Which toolchain compiled an engine."""

    kind: str
    version: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineFacts:
    """What an engine was made from; stored as `engine.json` beside its head, and told by the file's manifest."""

    name: str
    version: str
    source_sha256: str
    stubs_sha256: str
    toolchain: ToolchainFacts
    target: str
    cpus: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    ui: bool
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """A compiled engine in the store."""

    path: Path
    """The head: a stripped executable."""
    facts: EngineFacts
    flags: frozenset[str]
    """The command line flags it understands."""
    log: Path


def _variants(goal: Goal) -> dict[str, str]:
    """What stubs/variants.cmake has to know of each level."""
    options = {
        "LFBUILD_CPU": goal.least.name,
        "LFBUILD_VARIANTS": ";".join(level.tag for level in goal.levels),
    }
    for level in goal.levels:
        switched_on = [option for option, value in level.options if value == "ON"]
        options |= {
            f"LFBUILD_LEVEL_{level.tag}": level.name,
            f"LFBUILD_OPTIONS_{level.tag}": ";".join(switched_on),
            f"LFBUILD_SCORED_{level.tag}": ";".join(level.scored),
        }
    return options


def digest_folder(folder: Path, *, leave_out: tuple[str, ...] = ()) -> str:
    """A sha256 over the names and contents of all files below `folder`, but for the top-level names left out."""
    digest = hashlib.sha256()
    for name, path in sorted(files_below(folder, leave_out=leave_out).items()):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def files_below(folder: Path, *, leave_out: tuple[str, ...] = ()) -> Mapping[str, Path]:
    """All files by their names relative to `folder`, links to files among them."""
    # Links to folders are not followed: cosmocc has some that lead to where they are.
    paths = [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]
    files = {path.relative_to(folder): path for path in paths if path.is_file()}
    return {
        name.as_posix(): path
        for name, path in files.items()
        if name.parts[0] not in leave_out and "__pycache__" not in name.parts
    }
