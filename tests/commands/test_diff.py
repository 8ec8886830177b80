"""`diff`, `apply` and `squash` as a user meets them."""

from __future__ import annotations

import io
import json
import random
import sys
import tempfile
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tests.world.deltas import written
from tests.world.files import default_members, plain, weights, write_tiny_file
from tests.world.models import TinyTensor, tiny_gguf
from tests.world.slices import LINUX_ENGINE, tiny_launcher, tiny_slice

from lfbuild.archive import deflate as deflating
from lfbuild.archive.deflate import deflate, encoder_version
from lfbuild.cli import main
from lfbuild.delta import apply as applying
from lfbuild.delta import choose, covers
from lfbuild.report import size_words

if TYPE_CHECKING:
    from pathlib import Path


CHANCE = random.Random(4)  # noqa: S311  # nothing secret


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LFBUILD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write_tiny_file(tmp_path, name="chat-1.llamafile")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write_tiny_file(
        tmp_path, name="chat-2.llamafile", members=(*default_members(), plain("more", b"and more" * 200))
    )


def said(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    assert main([*(str(word) for word in words), "--quiet"]) == code
    told = capsys.readouterr()
    return told.out if code == 0 else told.err


def noted(capsys: pytest.CaptureFixture[str], *words: object) -> list[str]:
    """What is said of it beside the result."""
    assert main([str(word) for word in words]) == 0
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]


def test_a_difference_is_told_region_by_region(old: Path, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "diff", old.name, new.name)

    lines = told.splitlines()
    assert lines[0].split() == ["in", "the", "delta", "of", "copied", "what", "as"]
    assert [line.split()[-2:] for line in lines if " more " in line] == [["more", "compressed"]]
    size = (new.parent / "chat-2.llamafile.lfdelta").stat().st_size
    assert f"chat-2.llamafile.lfdelta: {size_words(size)}, " in lines[-1]
    assert not any("Tiny.Q4_0.gguf" in line for line in lines[:-1] if "blocks" not in line)


