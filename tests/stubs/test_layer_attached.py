"""lfbuild.cmake puts the layer into an engine, and an engine that goes past the layer does not build.

The engine is a toy with upstream's targets, file names and calls; the real one is built by tests/system.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from tests.stubs.conftest import STUBS, find_compiler
from tests.stubs.containers import EndRecord, Record, gguf, seal, write_by_hand

CMAKE_LISTS = """
cmake_minimum_required(VERSION 3.14...3.28)
project(toy C CXX)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
add_subdirectory(ggml)
add_subdirectory(src)
add_subdirectory(tools/mtmd)
add_subdirectory(app)
"""

GGML_FOPEN = 'extern "C" FILE * ggml_fopen(const char * name, const char * mode)'
LOAD = """
#include <cstdio>
#include <string>
std::string read_all(const char * name) {
    FILE * file = ggml_fopen(name, "rb");
    if (!file) { return "none"; }
    fseeko(file, 0, SEEK_END);
    std::string text(static_cast<size_t>(ftello(file)), '.');
    fseeko(file, 0, SEEK_SET);
    size_t got = std::fread(&text[0], 1, text.size(), file);
    std::fclose(file);
    return got == text.size() ? text : "short";
}
"""
ADAPTER = """
#include "ggml.h"
int adapter(const char * name) {
    FILE * file = ggml_fopen(name, "rb");
    return file ? fclose(file) : -1;
}
"""
MMAP = """
#include "llama-mmap.h"
#include "ggml.h"
#include <string>
#include <sys/mman.h>
std::string map_all(const char * name) {
    FILE * file = ggml_fopen(name, "rb");
    if (!file) { return "none"; }
    fseeko(file, 0, SEEK_END);
    size_t size = static_cast<size_t>(ftello(file));
    char start[4];
    fseeko(file, 0, SEEK_SET);
    if (fread(start, 1, 4, file) != 4) { return "short"; }
    void * address = mmap(NULL, size, PROT_READ, MAP_SHARED, fileno(file), 0);
    fclose(file);
    std::string text = address == MAP_FAILED ? "not mapped" : std::string(static_cast<char *>(address), size);
    munmap(address, size);
    return text;
}
"""
CLIP = """
#include "clip-impl.h"
std::string first_word(const std::string & name) {
    auto stream = open_ifstream_binary(name);
    std::string word;
    stream >> word;
    stream.close();
    return word;
}
"""
CLIP_HEADER = """#pragma once
#include <fstream>
#include <string>
[[maybe_unused]] static std::ifstream open_ifstream_binary(const std::string & name) {
    return std::ifstream(name, std::ios::binary);
}
"""
APP = """
#include <cstdio>
#include <string>
std::string read_all(const char *);
std::string map_all(const char *);
std::string first_word(const std::string &);
int adapter(const char *);

