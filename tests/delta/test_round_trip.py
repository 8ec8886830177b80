"""For any two files, applying their difference to the old one makes the new one, byte for byte."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.world.deltas import applied, delta_of, difference, written
from tests.world.files import default_members, plain, weights, write_tiny_file
from tests.world.models import DEFAULT_TENSORS, DEFAULT_VALUES, STRING, TinyTensor, tiny_gguf
from tests.world.programs import tiny_ape, tiny_elf, tiny_pe
from tests.world.slices import tiny_launcher
from tests.world.zips import Stored, zip_of

from lfbuild.delta import choose, covers
from lfbuild.delta.model import PlanesFrame, PrefixedFrame, ProgramFrame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

    from lfbuild.manifest.order import LauncherHead


class Content(bytes):
    """The bytes of a file; what hypothesis tells of a failure is how it was drawn, not all of them."""

    def __repr__(self) -> str:
        return f"{len(self)} bytes, {self[:20]!r}…"


STRETCHES = st.one_of(
    st.binary(max_size=300),
    st.integers(0, 3000).map(bytes),
    st.tuples(st.binary(min_size=1, max_size=9), st.integers(1, 900)).map(lambda it: it[0] * it[1]),
    st.tuples(st.integers(0, 99), st.integers(0, 9000)).map(lambda it: tiny_elf(it[1], machine=62 + it[0])),
)
TEXTS = st.text(max_size=200)


@st.composite
def models(draw: DrawFn) -> bytes:
    """A GGUF: other template, tensors gone or of other types."""
    template = {**DEFAULT_VALUES, "tokenizer.chat_template": (STRING, draw(TEXTS))}
    tensors = [
        TinyTensor(name, (256, draw(st.integers(1, 4))), draw(st.sampled_from((0, 1, 2, 3, 6, 8, 10, 11, 12, 13, 14))))
        for name in draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=4))
    ]
    data = bytearray(tiny_gguf(template, (*DEFAULT_TENSORS, *tensors)))
    for _ in range(draw(st.integers(0, 4))):  # a little training
        at = draw(st.integers(len(data) * 2 // 3, len(data) - 1))
        data[at] = (data[at] + draw(st.integers(1, 3))) % 256
    return bytes(data)


HEADS = (tiny_elf(), tiny_elf(5000), tiny_ape(), tiny_pe(), tiny_launcher())


@st.composite
def our_files(draw: DrawFn, *, heads: Sequence[bytes | LauncherHead] = HEADS) -> bytes:
    """A file of ours, of either kind of head."""
    head = draw(st.sampled_from(heads))
    members = (weights(data=draw(models())), *default_members()[1:], plain("more", draw(st.binary(max_size=2000))))
    with tempfile.TemporaryDirectory() as folder:
        path = write_tiny_file(Path(folder), head=head, members=members, room_bytes=draw(st.integers(0, 900)))
        return Content(path.read_bytes())


@st.composite
def other_zips(draw: DrawFn) -> bytes:
    """Somebody else's llamafile."""
    members = [Stored("m.gguf", draw(models())), Stored("page", draw(STRETCHES), method=8), Stored(".args", b"-m\nx")]
    return zip_of(*draw(st.permutations(members)), start=draw(st.sampled_from((b"", tiny_ape(), tiny_elf(9000)))))


def any_file() -> SearchStrategy[bytes]:
    signed = our_files().map(lambda data: data + b"a certificate")
    whole = st.one_of(models(), our_files(), signed, other_zips(), st.lists(STRETCHES, max_size=6).map(b"".join))
    return whole.map(Content)


