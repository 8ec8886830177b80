"""OLD becomes NEW where it stands: the same bytes as in a new file, and none written that need not be."""

from __future__ import annotations

import io
import os
import random
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from tests.delta.test_round_trip import our_files
from tests.world.deltas import delta_of, written
from tests.world.files import default_members, plain, verified, weights, write_tiny_file
from tests.world.models import TinyTensor, tiny_gguf
from tests.world.programs import tiny_ape, tiny_elf, tiny_pe
from tests.world.slices import tiny_launcher

from lfbuild.archive import journal
from lfbuild.commands.apply import Applied, DeltaSource, apply_in_place_of
from lfbuild.errors import FormatError, HostError, IntegrityError
from lfbuild.host.inplace import journal_path, used
from lfbuild.report import SilentReport, size_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from lfbuild.report import Step, Unit

LARGE = (TinyTensor("blk.0.ffn_up.weight", (256, 640), 12),)


class Counted(SilentReport):
    """Counts what each step did, and of how much."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []

    @contextmanager
    def step(self, title: str, /, *, total: int | None = None, unit: Unit = "bytes") -> Iterator[Step]:
        del unit
        done = list[int]()
        yield SimpleNamespace(advance=lambda amount, **_: done.append(amount), expect=lambda _: None)
        self.steps.append((title, sum(done), total or 0))


def delta_source(delta: bytes, name: str = "0.lfdelta") -> DeltaSource:
    return DeltaSource(name=name, pipe=io.BytesIO(delta))


def in_place(path: Path, *deltas: bytes) -> Applied:
    sources = [delta_source(delta, f"{number}.lfdelta") for number, delta in enumerate(deltas)]
    return apply_in_place_of(path, sources, threads=1, report=SilentReport())


def releases(folder: Path, *texts: bytes) -> Sequence[Path]:
    """Files with the same weights and another text each."""
    model = weights(data=tiny_gguf(None, LARGE), block_bytes=1 << 16)
    return [
        write_tiny_file(folder, name=f"{number}", members=(model, *default_members()[1:], plain("text", text)))
        for number, text in enumerate(texts)
    ]


@given(our_files(heads=(tiny_elf(), tiny_elf(5000), tiny_ape(), tiny_pe())), our_files())
@settings(max_examples=60, deadline=None)
def test_any_file_of_ours_that_begins_with_its_engine_becomes_any_other(old: bytes, new: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, after = written(folder, "old", old), written(folder, "new", new)

        in_place(path, delta_of(path, after))

        assert path.read_bytes() == new
        assert sorted(item.name for item in folder.iterdir()) == ["new", "old"]


def test_only_what_differs_is_written(tmp_path: Path) -> None:
    old, new = releases(tmp_path, b"one", b"another")

    applied = in_place(old, delta_of(old, new))

    assert old.read_bytes() == new.read_bytes()
    assert applied.written_bytes is not None
    assert applied.written_bytes < 5000 < len(tiny_gguf(None, LARGE))
    assert verified(old) == []


def test_progress_is_what_was_gone_through_of_the_new_version(tmp_path: Path) -> None:
    model = weights(data=tiny_gguf(None, LARGE), block_bytes=1 << 16)
    old, new = releases(tmp_path, b"one", b"another")
    longer = write_tiny_file(tmp_path, name="longer", head=tiny_elf(90_000), members=(model,))
    report = Counted()

    apply_in_place_of(old, [delta_source(delta_of(old, new))], threads=1, report=report)
    apply_in_place_of(old, [delta_source(delta_of(old, longer))], threads=1, report=report)

    steps = [(done, total) for title, done, total in report.steps if title == "going through the new version"]
    assert [done for done, _ in steps] == [total for _, total in steps]
    assert min(done for done, _ in steps) > len(tiny_gguf(None, LARGE))


def test_weights_that_move_are_copied_within_the_file(tmp_path: Path) -> None:
    model = weights(data=tiny_gguf(None, LARGE), block_bytes=1 << 16)
    old = write_tiny_file(tmp_path, name="old", members=(model,))
    new = write_tiny_file(tmp_path, name="new", head=tiny_elf(90_000), members=(model,))
    delta = delta_of(old, new)

    in_place(old, delta)

    assert len(delta) < 10_000
    assert old.read_bytes() == new.read_bytes()


def test_what_the_disk_has_no_room_for_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    old, new = releases(tmp_path, b"one", b"another " * 9000)
    old = old.rename(tmp_path / "here" / "chat")
    delta, before = delta_of(old, new), old.read_bytes()
    free = [new.stat().st_size - old.stat().st_size + 60_000]
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free[0], f_frsize=1))

    with pytest.raises(HostError) as caught:
        in_place(old, delta)

    what = f"the change in place needs 143.9 KiB, and {size_words(free[0])} are free"
    assert (str(caught.value), caught.value.hint) == (f"{tmp_path}/here: {what}", "free some space")
    assert old.read_bytes() == before
    assert list(old.parent.iterdir()) == [old]
    free[0] = 150_000
    in_place(old, delta)
    assert old.read_bytes() == new.read_bytes()


def test_the_room_that_is_reckoned_is_what_the_journal_and_the_longer_file_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = releases(tmp_path, b"one", random.Random(1).randbytes(90_000))  # noqa: S311  # the same in each run
    delta, before, reckoned, taken = delta_of(old, new), old.stat().st_size, [], []
    monkeypatch.setattr("lfbuild.commands.apply.refuse_full_disk_in_place", lambda _, size: reckoned.append(size))
    real = journal.carry_out_journal

    def carry_out(path: Path, file: BinaryIO) -> None:
        taken.append(journal_path(path).stat().st_size)
        real(path, file)

    monkeypatch.setattr("lfbuild.delta.inplace.carry_out_journal", carry_out)

    in_place(old, delta)

    (needed,), (journal_bytes,) = reckoned, taken
    assert abs(needed - journal_bytes - (old.stat().st_size - before)) < 4096, "but for its records"


def test_a_shorter_file_is_cut(tmp_path: Path) -> None:
    old, new = releases(tmp_path, b"a long text " * 9000, b"short")

    in_place(old, delta_of(old, new))

    assert old.read_bytes() == new.read_bytes()


def test_a_chain_is_one_edit_after_the_other(tmp_path: Path) -> None:
    one, two, three = releases(tmp_path, b"one", b"two", b"three")

    applied = in_place(one, delta_of(one, two), delta_of(two, three))

    assert applied.size_bytes == three.stat().st_size
    assert one.read_bytes() == three.read_bytes()


def test_a_chain_that_does_not_fit_together_is_refused_before_its_first_delta_is_applied(tmp_path: Path) -> None:
    one, two, three = releases(tmp_path, b"one", b"two", b"three")
    before = one.read_bytes()

    with pytest.raises(IntegrityError) as caught:
        in_place(one, delta_of(one, two), delta_of(one, three))

    what = "was made for another file than the one that 0.lfdelta makes; nothing was changed"
    assert str(caught.value) == f"1.lfdelta: {what}"
    assert one.read_bytes() == before


def test_a_chain_with_something_else_in_it_is_refused_before_its_first_delta_is_applied(tmp_path: Path) -> None:
    one, two = releases(tmp_path, b"one", b"two")
    before = one.read_bytes()

    with pytest.raises(FormatError) as caught:
        in_place(one, delta_of(one, two), b"no delta")

    assert str(caught.value) == "1.lfdelta: is not a delta"
    assert one.read_bytes() == before


def test_a_delta_that_fails_behind_others_tells_what_the_file_is_by_now(tmp_path: Path) -> None:
    one, two, three = releases(tmp_path, b"one", b"two", b"three")

    with pytest.raises(FormatError) as caught:
        in_place(one, delta_of(one, two), delta_of(two, three)[:-1])

    stands = "0 is now what 0.lfdelta makes: go on with the deltas behind that one"
    assert caught.value.hint == f"it was cut off: get it again; {stands}"
    assert one.read_bytes() == two.read_bytes()


def test_a_chain_goes_on_behind_the_last_delta_that_the_file_is_the_result_of(tmp_path: Path) -> None:
    one, two, three = releases(tmp_path, b"one", b"two", b"three")
    first, second = delta_of(one, two), delta_of(two, three)
    in_place(one, first)

    assert not in_place(one, first, second).was_so
    assert one.read_bytes() == three.read_bytes()
    assert in_place(one, first, second) == Applied(
        path=one, size_bytes=three.stat().st_size, written_bytes=0, was_so=True
    )
    assert one.read_bytes() == three.read_bytes()


def test_a_chain_that_leads_back_to_where_the_file_is_is_carried_out(tmp_path: Path) -> None:
    one, two = releases(tmp_path, b"one", b"two")
    before = one.read_bytes()

    assert in_place(one, delta_of(one, two), delta_of(two, one)).written_bytes
    assert one.read_bytes() == before


def test_a_file_that_no_delta_of_a_chain_was_made_for_is_refused(tmp_path: Path) -> None:
    one, two, three = releases(tmp_path, b"one", b"two", b"three")

    with pytest.raises(IntegrityError) as caught:
        in_place(three, delta_of(one, two))

    what = f"is not the file that 0.lfdelta was made for: that is 0 of {one.stat().st_size} bytes"
    assert str(caught.value) == f"{three}: {what}"
    assert caught.value.hint == "`lfbuild inspect` tells what a delta is for and makes"


def test_a_file_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    old, new = releases(tmp_path, b"one", b"two")
    before = old.read_bytes()

    with used(old), pytest.raises(HostError) as caught:
        in_place(old, delta_of(old, new))

    assert str(caught.value) == f"{old}: is in use, or another lfbuild is changing it"
    assert old.read_bytes() == before


def test_a_signed_file_is_left_alone(tmp_path: Path) -> None:
    signed, new = (write_tiny_file(tmp_path, name=name, head=tiny_pe()) for name in ("signed", "new"))
    data = bytearray(signed.read_bytes())
    data[128 + 24 + 64] = 1  # its checksum
    signed.write_bytes(data)

    with pytest.raises(FormatError) as caught:
        in_place(signed, delta_of(signed, new))

    assert str(caught.value) == f"{signed}: is signed, so it is not changed in place"
    assert signed.read_bytes() == data


def test_a_launcher_is_not_replaced(tmp_path: Path) -> None:
    old = write_tiny_file(tmp_path, name="old", head=tiny_launcher())
    new = write_tiny_file(tmp_path, name="new", head=replace(tiny_launcher(), data=tiny_elf()))
    before, delta = old.read_bytes(), delta_of(old, new)

    with pytest.raises(HostError) as caught:
        in_place(old, delta)

    assert str(caught.value) == (
        f"{old}: a launcher is not replaced in place: the file would not start if that was interrupted"
    )
    assert caught.value.hint == "without --in-place a new file is written"
    assert old.read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_somebody_elses_file_is_left_alone(tmp_path: Path) -> None:
    (old,) = releases(tmp_path, b"one")
    model = written(tmp_path, "model.gguf", tiny_gguf())
    before = old.read_bytes()

    with pytest.raises(FormatError):
        in_place(old, delta_of(old, model))
    with pytest.raises(FormatError) as caught:
        in_place(model, delta_of(model, old))

    assert str(caught.value) == f"{model}: is a GGUF, and in place works on lfbuild's own files"
    assert old.read_bytes() == before
    assert {item.name for item in tmp_path.iterdir()} >= {"0", "model.gguf"}


def test_a_journal_that_cannot_be_read_back_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = releases(tmp_path, b"one", b"another")
    monkeypatch.setattr("lfbuild.archive.journal.finish_journal", lambda *_: "undone")

    with pytest.raises(IntegrityError):
        in_place(old, delta_of(old, new))


def test_a_damaged_delta_leaves_the_file_and_no_journal(tmp_path: Path) -> None:
    old, new = releases(tmp_path, b"one", b"two")
    before, names = old.read_bytes(), sorted(tmp_path.iterdir())

    with pytest.raises(FormatError):
        in_place(old, delta_of(old, new)[:-1])

    assert old.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == names


def test_weights_that_have_rotted_are_noticed_before_anything_is_written(tmp_path: Path) -> None:
    old, new = releases(tmp_path, b"one", b"two")
    delta = delta_of(old, new)
    data = bytearray(old.read_bytes())
    data[50_000] ^= 1
    old.write_bytes(data)

    with pytest.raises(IntegrityError, match="is not the one that was promised"):
        in_place(old, delta)

    assert old.read_bytes() == data
