"""Templates become text that the shell and CMake read as it was meant."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import jinja2
import pytest

from lfbuild.engine.cosmocc import Cosmocc
from lfbuild.engine.cpu import Goal, parse_cpu
from lfbuild.engine.render import cmake_quoted, render, templates_text
from lfbuild.engine.zig import Zig

X86 = Goal(target="linux-x86_64", architecture="x86_64", levels=(parse_cpu("x86-64-v3"),))
ARM_LEVELS = (parse_cpu("armv8.2-a+dotprod+fp16"), parse_cpu("armv8.2-a+dotprod"))
ARM = Goal(target="linux-aarch64", architecture="aarch64", levels=ARM_LEVELS)


def wrapped(folder: Path, script: str, *words: str, build: str | None = None) -> list[str]:
    """What the compiler behind a wrapper is called with; the compiler here prints its words."""
    path = folder / "wrapper"
    path.write_text(script, encoding="utf-8")
    path.chmod(0o755)
    environment = {} if build is None else {"LFBUILD_FOLDER": build}
    return subprocess.run(
        [path, *words], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()


@pytest.fixture
def zig(tmp_path: Path) -> Zig:
    program = tmp_path / "a zig's home" / "zig"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return Zig(program=program, version="0.17.1")


def test_a_value_reaches_cmake_as_one_argument() -> None:
    assert cmake_quoted('a "b" \\c ${d}') == '"a \\"b\\" \\\\c \\${d}"'
    assert render("cache.cmake", options=[("NAME", "a;b")]).splitlines()[-1] == 'set(NAME "a;b" CACHE STRING "" FORCE)'


def test_a_value_that_nobody_gave_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("cache.cmake")


def test_every_template_is_in_their_text() -> None:
    text = templates_text()

    assert b"zig-compiler.sh.j2\0#!/bin/sh" in text
    assert b"cosmocc/Platform/Cosmopolitan.cmake.j2\0" in text


def test_wrappers_are_named_after_version_and_target() -> None:
    rendering = Zig(program=Path("/opt/zig"), version="0.17.1").rendering(X86)

    assert sorted(rendering.commands) == [
        f"zig-0.17.1-x86_64-linux-musl-{tool}" for tool in ("ar", "c++", "cc", "ranlib", "rc")
    ]


@pytest.mark.parametrize(
    ("target", "identity", "words"),
    [
        ("linux-x86_64", "zig 0.17.1 x86_64-linux-musl", ["CMAKE_SYSTEM_NAME Linux"]),
        ("linux-aarch64", "zig 0.17.1 aarch64-linux-musl", ["CMAKE_SYSTEM_NAME Linux"]),
        ("windows-x86_64", "zig 0.17.1 x86_64-windows-gnu", ["CMAKE_SYSTEM_NAME Windows", "x86_64-windows-gnu-rc"]),
        ("macos-aarch64", "zig 0.17.1 aarch64-macos.13.0", ["CMAKE_SYSTEM_NAME Darwin", 'CMAKE_OSX_SYSROOT ""']),
        ("macos-x86_64", "zig 0.17.1 x86_64-macos.13.0", ["CMAKE_SYSTEM_NAME Darwin", 'CMAKE_OSX_SYSROOT ""']),
    ],
)
def test_a_target_is_named_in_zigs_words_and_in_cmakes(target: str, identity: str, words: list[str]) -> None:
    zig = Zig(program=Path("/opt/zig"), version="0.17.1")
    (architecture,) = zig.targets[target]
    goal = replace(X86 if architecture == "x86_64" else ARM, target=target)

    toolchain = zig.rendering(goal).files["toolchain.cmake"]

    assert zig.identity(goal) == identity
    for word in [*words, f"set(CMAKE_SYSTEM_PROCESSOR {architecture})"]:
        assert word in toolchain
    assert ("CMAKE_RC_COMPILER" in toolchain) == target.startswith("windows-")
    assert ("CMAKE_OSX_SYSROOT" in toolchain) == target.startswith("macos-")


def test_a_compile_is_told_its_target_and_forgets_its_folder(zig: Zig, tmp_path: Path) -> None:
    script = zig.rendering(X86).commands["zig-0.17.1-x86_64-linux-musl-cc"]

    assert wrapped(tmp_path, script, "-MD", "-c", "a b.c", build="/some where") == [
        *("cc", "-target", "x86_64-linux-musl", "-g0"),
        *("-ffile-prefix-map=/some where=/lfbuild", "-ffile-prefix-map=../..=/lfbuild"),
        *("-ffile-prefix-map=./../..=/lfbuild", "-MD", "-c", "a b.c"),
    ]


def test_every_program_is_stripped(zig: Zig, tmp_path: Path) -> None:
    script = zig.rendering(X86).commands["zig-0.17.1-x86_64-linux-musl-cc"]

    assert wrapped(tmp_path, script, "a.o", "-o", "a")[4:] == ["-s", "a.o", "-o", "a"]


def test_folders_for_headers_have_no_dots_unless_a_link_is_behind_them(zig: Zig, tmp_path: Path) -> None:
    script = zig.rendering(X86).commands["zig-0.17.1-x86_64-linux-musl-c++"]
    (tmp_path / "a b" / "src").mkdir(parents=True)
    (tmp_path / "a b" / "include").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a b" / "src")
    near, far = f"-I{tmp_path}/a b/src", f"-I{tmp_path}/link"

    given = (f"{near}/..", f"{near}/../src/../include", f"{far}/..", "-I../../source/x", "-I", f"{tmp_path}/..")
    assert wrapped(tmp_path, script, *given)[5:] == [
        *(f"-I{tmp_path}/a b", f"-I{tmp_path}/a b/include", f"{far}/.."),
        *("-I../../source/x", "-I", f"{tmp_path}/.."),
    ]


@pytest.mark.parametrize(("suffix", "language"), [("i", "c"), ("ii", "c++")])
def test_a_distcc_server_compiles_what_is_preprocessed_already_as_if_headers_were_asked_for(
    zig: Zig, tmp_path: Path, suffix: str, language: str
) -> None:
    script = zig.rendering(X86).commands["zig-0.17.1-x86_64-linux-musl-c++"]

    passed = wrapped(tmp_path, script, "-c", f"sent.{suffix}")[4:]

    assert passed == ["-x", language, "-MD", "-MF", "/dev/null", "-c", f"sent.{suffix}"]


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ("-march=armv8.2-a+dotprod", "-mcpu=generic+v8_2a+dotprod"),
        ("-march=armv8.2-a+dotprod+fp16", "-mcpu=generic+v8_2a+dotprod+fullfp16"),
    ],
)
def test_zig_gets_every_arm_level_in_its_own_words(zig: Zig, tmp_path: Path, given: str, passed: str) -> None:
    script = zig.rendering(ARM).commands["zig-0.17.1-aarch64-linux-musl-cc"]

    for act in ("-c", "-E"):
        assert passed in wrapped(tmp_path, script, act, given, "a.c")


def test_a_program_for_arm_is_linked_with_the_libraries_for_every_cpu(zig: Zig, tmp_path: Path) -> None:
    """CMake's trial programs name a level when they are linked, and for each zig would build its libraries again."""
    script = zig.rendering(ARM).commands["zig-0.17.1-aarch64-linux-musl-cc"]

    assert wrapped(tmp_path, script, "-march=armv8.2-a+dotprod", "a.o", "-o", "a")[4:] == ["-s", "a.o", "-o", "a"]


def test_cosmocc_is_a_cmake_platform_of_its_own() -> None:
    rendering = Cosmocc(root=Path("/opt/cosmocc"), version="4.0.2", sha256="5" * 64).rendering(ARM)

    assert sorted(rendering.commands) == [f"cosmocc-4.0.2-aarch64-{tool}" for tool in ("ar", "c++", "cc", "ranlib")]
    assert "/opt/cosmocc/bin/aarch64-unknown-cosmo-c++" in rendering.commands["cosmocc-4.0.2-aarch64-c++"]
    assert "set(CMAKE_SYSTEM_NAME Cosmopolitan)" in rendering.files["toolchain.cmake"]
    assert "set(UNIX 1)" in rendering.files["Platform/Cosmopolitan-Initialize.cmake"]