@given(any_file(), any_file())
@settings(max_examples=120, deadline=None)
def test_the_difference_of_any_two_files_makes_the_second_of_the_first(old: bytes, new: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before, after = written(folder, "old", old), written(folder, "new", new)

        assert applied(before, delta_of(before, after), folder=folder) == new


@pytest.mark.parametrize(
    ("template", "frame"),
    [("{{ messages }} and then, in the second release, some more of it", PrefixedFrame)],
)
def test_a_longer_template_travels_as_what_was_added(tmp_path: Path, template: str, frame: type) -> None:
    longer = {**DEFAULT_VALUES, "tokenizer.chat_template": (STRING, template)}
    old = write_tiny_file(tmp_path, name="old")
    new = write_tiny_file(tmp_path, name="new", members=(weights(data=tiny_gguf(longer)), *default_members()[1:]))

    delta, made = difference(old, new)

    assert applied(old, delta, folder=tmp_path) == new.read_bytes()
    assert {type(it) for it in made.plan.frames} == {frame}
    assert len(delta) < 900


def test_a_tensor_that_was_trained_travels_as_planes(tmp_path: Path) -> None:
    large = (TinyTensor("blk.0.ffn_up.weight", (256, 64), 12),)
    data = bytearray(tiny_gguf(None, large))
    for at in range(len(data) - 9000, len(data), 30):
        data[at] ^= 1
    old, new = written(tmp_path, "old.gguf", tiny_gguf(None, large)), written(tmp_path, "new.gguf", bytes(data))

    delta, made = difference(old, new)

    assert applied(old, delta, folder=tmp_path) == bytes(data)
    assert [type(it) for it in made.plan.frames] == [PlanesFrame]


def test_a_program_travels_as_covers_and_only_as_much_of_it_as_differs(tmp_path: Path) -> None:
    first = tiny_elf(700_000)
    second = first[:300_000] + b"a new function" + first[300_000:-14]
    old, new = write_tiny_file(tmp_path, name="old", head=first), write_tiny_file(tmp_path, name="new", head=second)

    delta, made = difference(old, new)

    assert applied(old, delta, folder=tmp_path) == new.read_bytes()
    (frame,) = [it for it in made.plan.frames if isinstance(it, ProgramFrame)]
    assert frame.blocks == 2  # of three: the first one is the same


def test_an_old_model_is_no_program_to_compare_the_head_of_the_new_file_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_gguf(None, (TinyTensor("blk.0.ffn_up.weight", (256, 64), 12),))
    old = written(tmp_path, "model.gguf", model)
    new = write_tiny_file(tmp_path, name="new", head=tiny_elf(9000), members=(weights(data=model),))
    monkeypatch.setattr(covers, "find_covers", lambda *_: pytest.fail("the model is compared as a program"))

    delta, made = difference(old, new)

    assert applied(old, delta, folder=tmp_path) == new.read_bytes()
    assert not any(isinstance(it, ProgramFrame) for it in made.plan.frames)
    assert made.notes == ()


@pytest.mark.parametrize("large", ["old", "new"])
def test_a_program_that_is_too_large_is_not_compared_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: str
) -> None:
    monkeypatch.setattr(choose, "MOST_PROGRAM_BYTES", 1 << 20)
    old, new = (
        write_tiny_file(tmp_path, name=name, head=tiny_elf((1 << 20) + 1 if name == large else 9000))
        for name in ("old", "new")
    )

    delta, made = difference(old, new)

    assert applied(old, delta, folder=tmp_path) == new.read_bytes()
    assert made.notes == (f"the head is not compared as a program: in {large} it has more than 1 MiB",)


def test_the_plan_says_how_each_region_travels(tmp_path: Path) -> None:
    old = write_tiny_file(tmp_path, name="old")
    new = write_tiny_file(tmp_path, name="new", members=(*default_members(), plain("more", b"and more" * 200)))

    _, made = difference(old, new)

    by_name = {travel.name: travel for travel in made.travels}
    assert by_name["Tiny.Q4_0.gguf"].copied_bytes == by_name["Tiny.Q4_0.gguf"].size_bytes
    assert by_name["Tiny.Q4_0.gguf"].delta_bytes == 0
    assert by_name["more"].copied_bytes == 0
    assert by_name["more"].ways == (("compressed", by_name["more"].delta_bytes - 32),)
    assert made.size_bytes == len(delta_of(old, new))


def test_other_quantization_is_noticed(tmp_path: Path) -> None:
    tensors = [(TinyTensor("blk.0.ffn_up.weight", (256, 64), kind),) for kind in (2, 8)]
    old, new = (written(tmp_path, f"{at}.gguf", tiny_gguf(None, it)) for at, it in enumerate(tensors))

    _, made = difference(old, new)

    assert made.requantized_bytes == 64 * 8 * 34


def test_a_member_that_was_renamed_is_copied(tmp_path: Path) -> None:
    old = write_tiny_file(tmp_path, name="old", members=(weights("a.gguf"), *default_members()[1:]))
    new = write_tiny_file(tmp_path, name="new", members=(weights("b.gguf"), *default_members()[1:]))

    _, made = difference(old, new)

    (travel,) = [it for it in made.travels if it.name == "b.gguf"]
    assert (travel.copied_bytes, travel.delta_bytes) == (travel.size_bytes, 0)


def test_a_plain_model_is_enough_to_make_a_file_that_has_it(tmp_path: Path) -> None:
    data = tiny_gguf(None, (TinyTensor("blk.0.ffn_up.weight", (256, 640), 12),))
    old = written(tmp_path, "model.gguf", data)
    new = write_tiny_file(tmp_path, name="new", members=(weights(data=data, block_bytes=1 << 20),))

    delta, _ = difference(old, new)

    assert applied(old, delta, folder=tmp_path) == new.read_bytes()
    assert len(delta) < 4000 < len(data)


def test_zeros_are_not_written(tmp_path: Path) -> None:
    old = written(tmp_path, "old", bytes(50 << 20) + b"end")
    new = written(tmp_path, "new", bytes(50 << 20) + b"END")

    assert applied(old, delta_of(old, new), folder=tmp_path) == new.read_bytes()
    assert (tmp_path / "applied").stat().st_blocks * 512 < 1 << 20
