"""The C side reads default arguments as Cosmopolitan's cosmo_args does; lfbuild.formats.args reads the same vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import pytest

if TYPE_CHECKING:
    from tests.stubs.conftest import Probe


class Vector(TypedDict):
    name: str
    text: str
    user: list[str]
    argv: list[str]
    env: dict[str, str]


VECTORS: list[Vector] = json.loads((Path(__file__).parents[1] / "vectors" / "args.json").read_text(encoding="utf-8"))


def words_of(output: str) -> list[str]:
    return output.split("\0")[:-1]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"].replace(" ", "-"))
def test_a_text_means_the_same_here_and_in_cosmopolitan(probe: Probe, tmp_path: Path, vector: Vector) -> None:
    path = tmp_path / "args"
    path.write_bytes(vector["text"].encode())

    finished = probe("grammar", path, *vector["user"], **vector["env"])

    assert (words_of(finished.stdout), finished.stderr) == (vector["argv"], "")


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        (b'"a\\1', ["a"]),
        (b'"a\\x4', ["a"]),
        (b'"a\\0b" c', ["a", "c"]),
        (b"\\", []),
        (b'"$', []),
        (b"\xff", ["\udcff"]),
    ],
)
def test_what_no_writer_writes_is_read_as_cosmopolitan_does_too(
    probe: Probe, tmp_path: Path, text: bytes, argv: list[str]
) -> None:
    path = tmp_path / "args"
    path.write_bytes(text)

    assert words_of(probe("grammar", path).stdout) == argv
