"""The C layer is clean by the strictest flags for every target, though most of them cannot be run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.stubs.conftest import STUBS, compile_program, layer_sources

from lfbuild.engine.zig import TRIPLES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("target", TRIPLES)
def test_the_layer_compiles_without_a_warning(zig: str, tmp_path: Path, target: str) -> None:
    options = ("-target", TRIPLES[target], "-c", f"-I{tmp_path}")
    (tmp_path / "cpu_variants.inc").write_text('VARIANT(some, "x86-64-v3")\n', encoding="utf-8")

    for source in [*layer_sources(windows=target.startswith("windows-")), STUBS / "cpu_variants.c"]:
        compile_program(zig, tmp_path / "layer.o", [source], "cc", "-std=c11", *options)
    main = STUBS / "main.cpp"
    compile_program(zig, tmp_path / "main.o", [main], "c++", "-std=c++17", *options)
