"""The seal: one line of 98 bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbuild.errors import FormatError
from lfbuild.formats.seal import LAST_GENERATION, SEAL_BYTES, Seal

DIGEST = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
CLEAN = Seal(generation=1, state="clean", manifest_digest=DIGEST)
REDO = Seal(generation=41, state="redo", manifest_digest=DIGEST)


def test_a_clean_seal_has_these_bytes() -> None:
    assert CLEAN.to_bytes() == f"lfbuild 1 0000000000000001 clean {DIGEST}\n".encode()


def test_a_redo_seal_has_as_many() -> None:
    assert REDO.to_bytes() == f"lfbuild 1 0000000000000041 redo  {DIGEST}\n".encode()
    assert len(CLEAN.to_bytes()) == len(REDO.to_bytes()) == SEAL_BYTES


@given(st.integers(0, LAST_GENERATION), st.sampled_from(["clean", "redo"]), st.binary(min_size=32, max_size=32))
def test_what_is_written_is_read_again(generation: int, state: str, digest: bytes) -> None:
    seal = Seal(generation=generation, state="redo" if state == "redo" else "clean", manifest_digest=digest.hex())

    assert Seal.parse(seal.to_bytes(), where="x") == seal


@pytest.mark.parametrize("generation", [-1, LAST_GENERATION + 1])
def test_a_generation_that_would_change_the_length_is_not_written(generation: int) -> None:
    with pytest.raises(FormatError) as caught:
        Seal(generation=generation, state="clean", manifest_digest=DIGEST).to_bytes()

    assert str(caught.value) == f"seal: cannot hold the generation {generation}, only 0 to 9999999999999999"


@pytest.mark.parametrize("comment", [b"", b"somebody else's", b"lfbuild", b"Lfbuild 1 "])
def test_a_comment_of_somebody_else_is_no_seal(comment: bytes) -> None:
    assert Seal.parse(comment, where="x") is None


@pytest.mark.parametrize("position", range(8, SEAL_BYTES))
def test_a_byte_that_no_seal_can_have_is_refused_wherever_it_stands(position: int) -> None:
    line = bytearray(CLEAN.to_bytes())
    line[position] = ord("?")

    with pytest.raises(FormatError) as caught:
        Seal.parse(bytes(line), where="x.llamafile")

    assert str(caught.value) == "x.llamafile: the seal in the comment of the ZIP end record is damaged"


@pytest.mark.parametrize("line", [CLEAN.to_bytes()[:-1], CLEAN.to_bytes() + b"\n", b"lfbuild "])
def test_a_seal_of_another_length_is_refused(line: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        Seal.parse(line, where="x.llamafile")

    assert str(caught.value) == "x.llamafile: the seal in the comment of the ZIP end record is damaged"


def test_a_later_version_is_refused_with_the_way_out() -> None:
    with pytest.raises(FormatError) as caught:
        Seal.parse(CLEAN.to_bytes().replace(b"lfbuild 1", b"lfbuild 2"), where="x.llamafile")

    assert str(caught.value) == "x.llamafile: file format 2 is not known, only 1"
    assert caught.value.hint == "update lfbuild: pip install -U lfbuild"
