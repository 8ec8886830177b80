"""A recipe whose model has a few KB, and engines and launchers that are in the cache already: nothing is compiled."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import msgspec
from tests.world.models import tiny_gguf
from tests.world.programs import tiny_elf, tiny_launchers

from lfbuild.cli import main
from lfbuild.engine.job import digest_folder, stubs_folder
from lfbuild.engine.launcher import launcher_key
from lfbuild.engine.zig import find_zig
from lfbuild.sources import digest_tree
from lfbuild.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

RECIPE = """\
[llamafile]
name = "chat"
[engine]
version = "1.0"
source = { path = "engine" }
[toolchain]
kind = "zig"
[targets]
systems = ["host"]
cpus = ["x86-64-v3", "armv8.2-a+dotprod"]
[[model]]
source = { path = "tiny.gguf" }
[args]
common = ["--temp", "0"]
"""

SIGNER = """\
#!/bin/sh
printf '%s\\n' "$1" >> "{log}"
printf signed >> "$1"
"""
LONG_SIGNER = f"""\
#!{sys.executable}
import struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
data += bytes(-len(data) % 8)
entry = struct.unpack_from("<I", data, 0x3C)[0] + 24 + 144
struct.pack_into("<II", data, entry, len(data), {{size}})
open(sys.argv[1], "wb").write(data + bytes({{size}}))
"""
"""Writes a certificate table of `{size}` zeros, where Windows looks for one."""


def make_world(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Recipe, model, and an engine's source tree that knows the model's architecture and two flags."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LFBUILD_CACHE", str(folder / "cache"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setattr("lfbuild.commands.programs.compile_launcher", lambda target, *_, **__: tiny_launchers()[target])
    (folder / "chat.toml").write_text(RECIPE, encoding="utf-8")
    (folder / "tiny.gguf").write_bytes(tiny_gguf())
    (folder / "engine" / "src").mkdir(parents=True)
    (folder / "engine" / "common").mkdir()
    (folder / "engine" / "src" / "llama-arch.cpp").write_text('{ LLM_ARCH_LLAMA, "llama" },\n', encoding="utf-8")
    (folder / "engine" / "common" / "arg.cpp").write_text('common_arg({"--temp", "--host"}, "N")', encoding="utf-8")
    return folder


def keep_launchers(world: Path, *targets: str) -> None:
    """Put launchers into the cache, as compiles would: for an lfbuild that runs in a process of its own."""
    for target in targets:
        with Store(world / "cache").making("launchers", launcher_key(target, find_zig(None))) as folder:
            (folder / "launcher").write_bytes(tiny_launchers()[target])


def engine_of(target: str) -> bytes:
    """What a compile for a target would make: something that gets smaller, and another for each."""
    return tiny_launchers()[target] + f"llama.cpp for {target}\n".encode() * 300 + tiny_elf(1000)


def keep_engines(world: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Put the engines that the recipe asks for into the cache, as compiles would; returns their keys."""
    capsys.readouterr()
    assert main(["plan", "chat.toml", "--json", "--quiet"]) == 0
    engines = json.loads(capsys.readouterr().out)["engines"]
    for engine in engines:
        kind, version = engine["toolchain"].split()
        facts = {
            "name": "llama.cpp",
            "version": "1.0",
            "source_sha256": digest_tree(world / "engine").sha256,
            "stubs_sha256": digest_folder(stubs_folder(), leave_out=("tests", "launcher")),
            "toolchain": {"kind": kind, "version": version, "sha256": ""},
            "target": engine["target"],
            "cpus": engine["cpus"],
            "options": [],
            "ui": False,
            "key": engine["key"],
        }
        with Store(world / "cache").making("engines", engine["key"]) as folder:
            (folder / "head").write_bytes(engine_of(engine["target"]))
            (folder / "engine.json").write_bytes(msgspec.json.encode(facts))
            (folder / "flags.txt").write_text("--temp\n", encoding="utf-8")
            (folder / "build.log").write_text("", encoding="utf-8")
    return {str(engine["target"]): str(engine["key"]) for engine in engines}


def write_signer(world: Path, text: str = SIGNER) -> None:
    """Put a signing command into the world; `{log}` in its text is a file there, `signed`."""
    program = world / "sign.sh"
    program.write_text(text.replace("{log}", str(world / "signed")), encoding="utf-8")
    program.chmod(0o755)