def test_it_is_told_as_json_too(old: Path, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(said(capsys, "diff", old.name, new.name, "-o", "p.lfdelta", "--json"))

    assert told["path"] == "p.lfdelta"
    assert told["size_bytes"] == (old.parent / "p.lfdelta").stat().st_size
    assert told["size_bytes"] == told["rest_bytes"] + sum(region["delta_bytes"] for region in told["regions"])
    (region,) = [region for region in told["regions"] if region["name"] == "more"]
    assert region["size_bytes"] == 1600


def test_the_new_file_gets_the_name_it_had_and_its_mode(
    old: Path, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = new.read_bytes()
    said(capsys, "diff", old.name, new.name, "-o", "p.lfdelta")
    new.unlink()

    assert said(capsys, "apply", old.name, "p.lfdelta") == "chat-2.llamafile: 8.0 KiB, every block as promised\n"
    assert new.read_bytes() == expected
    assert new.stat().st_mode & 0o111
    assert said(capsys, "verify", new.name)


def test_frames_wait_where_the_delta_will_stand(
    old: Path, new: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/a/temporary/folder/without/room")

    said(capsys, "diff", old.name, new.name, "-o", "p.lfdelta")
    said(capsys, "apply", old.name, "p.lfdelta", "-o", "made")

    assert (old.parent / "made").read_bytes() == new.read_bytes()


def test_a_delta_tells_what_it_is_for_and_what_it_makes(
    old: Path, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "diff", old.name, new.name, "-o", "p.lfdelta")

    told = said(capsys, "inspect", "p.lfdelta")

    assert [line.split(maxsplit=1) for line in told.splitlines()][1:] == [
        ["what", "a difference between two files, for `lfbuild apply`"],
        ["size", f"{(old.parent / 'p.lfdelta').stat().st_size} B"],
        ["for", "chat-1.llamafile, 6.2 KiB"],
        ["makes", "chat-2.llamafile, 8.0 KiB"],
    ]
    document = json.loads(said(capsys, "inspect", "p.lfdelta", "--json"))
    assert (document["kind"], document["delta"]["new_bytes"]) == ("delta", new.stat().st_size)


def test_a_delta_of_a_compressed_engine_tells_what_applying_it_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = engines(tmp_path)
    said(capsys, "diff", one.name, two.name, "-o", "p")

    assert "needs  libdeflate 0.9.0" in said(capsys, "inspect", "p")


def test_a_name_that_is_taken_is_refused_unless_forced(
    old: Path, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "diff", old.name, new.name, "-o", "p.lfdelta")

    assert said(capsys, "apply", old.name, "p.lfdelta", code=8) == (
        "lfbuild: chat-2.llamafile: is there already\nlfbuild: hint: -o names another, --force replaces it\n"
    )
    assert said(capsys, "apply", old.name, "p.lfdelta", "--force")


@pytest.mark.parametrize("words", [(), ("--force",)])
def test_the_old_file_is_not_replaced_by_a_new_one_of_its_name(
    old: Path, new: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    said(capsys, "diff", old.name, new.name, "-o", "p.lfdelta")
    before = old.read_bytes()
    old.replace(new)

    assert said(capsys, "apply", new.name, "p.lfdelta", *words, code=8) == (
        "lfbuild: chat-2.llamafile: is the old file, and the delta calls the new one so too\n"
        "lfbuild: hint: -o names another, --in-place changes it\n"
    )
    assert new.read_bytes() == before


def test_a_file_that_o_names_is_replaced_unforced(old: Path, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "diff", old.name, new.name, "-o", "p.lfdelta")
    made = old.with_name("made")
    made.write_bytes(b"another file")

    said(capsys, "apply", old.name, "p.lfdelta", "-o", "made")

    assert made.read_bytes() == new.read_bytes()


def test_the_help_says_what_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply", "--help"]) == 0

    told = " ".join(capsys.readouterr().out.split())
    assert "where to write, over a file that is there too (default:" in told
    assert "--force without -o: replace a file that has the delta's name already, but for FILE itself" in told


def test_a_delta_is_applied_from_standard_input(
    old: Path, new: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said(capsys, "diff", old.name, new.name, "-o", "p.lfdelta")
    pipe = io.BytesIO((old.parent / "p.lfdelta").read_bytes())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=pipe))

    said(capsys, "apply", old.name, "-", "-o", "made")

    assert (old.parent / "made").read_bytes() == new.read_bytes()


def test_a_chain_is_applied_one_after_the_other_and_squashed_into_one(
    old: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    third = write_tiny_file(
        tmp_path, name="chat-3.llamafile", members=(*default_members(), plain("more", b"and more" * 201))
    )
    said(capsys, "diff", old.name, new.name, "-o", "12")
    said(capsys, "diff", new.name, third.name, "-o", "23")
    before = sorted(tmp_path.iterdir())

    said(capsys, "apply", old.name, "12", "23", "-o", "made")
    assert (tmp_path / "made").read_bytes() == third.read_bytes()
    said(capsys, "squash", old.name, "12", "23", "-o", "13")
    (tmp_path / "made").unlink()
    said(capsys, "apply", old.name, "13", "-o", "made")

    assert (tmp_path / "made").read_bytes() == third.read_bytes()
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "made", tmp_path / "13"])
    said(capsys, "diff", old.name, third.name, "-o", "direct")
    assert (tmp_path / "13").read_bytes() == (tmp_path / "direct").read_bytes()


@pytest.mark.parametrize("words", [(), ("-o", "missing/made")])
def test_where_a_chain_leads_is_refused_before_a_version_in_between_is_made(
    old: Path, new: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    said(capsys, "diff", old.name, new.name, "-o", "12")
    said(capsys, "diff", new.name, old.name, "-o", "21")
    said(capsys, "diff", old.name, new.name, "-o", "12 again")
    monkeypatch.setattr("lfbuild.commands.apply.apply_delta", lambda *_, **__: pytest.fail("a version was made"))

    told = said(capsys, "apply", old.name, "12", "21", "12 again", *words, code=8)

    where = "missing: is no folder" if words else "chat-2.llamafile: is there already"
    assert told.startswith(f"lfbuild: {where}")


def test_a_chain_in_the_wrong_order_is_refused(
    old: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "diff", old.name, new.name, "-o", "12")

    told = said(capsys, "apply", old.name, "12", "12", "-o", "made", code=5)

    assert told == (
        "lfbuild: 12: was made for another file than the one that 12 makes; nothing was changed\n"
        "lfbuild: hint: `lfbuild inspect` tells what a delta is for and makes\n"
    )
    assert not (tmp_path / "made").exists()


def test_a_delta_over_one_of_its_files_is_refused(old: Path, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refusal = "lfbuild: {}: is one of the files that are read\nlfbuild: hint: -o names another\n"
    said(capsys, "diff", old.name, new.name, "-o", "12")
    said(capsys, "diff", new.name, old.name, "-o", "21")
    before = {path.name: path.read_bytes() for path in old.parent.iterdir() if path.is_file()}

    assert said(capsys, "diff", old.name, new.name, "-o", new.name, code=8) == refusal.format(new.name)
    for target in (old.name, "12", "21"):
        assert said(capsys, "squash", old.name, "12", "21", "-o", target, code=8) == refusal.format(target)
    for target in (old.name, "12", "21"):
        assert said(capsys, "apply", old.name, "12", "21", "-o", target, code=8) == refusal.format(target)

    assert {path.name: path.read_bytes() for path in old.parent.iterdir() if path.is_file()} == before


def test_in_place_the_file_keeps_its_name_and_little_is_written(
    old: Path, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "diff", old.name, new.name, "-o", "p.lfdelta")

    told = said(capsys, "apply", "--in-place", old.name, "p.lfdelta")

    assert told == "chat-1.llamafile: 8.0 KiB, 5.0 KiB of it written anew\n"
    assert old.read_bytes() == new.read_bytes()
    told = said(capsys, "apply", "--in-place", old.name, "p.lfdelta")
    assert told == "chat-1.llamafile: is already what p.lfdelta makes\n"


@pytest.mark.parametrize(("words", "other"), [(("-o", "x"), "-o"), (("--force",), "--force")])
def test_in_place_and_a_new_file_contradict_each_other(
    old: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], other: str
) -> None:
    assert said(capsys, "apply", "--in-place", old.name, "p", *words, code=2) == (
        f"lfbuild: apply: --in-place and {other} contradict each other\nlfbuild: hint: `lfbuild apply --help`\n"
    )


def test_other_quantization_is_told_and_plain_fetching_advised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, kind in (("old.gguf", 2), ("new.gguf", 8)):
        data = tiny_gguf(None, (TinyTensor("blk.0.ffn_up.weight", (256, 999), kind),))
        written(tmp_path, name, data[:1000] + CHANCE.randbytes(len(data) - 1000))

    assert noted(capsys, "diff", "old.gguf", "new.gguf")[-1] == (
        "note: the delta saves little, as 265.4 KiB of its tensors are quantized otherwise: "
        "`lfbuild update` fetches what changed plainly, 265.4 KiB"
    )


def test_quiet_a_difference_has_no_notes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("old.bin", "new.bin"):
        written(tmp_path, name, CHANCE.randbytes(100_000))

    assert noted(capsys, "diff", "old.bin", "new.bin")
    assert not noted(capsys, "diff", "old.bin", "new.bin", "-q")


def engines(tmp_path: Path) -> tuple[Path, Path]:
    """Two releases whose engine is compressed and differs a little."""
    made = []
    first = LINUX_ENGINE + bytes(CHANCE.choices(b"abcdefgh", k=20_000))  # what every level compresses otherwise
    for name, program in (("one", first), ("two", first[:9000] + b"a new function" + first[9000:])):
        engine = tiny_slice("linux-x86_64", program, stored=deflate(program))
        made.append(write_tiny_file(tmp_path, name=name, head=tiny_launcher([engine]), members=(weights(),)))
    return made[0], made[1]


def test_compressed_engines_are_compared_decoded_and_compressed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = engines(tmp_path)

    told = said(capsys, "diff", one.name, two.name, "-o", "p")
    said(capsys, "apply", one.name, "p", "-o", "made")

    assert "difference of programs" in told
    assert (tmp_path / "made").read_bytes() == two.read_bytes()


def test_an_encoder_that_is_absent_is_told_and_the_stored_bytes_travel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = engines(tmp_path)

    def absent() -> str:
        raise ImportError("deflate")

    monkeypatch.setattr(choose, "encoder_version", absent)
    told = noted(capsys, "diff", one.name, two.name, "-o", "p")
    said(capsys, "apply", one.name, "p", "-o", "made")

    assert told[-1] == (
        "note: .lfbuild/engine/linux-x86_64 travels as it is stored: "
        "the package `deflate`, which compressed it, is not here"
    )
    assert (tmp_path / "made").read_bytes() == two.read_bytes()


def test_an_encoder_that_makes_other_bytes_is_told_and_the_stored_bytes_travel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = engines(tmp_path)
    monkeypatch.setattr(choose, "deflate", lambda data, *, level: deflate(data, level=level - 9))
    monkeypatch.setattr(choose, "encoder_version", lambda: "99.0")

    told = noted(capsys, "diff", one.name, two.name, "-o", "p")
    said(capsys, "apply", one.name, "p", "-o", "made")

    assert told[-1] == (
        "note: .lfbuild/engine/linux-x86_64 travels as it is stored: "
        "deflate 99.0 does not compress it to the bytes that 0.9.0 made"
    )
    assert (tmp_path / "made").read_bytes() == two.read_bytes()


def test_applying_without_the_encoder_is_refused_with_the_way_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = engines(tmp_path)
    said(capsys, "diff", one.name, two.name, "-o", "p")

    def absent(_: bytes, *, level: int) -> bytes:
        raise ImportError(f"deflate, level {level}")

    monkeypatch.setattr(applying, "deflate", absent)
    told = said(capsys, "apply", one.name, "p", "-o", "made", code=3)

    assert told == (
        "lfbuild: p: frame for the bytes at 958: has to be compressed again, and the package `deflate` is not here\n"
        "lfbuild: hint: pip install deflate==0.9.0\n"
    )
    assert not (tmp_path / "made").exists()


def test_applying_with_another_encoder_is_tried_and_refused_only_if_the_bytes_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = engines(tmp_path)
    said(capsys, "diff", one.name, two.name, "-o", "p")
    monkeypatch.setattr(applying, "encoder_version", lambda: "99.0")

    said(capsys, "apply", one.name, "p", "-o", "made")
    assert (tmp_path / "made").read_bytes() == two.read_bytes()
    monkeypatch.setattr(applying, "deflate", lambda data, *, level: deflate(data, level=level - 9))
    told = said(capsys, "apply", one.name, "p", "-o", "again", code=3)

    assert "deflate 99.0 compresses the program at 958 to other bytes than it had" in told
    assert "hint: pip install deflate==0.9.0" in told
    assert not (tmp_path / "again").exists()


def test_a_publisher_without_the_differ_is_told_what_it_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = engines(tmp_path)
    monkeypatch.setattr(covers, "can_find_covers", lambda: False)

    told = noted(capsys, "diff", one.name, two.name, "-o", "p")
    said(capsys, "apply", one.name, "p", "-o", "made")

    assert told[-1] == (
        "note: .lfbuild/engine/linux-x86_64 is not compared as a program: "
        "the package `hdiffpatch` is not here (pip install 'lfbuild[delta]')"
    )
    assert (tmp_path / "made").read_bytes() == two.read_bytes()


def test_the_recorded_encoder_is_the_one_that_compresses() -> None:
    assert deflating.ENCODER == "libdeflate"
    assert encoder_version()
