"""A ten-file CMake project that compiles in seconds with the same machinery as llama.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.engine.job import EngineJob, Project, digest_folder
from lfbuild.host.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.engine.toolchain import Toolchain

ANSWER = (
    "110 /lfbuild/source/part3.c made /text.cpp\n/lfbuild/source/near/tiny.h /lfbuild/source/near/tiny.h\naardvark\n"
)
"""What the program says: of the build's folder, the launcher and the order of folders it knows nothing."""
TINY = Project(cmake_target="tiny", program="bin/tiny", stubs=False)

PC = Machine(
    system="linux",
    architecture="x86_64",
    cpu_name="a made-up one",
    cpu_features=frozenset({"sse4.2", "avx"}),
    cores=2,
    search_path="/usr/bin:/bin",
)

_CMAKE = """cmake_minimum_required(VERSION 3.20)
project(tiny C CXX)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
configure_file(near/made/made.h.in made.h)
add_library(part STATIC part0.c part1.c part2.c part3.c part4.cpp)
add_executable(tiny main.c text.cpp)
target_include_directories(part PRIVATE ${CMAKE_CURRENT_BINARY_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/near/made/..)
set_property(SOURCE text.cpp PROPERTY COMPILE_OPTIONS -include "${CMAKE_CURRENT_SOURCE_DIR}/near/tiny.h")
target_link_libraries(tiny part)
"""
_PART = """#include "made.h"
#include <tiny.h>
const char *where{number}(void) {{ return __FILE__ " " MADE_FILE; }}
const char *header{number}(void) {{ return header(); }}
int part{number}(int x) {{ return x + {number}; }}
"""
_MAIN = """#include <stdio.h>
#include "near/tiny.h"
int main(void) {
    printf("%d %s %s\\n", part0(part1(part2(part3(part4(100))))), where3(), text());
    printf("%s %s\\n", header3(), forced());
    printf("%s\\n", animal(3));
    return 0;
}
"""
_TEXT = """#include <string.h>
extern "C" const char *text(void) { return strrchr(__FILE__, '/'); }
extern "C" const char *forced(void) { return header(); }
extern "C" const char *animal(int number) {
    static const char *const names[] = {"zebra", "sealion", "lion", "aardvark", ""};
    return names[number];
}
"""


def write_tiny_project(folder: Path) -> Path:
    """Ten files: five parts, a main, a text, a header, a header that CMake fills in, and the CMakeLists.txt.

    The header tells its own name: it is looked for in a folder with `..` in it, and forced into the text.
    """
    (folder / "near" / "made").mkdir(parents=True)
    names = [f"part{number}(int), {'*'}where{number}(void)" for number in range(5)]
    declarations = "".join(
        f"int part{number}(int);\nconst char *where{number}(void), *header{number}(void);\n"
        for number in range(len(names))
    )
    declarations += "const char *text(void), *forced(void), *animal(int);\n"
    header = f'#pragma once\n#ifdef __cplusplus\nextern "C" {{\n#endif\n{declarations}'
    header += "static inline const char *header(void) { return __FILE__; }\n"
    files = {
        "CMakeLists.txt": _CMAKE,
        "near/made/made.h.in": '#define MADE_FILE "made"\n',
        "near/tiny.h": f"{header}#ifdef __cplusplus\n}}\n#endif\n",
        "main.c": _MAIN,
        "text.cpp": _TEXT,
        **{f"part{number}.c": _PART.format(number=number) for number in range(4)},
        "part4.cpp": _PART.format(number=4),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def tiny_job(source: Path, toolchain: Toolchain, **changes: object) -> EngineJob:
    """An order for the tiny project; `changes` replaces fields."""
    fields: dict[str, object] = {
        "name": "tiny",
        "version": "1.0",
        "source": source,
        "source_sha256": digest_folder(source),
        "target": "linux-x86_64",
        "cpus": ("x86-64-v3",),
        "toolchain": toolchain,
        "project": TINY,
    }
    return EngineJob(**(fields | changes))  # type: ignore[arg-type]  # a test's own keyword arguments
