"""One program holds the same code several times: each copy under a suffix, templates and inline functions with it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.stubs.conftest import STUBS, find_compiler

from lfbuild.engine.zig import TRIPLES

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

# What ggml-cpu is in small: two files that call each other, and a template that both instantiate.
SHARED = """
template <typename T> struct Kernel {
    __attribute__((noinline)) static T level() { return LEVEL; }
};
extern "C" int first(void);
extern "C" int second(void);
extern "C" int outside(int);
"""
FIRST = SHARED + 'extern "C" int first(void) { return outside(second() * 100 + Kernel<int>::level()); }\n'
SECOND = SHARED + 'extern "C" int second(void) { return Kernel<int>::level(); }\n'
MAIN = """
#include <stdio.h>
extern "C" int first_one(void);
extern "C" int first_two(void);
extern "C" int outside(int value) { return value; }
int main() { printf("%d %d", first_one(), first_two()); return 0; }
"""
CONSTRUCTOR = "int begin();\nint started = begin();\n"


@pytest.fixture(scope="module")
def zig(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("the package ziglang is not installed")
    return [sys.executable, "-m", "ziglang", "c++", "-g0", "-O1"]


@pytest.fixture(scope="module")
def renaming() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rename_symbols", STUBS / "rename_symbols.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["rename_symbols"] = module
    spec.loader.exec_module(module)
    return module


def compiled(compiler: list[str], folder: Path, text: str, *words: str) -> Path:
    source = folder / f"{len(list(folder.iterdir()))}.cpp"
    source.write_text(text, encoding="utf-8")
    made = source.with_suffix(".o")
    subprocess.run([*compiler, "-c", source, "-o", made, *words], check=True)
    return made


def renamed(suffix: str, folder: Path, *objects: Path) -> list[Path]:
    argv = [sys.executable, STUBS / "rename_symbols.py", suffix, folder, *objects]
    subprocess.run(argv, check=True)
    return sorted(folder.iterdir())


def test_each_copy_calls_its_own_functions_and_templates(tmp_path: Path) -> None:
    compiler = [find_compiler("g++"), "-O1"]
    objects = [compiled(compiler, tmp_path, MAIN)]
    for suffix, level in (("_one", 1), ("_two", 2)):
        made = [compiled(compiler, tmp_path, text, f"-DLEVEL={level}") for text in (FIRST, SECOND)]
        objects += renamed(suffix, tmp_path / suffix, *made)
    program = tmp_path / "program"
    subprocess.run([*compiler, *objects, "-o", program], check=True)

    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "101 202"


@pytest.mark.parametrize("target", TRIPLES.values())
def test_what_is_defined_elsewhere_keeps_its_name(
    zig: list[str], target: str, renaming: ModuleType, tmp_path: Path
) -> None:
    objects = [compiled([*zig, "-target", target], tmp_path, text, "-DLEVEL=3") for text in (FIRST, SECOND)]

    (one, _) = renamed("_three", tmp_path / "renamed", *objects)

    names = {symbol.name for symbol in renaming.read_object(one.read_bytes()).symbols() if symbol.is_global}
    mark = b"_" if "macos" in target else b""
    assert {mark + b"outside", mark + b"first_three", mark + b"second_three"} <= names
    assert not {mark + b"first", mark + b"second"} & names


@pytest.mark.parametrize("target", TRIPLES.values())
def test_code_that_would_run_before_main_is_refused(zig: list[str], target: str, tmp_path: Path) -> None:
    made = compiled([*zig, "-target", target], tmp_path, CONSTRUCTOR)

    argv = [sys.executable, STUBS / "rename_symbols.py", "_x", tmp_path / "renamed", made]
    refused = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (refused.returncode, refused.stderr) == (
        1,
        f"lfbuild: 0001-{made.name}: runs code before main, on whatever CPU\n",
    )
    assert not (tmp_path / "renamed").exists()


@pytest.mark.parametrize("data", [b"", b"not an object", b"\x7fELF\x02\x01" + bytes(40), b"\x64\x86"])
def test_what_is_no_object_is_refused(renaming: ModuleType, data: bytes) -> None:
    with pytest.raises(renaming.ObjectError) as caught:
        renaming.rename_all({"a.o": data}, b"_x")

    assert str(caught.value).startswith("a.o: ")


@pytest.mark.parametrize("target", TRIPLES.values())
def test_an_object_of_nothing_stays_as_it_is(zig: list[str], tmp_path: Path, target: str) -> None:
    empty = compiled(zig, tmp_path, "// for other machines\n", "-target", target)

    (same,) = renamed("_one", tmp_path / "renamed", empty)

    assert same.read_bytes() == empty.read_bytes()
