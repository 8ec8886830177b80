"""Whoever writes a file can seal what he likes: whatever a manifest says, verification answers, and never crashes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.world.files import MODEL_NAME, manifest_of, reseal, verified, write_tiny_file
from tests.world.programs import tiny_ape
from tests.world.slices import tiny_launcher

from lfbuild.errors import FormatError
from lfbuild.formats.seal import LAST_GENERATION
from lfbuild.manifest.model import MANIFEST_NAME, parse_manifest

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = st.sampled_from([0, 1, 511, 600, 1 << 20, (1 << 32) - 1, 1 << 40, (1 << 62) - 1])
TEXTS = st.sampled_from(["", "0" * 64, "é", MODEL_NAME, MANIFEST_NAME, "../x", "spare", "signature", "a" * 999])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every number and text."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for number, item in enumerate(value) for leaf in leaves(item, (*path, number))]
    return [path]


def put(table: Any, path: tuple[Any, ...], value: object) -> None:
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = value


@pytest.fixture(scope="module", params=[tiny_ape(), tiny_launcher()], ids=["ape", "launcher"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_file(tmp_path_factory.mktemp("hostile"), head=request.param, align_bytes=64)


@settings(max_examples=150)
@given(data=st.data())
def test_whatever_a_sealed_manifest_says_verification_answers(file: Path, data: st.DataObject) -> None:
    original = file.read_bytes()
    table = json.loads(manifest_of(file).to_bytes())
    table["regions"].append({"kind": "signature", "offset": 3, "size_bytes": 9, "root": "0" * 64})
    table["directory"] = "0" * 64
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(leaves(table)))
        old = table
        for key in path:
            old = old[key]
        put(table, path, data.draw(NUMBERS if isinstance(old, int) else TEXTS))
    try:
        manifest = parse_manifest(json.dumps(table).encode(), where="x")
    except FormatError:
        return
    try:
        reseal(file, manifest, generation=min(manifest.generation, LAST_GENERATION))
        found = verified(file)
        assert all(finding.what for finding in found)
        assert found, "the directory is another one"
    finally:
        file.write_bytes(original)