int main(int argc, char ** argv) {
    for (int i = 1; i < argc; i++) { printf("[%s]", argv[i]); }
    const char * name = argv[argc - 1];
    printf(" %s, %s, %s, ", read_all(name).c_str(), map_all(name).c_str(), first_word(name).c_str());
    printf("%d\\n", adapter(name));
    return 0;
}
"""
DOT = """
#include "../../quants.h"
void ggml_vec_dot_q4_1_q8_1(int n, float * GGML_RESTRICT s, size_t bs, const void * GGML_RESTRICT vx, size_t bx, \
const void * GGML_RESTRICT vy, size_t by, int nrc) {
    *s = 7;
}
"""
QUANTS = """
#include <stddef.h>
#define GGML_RESTRICT __restrict
#ifdef __cplusplus
extern "C"
#endif
void ggml_vec_dot_q4_1_q8_1(int, float *, size_t, const void *, size_t, const void *, size_t, int);
"""
DOT_APP = """
#include <cstdio>
#include "ggml-cpu/quants.h"
int main(int argc, char ** argv) {
    float dot = 0;
    ggml_vec_dot_q4_1_q8_1(0, &dot, 0, argv, 0, argv, 0, argc);
    printf("%.0f\\n", dot);
    return 0;
}
"""
ENGINE = {
    "CMakeLists.txt": CMAKE_LISTS,
    "ggml/CMakeLists.txt": "project(ggml C CXX)\nadd_subdirectory(src)\n",
    "ggml/src/CMakeLists.txt": (
        "add_library(ggml-base ggml.c gguf.cpp)\ntarget_include_directories(ggml-base PUBLIC ../include)\n"
    ),
    "ggml/include/ggml.h": f"#pragma once\n#include <stdio.h>\n#ifdef __cplusplus\n{GGML_FOPEN};\n#endif\n",
    "ggml/src/ggml.c": (
        "#include <stdio.h>\nFILE * ggml_fopen(const char * name, const char * mode);\n"
        "FILE * ggml_fopen(const char * name, const char * mode) { return fopen(name, mode); }\n"
    ),
    "ggml/src/gguf.cpp": '#include "ggml.h"' + LOAD,
    "src/CMakeLists.txt": (
        "add_library(llama llama-mmap.cpp llama-adapter.cpp llama-model.cpp)\n"
        "set_target_properties(llama PROPERTIES UNITY_BUILD ON)\n"
        "target_link_libraries(llama PUBLIC ggml-base)\n"
    ),
    "src/llama-mmap.h": "#pragma once\n#include <string>\nstd::string map_all(const char *);\n",
    "src/llama-mmap.cpp": MMAP,
    "src/llama-adapter.cpp": ADAPTER,
    "src/llama-model.cpp": "// page faults deferred by mmap() are no use of it\nint model() { return 0; }\n",
    "tools/mtmd/CMakeLists.txt": "add_library(mtmd clip.cpp)\ntarget_link_libraries(mtmd PUBLIC ggml-base)\n",
    "tools/mtmd/clip-impl.h": CLIP_HEADER,
    "tools/mtmd/clip.cpp": CLIP,
    "common/arg.cpp": "",
    "app/CMakeLists.txt": "add_executable(llama-app llama.cpp)\ntarget_link_libraries(llama-app PRIVATE llama mtmd)\n",
    "app/llama.cpp": APP,
}
HINT = "this engine version needs a newer lfbuild, or an older engine version"


def find_tool(name: str) -> str:
    scripts = Path(sysconfig.get_path("scripts")) / name
    found = str(scripts) if scripts.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (lfbuild[build])")
    return found


class Engine:
    """The toy in a folder of its own, with some of its files changed."""

    def __init__(self, folder: Path) -> None:
        self.source, self.build = folder / "engine", folder / "build"
        self.cmake, self.ninja = find_tool("cmake"), find_tool("ninja")
        find_compiler("gcc")
        find_compiler("g++")
        for name, text in ENGINE.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        (self.source / name).parent.mkdir(parents=True, exist_ok=True)
        (self.source / name).write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        self.write(name, (self.source / name).read_text().replace(old, new))

    def configure(self, *options: str) -> str:
        """What CMake complains of, on one line; nothing when it does not."""
        command = [self.cmake, "-S", self.source, "-B", self.build, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={self.ninja}"]
        command += [f"-DCMAKE_PROJECT_INCLUDE={STUBS / 'lfbuild.cmake'}", "-DLFBUILD_ENGINE_VERSION=toy 1", *options]
        finished = subprocess.run(
            [*command, "-DCMAKE_C_COMPILER=gcc", "-DCMAKE_CXX_COMPILER=g++"],
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if finished.returncode == 0 else " ".join(finished.stderr.split())

    def compile(self) -> str:
        command = [self.cmake, "--build", self.build, "--target", "llama-app"]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        return "" if finished.returncode == 0 else " ".join((finished.stdout + finished.stderr).split())


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


@pytest.mark.parametrize("shared", ["OFF", "ON"])
def test_an_engine_reads_weights_and_arguments_out_of_its_own_file(engine: Engine, tmp_path: Path, shared: str) -> None:
    options = (
        f"-DBUILD_SHARED_LIBS={shared}",
        "-DLFBUILD_CPU=x86-64",
        "-DLFBUILD_VERB_ALIASES=server=serve,client=cli",
    )
    assert engine.configure(*options) == ""
    assert engine.compile() == ""
    packed = tmp_path / "packed"
    program = (engine.build / "bin" / "llama-app").read_bytes()
    arguments = Record(name=b".args", data=b"cli ... /zip/model.gguf")
    model = Record(name=b"model.gguf", data=gguf("!"))
    write_by_hand(packed, model, arguments, head=program, end=EndRecord(comment=seal()))
    packed.chmod(0o755)

    for words in (["-p"], ["client", "-p"]):
        finished = subprocess.run([packed, *words], capture_output=True, text=True, check=False)

        assert finished.stdout == "[cli][-p][/zip/model.gguf] GGUF!, GGUF!, GGUF!, 0\n"
        assert finished.stderr == ""
    assert b"lfbuild-engine: toy 1\0" in program


def test_an_engine_that_lacks_a_file_is_refused(engine: Engine) -> None:
    (engine.source / "src" / "llama-adapter.cpp").rename(engine.source / "src" / "lora.cpp")
    engine.replace("src/CMakeLists.txt", "llama-adapter", "lora")

    refusal = engine.configure()

    assert f"lfbuild: the engine has no src/llama-adapter.cpp, one of the files that open weights; {HINT}" in refusal


def test_an_engine_that_reads_in_another_way_is_refused(engine: Engine) -> None:
    engine.replace("ggml/src/gguf.cpp", "std::fread", "gguf_read_somehow")

    refusal = engine.configure()

    assert (
        f"lfbuild: ggml/src/gguf.cpp no longer calls fread, so weights may be opened past the file layer; {HINT}"
        in refusal
    )


def test_an_engine_with_another_file_that_opens_weights_is_refused(engine: Engine) -> None:
    engine.write("src/llama-model.cpp", '#include "ggml.h"\nFILE * model() { return ggml_fopen("x", "rb"); }\n')

    refusal = engine.configure()

    assert "lfbuild: src/llama-model.cpp opens or maps files by itself, past the file layer" in refusal


def test_an_engine_with_another_main_is_refused(engine: Engine) -> None:
    engine.replace("app/llama.cpp", "int main(int argc, char ** argv)", "int main(int argc, const char ** argv)")

    refusal = engine.configure()

    assert "lfbuild: app/llama.cpp has another main than int main(int argc, char ** argv);" in refusal


def test_a_cpu_level_that_the_check_does_not_know_is_refused(engine: Engine) -> None:
    refusal = engine.configure("-DLFBUILD_CPU=x86-64-v3+avx10")

    assert "LFBUILD_CPU=x86-64-v3+avx10 names 'avx10', which cpu_features.h does not know" in refusal


def test_an_object_that_goes_past_the_layer_is_refused(engine: Engine) -> None:
    engine.replace("src/llama-adapter.cpp", "ggml_fopen(name", "(fopen)(name")
    engine.replace("src/llama-adapter.cpp", "#include", "// was ggml_fopen (name)\n#include")

    assert engine.configure() == ""
    refusal = engine.compile()

    assert (
        "llama-adapter.cpp.o does not refer to lfbuild_fopen: this engine version opens weights past the file layer, "
        "so a model inside the file would not be found; it needs a newer lfbuild"
    ) in refusal


def test_a_call_that_the_layer_does_not_cover_does_not_compile(engine: Engine) -> None:
    engine.replace("src/llama-mmap.cpp", "char start[4];", "char start[4]; pread(fileno(file), start, 4, 0);")

    assert engine.configure() == ""
    assert "lfbuild_layer_does_not_cover_pread" in engine.compile()


@pytest.fixture
def engine_with_dots(engine: Engine) -> Engine:
    if platform.machine() != "x86_64":
        pytest.skip("the function is one for x86-64")
    engine.write("ggml/src/ggml-cpu/arch/x86/quants.c", DOT)
    engine.write("ggml/src/ggml-cpu/quants.h", QUANTS)
    cmake = "add_library(ggml-cpu ggml-cpu/arch/x86/quants.c)\ntarget_include_directories(ggml-cpu PUBLIC .)\n"
    engine.write("ggml/src/CMakeLists.txt", ENGINE["ggml/src/CMakeLists.txt"] + cmake)
    engine.replace("app/CMakeLists.txt", "llama mtmd", "llama mtmd ggml-cpu")
    engine.write("app/llama.cpp", DOT_APP)
    return engine


def test_the_dot_product_is_ours_and_has_the_engines_own_beside_it(engine_with_dots: Engine) -> None:
    assert engine_with_dots.configure("-DLFBUILD_CPU=x86-64") == ""
    assert engine_with_dots.compile() == ""
    program = engine_with_dots.build / "bin" / "llama-app"

    assert b"lfbuild_upstream_vec_dot_q4_1_q8_1" in program.read_bytes()
    assert subprocess.run([program], capture_output=True, check=True).stdout == b"7\n"


def test_an_engine_with_another_dot_product_keeps_it(engine_with_dots: Engine) -> None:
    engine_with_dots.replace("ggml/src/ggml-cpu/arch/x86/quants.c", "int nrc)", "int rows)")

    assert engine_with_dots.configure("-DLFBUILD_CPU=x86-64") == ""
    assert engine_with_dots.compile() == ""
    program = engine_with_dots.build / "bin" / "llama-app"

    assert b"lfbuild_upstream_vec_dot_q4_1_q8_1" not in program.read_bytes()
    assert subprocess.run([program], capture_output=True, check=True).stdout == b"7\n"
