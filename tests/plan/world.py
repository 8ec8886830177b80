"""A recipe in a folder of its own, and what was found for it, for plans that are made from values alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.engine.cosmocc import Cosmocc
from lfbuild.engine.zig import Zig
from lfbuild.formats.blocks import Cuts
from lfbuild.manifest.model import Origin
from lfbuild.plan import SuppliedFile, Supplies, make_plan
from lfbuild.recipe import load_recipe

if TYPE_CHECKING:
    from lfbuild.engine.toolchain import Toolchain
    from lfbuild.plan import Plan
    from lfbuild.recipe import Recipe

RECIPE = """\
[llamafile]
name = "chat"
[engine]
source = { pypi = "llama-cpp-python==0.3.36", folder = "vendor/llama.cpp" }
options = { GGML_LTO = true }
[toolchain]
kind = "zig"
[targets]
systems = ["linux-x86_64"]
cpus = ["x86-64-v3"]
[[model]]
source = { path = "tiny.gguf" }
license = "MIT"
[[file]]
name = "docs/prompt.txt"
source = { path = "prompt.txt" }
mode = "0755"
[args]
common = ["--temp", "0"]
[args.serve]
arguments = ["--host", "127.0.0.1"]
[archive]
engine-room = "50 %"
"""
TARGETS_TABLE = 'systems = ["linux-x86_64"]\ncpus = ["x86-64-v3"]\n'
"""What a test about targets writes over: lines 9 and 10."""


ZIG = Zig(program=Path("/somewhere/zig"), version="0.17.1")
COSMOCC = Cosmocc(root=Path("/somewhere/cosmocc"), version="4.0.2", sha256="cd" * 32)


def recipe_of(folder: Path, text: str = RECIPE) -> Recipe:
    """A recipe of this text."""
    path = folder / "chat.toml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


def targeting(folder: Path, targets: str, *, more: str = "", kind: str = "zig") -> Recipe:
    """A recipe with these lines in `[targets]`, from line 9 on."""
    text = RECIPE.replace(TARGETS_TABLE, targets).replace('kind = "zig"', f'kind = "{kind}"')
    return recipe_of(folder, text + more)


def supplied(name: str, size: int = 1000) -> SuppliedFile:
    """A file that was found."""
    return SuppliedFile(
        name=name,
        path=Path("/somewhere") / name,
        size_bytes=size,
        origin=Origin(kind="path", location=name),
        cuts=Cuts.plain(size),
    )


def supplies(*, size: int = 1000, toolchain: Toolchain = ZIG, icon: bytes = b"") -> Supplies:
    """Everything that the recipe needs, on a Linux machine."""
    return Supplies(
        source=Path("/somewhere/llama.cpp"),
        source_sha256="ab" * 32,
        folder="vendor/llama.cpp",
        toolchain=toolchain,
        host="linux-x86_64",
        models=((supplied("tiny.gguf", size),),),
        files=(supplied("docs/prompt.txt"),),
        icon=icon,
    )


def plan_of(recipe: Recipe, given: Supplies | None = None, *, output: str = "chat.llamafile") -> Plan:
    """The plan."""
    return make_plan(recipe, given or supplies(), text=b"the text", output=Path(output), epoch=315532800, launcher=None)
