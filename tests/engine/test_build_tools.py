"""A tool that is missing or unknown is named in one sentence, with the way out."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.engine.tiny import PC

from lfbuild.engine.toolchains import find_toolchain
from lfbuild.engine.tools import _packaged, find_cmake, find_launcher, find_ninja, find_node
from lfbuild.engine.zig import find_zig
from lfbuild.errors import ToolError

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.store import Store


def refusal(caught: pytest.ExceptionInfo[ToolError]) -> tuple[str, str]:
    return str(caught.value), caught.value.hint


def forget(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else known(name))


def test_cmake_and_ninja_come_from_their_packages() -> None:
    pytest.importorskip("cmake")
    pytest.importorskip("ninja")

    assert find_cmake().name == "cmake"
    assert find_ninja().is_file()


def test_a_missing_cmake_tells_which_extra_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch, "cmake")

    with pytest.raises(ToolError) as caught:
        find_cmake()

    assert refusal(caught) == (
        "cmake: is not installed beside lfbuild",
        "install it with: pip install 'lfbuild[build]'",
    )


def test_a_missing_zig_tells_which_extra_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch, "ziglang")

    with pytest.raises(ToolError) as caught:
        find_zig(None)

    assert refusal(caught) == (
        "zig: the package 'ziglang' is not installed beside lfbuild",
        "install it with: pip install 'lfbuild[zig]'",
    )


def test_another_zig_than_the_recipes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ziglang")
    monkeypatch.setattr(importlib.metadata, "version", lambda _name: "0.18.0")

    with pytest.raises(ToolError) as caught:
        find_zig("0.17.1")

    assert refusal(caught) == (
        "zig: the recipe wants version 0.17.1, but 0.18.0 is installed",
        "install it with: pip install ziglang==0.17.1",
    )


def test_launchers_are_four_and_looked_for_on_the_path(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        find_launcher("fastcc", PC)
    assert refusal(caught) == ("fastcc: is no compiler launcher, only ccache, sccache, distcc, icecc are", "")

    with pytest.raises(ToolError) as caught:
        find_launcher("icecc", replace(PC, search_path=str(tmp_path)))
    assert refusal(caught) == (
        "icecc: the compiler launcher is not installed",
        "install it, or build without a launcher",
    )


def test_a_missing_npm_tells_what_wants_it(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        find_node(replace(PC, search_path=str(tmp_path)))

    assert refusal(caught) == (
        "npm: is not installed, and the chat page is built with it",
        "install Node.js with npm, or set 'ui = false' in the recipe's [engine]",
    )


def test_a_toolchain_of_another_name_is_refused(store: Store) -> None:
    with pytest.raises(ToolError) as caught:
        find_toolchain("gcc", version=None, machine=PC, store=store, cosmocc_folder=None)

    assert refusal(caught) == ("gcc: is no toolchain, only cosmocc and zig are", "")


def test_a_program_that_pip_put_beside_a_build_is_found_by_its_packages_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages, programs = tmp_path / "lib" / "site-packages", tmp_path / "bin"
    (packages / "tinytool").mkdir(parents=True)
    (packages / "tinytool" / "__init__.py").write_text("", encoding="utf-8")
    (packages / "tinytool-1.dist-info").mkdir()
    (packages / "tinytool-1.dist-info" / "METADATA").write_text("Name: tinytool\nVersion: 1\n", encoding="utf-8")
    (packages / "tinytool-1.dist-info" / "RECORD").write_text(
        "tinytool/__init__.py,,\n../../bin/tinytool,,\n", encoding="utf-8"
    )
    programs.mkdir()
    (programs / "tinytool").write_text("#!/bin/sh\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(packages))

    assert _packaged("tinytool", "data/bin/tinytool") == programs / "tinytool"
