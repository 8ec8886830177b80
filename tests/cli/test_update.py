"""`index`, `publish` and `update` as a user types them: sentences, documents and exit codes."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.world.files import write_tiny_file
from tests.world.releases import TENSORS, members, model, write_new, write_old

from lfbuild.errors import FetchError, RecipeError, TrustError
from lfbuild.manifest.model import Release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Lfbuild


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write_old(tmp_path / "here")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write_new(tmp_path / "there", indexed=False)


def test_an_index_is_told_with_its_size(lfbuild: Lfbuild, new: Path) -> None:
    outcome = lfbuild("index", str(new), "--quiet")

    size = new.with_name("tiny.llamafile.lfindex").stat().st_size
    assert outcome.code == 0
    assert outcome.out == f"{new}.lfindex ({size / 1024:.1f} KiB, 37 blocks)\n"
    assert json.loads(lfbuild("index", str(new), "--json").out)["index_bytes"] == size


def test_a_release_is_published_looked_at_and_taken(lfbuild: Lfbuild, old: Path, new: Path, tmp_path: Path) -> None:
    www = tmp_path / "www"

    published = lfbuild("publish", str(new), str(www), "--quiet")
    look = lfbuild("update", str(old), f"{www}/", "--check", "--quiet")
    taken = lfbuild("update", str(old), f"{www}/", "--keep-old", "--quiet")
    again = lfbuild("update", str(old), f"{www}/", "--check", "--quiet")

    assert published.out == f"{www}/tiny.llamafile.lfindex: is what `lfbuild update` takes\n"
    assert look.code == 10
    assert look.out.startswith(f"{old}: tiny 1 here, tiny 1 there, which differs; 22.6 KiB of it are here\nway ")
    assert "\nranges of what is missing  " in look.out
    assert taken.code == 0
    assert taken.out == f"{old}: is now tiny 1; 5.9 KiB were fetched, 25.0 KiB were not\n"
    unread = "whether it is whole, `lfbuild verify` tells"
    assert (again.code, again.out) == (0, f"{old}: is tiny 1, the newest there is; {unread}\n")
    assert old.read_bytes() == new.read_bytes()


def test_a_damaged_file_is_told_and_repaired_when_its_bytes_are_read(lfbuild: Lfbuild, old: Path, new: Path) -> None:
    lfbuild("index", str(new))
    data = bytearray(new.read_bytes())
    data[data.index(TENSORS[1].data)] ^= 1
    old.write_bytes(data)

    look = lfbuild("update", str(old), str(new), "--check", "--repair", "--quiet")
    repaired = lfbuild("update", str(old), str(new), "--repair", "--quiet")
    again = lfbuild("update", str(old), str(new), "--repair", "--quiet")

    assert look.code == 10
    assert look.out.startswith(f"{old}: tiny 1 here, tiny 1 there, which differs; ")
    assert repaired.code == 0
    assert again.out == f"{old}: is tiny 1, the newest there is; every byte of it was read\n"
    assert old.read_bytes() == new.read_bytes()


@pytest.mark.parametrize(
    ("here", "there", "which"),
    [("1.9", "1.10", "which is newer"), ("2.0", "1.0", "another version"), ("", "spring", "another version")],
)
def test_what_is_here_and_what_is_there_are_told_and_newer_only_what_is_known_to_be(
    lfbuild: Lfbuild, tmp_path: Path, here: str, there: str, which: str
) -> None:
    old = write_old(tmp_path / "here", release=Release(name="chat", version=here))
    new = write_new(tmp_path / "there", release=Release(name="chat", version=there))
    compared = f"{f'chat {here}'.strip()} here, chat {there} there, {which}"

    look = lfbuild("update", str(old), str(new), "--check", "--quiet")
    outcome = lfbuild("update", str(old), str(new), "--json")
    taken = json.loads(outcome.out)

    assert look.code == 10
    assert look.out.startswith(f"{old}: {compared}; ")
    assert [taken[key] for key in ("here_name", "here_version", "version")] == ["chat", here, there]
    assert json.loads(outcome.err.splitlines()[2]) == {"event": "note", "text": compared}
    assert old.read_bytes() == new.read_bytes()


def test_a_release_of_another_name_is_refused_until_it_is_allowed(lfbuild: Lfbuild, tmp_path: Path) -> None:
    old = write_old(tmp_path / "here", release=Release(name="gemma", version="1.0"))
    new = write_new(tmp_path / "there", release=Release(name="chat", version="2.0"))
    before = old.read_bytes()

    refused = [lfbuild("update", str(old), str(new), "--quiet", *more) for more in ((), ("--check",))]
    look = lfbuild("update", str(old), str(new), "--check", "--another", "--quiet")
    kept = old.read_bytes()
    taken = lfbuild("update", str(old), str(new), "--another", "--quiet")

    for outcome in refused:
        assert outcome.code == TrustError.exit_code
        assert outcome.err == (
            f"lfbuild: {old}: is gemma 1.0, and the release at {new}.lfindex is chat 2.0; nothing was changed\n"
            "lfbuild: hint: check the address; --another takes that release all the same\n"
        )
    assert kept == before
    assert look.out.startswith(f"{old}: gemma 1.0 here, chat 2.0 there, another file; ")
    assert taken.out.startswith(f"{old}: is now chat 2.0, and was gemma 1.0; ")
    assert old.read_bytes() == new.read_bytes()


def test_a_file_that_tells_nothing_of_itself_is_told_as_such(lfbuild: Lfbuild, new: Path, tmp_path: Path) -> None:
    lfbuild("index", str(new))
    path = tmp_path / "model.gguf"
    path.write_bytes(model(changed=False))

    look = lfbuild("update", str(path), str(new), "--check", "--quiet")

    assert look.code == 10
    assert look.out.startswith(f"{path}: a file that tells nothing of itself here, tiny 1 there, another file; ")


def test_the_same_version_that_was_packed_once_more_is_newer(lfbuild: Lfbuild, old: Path, tmp_path: Path) -> None:
    new = write_tiny_file(tmp_path, members=members(changed=True), generation=2)
    lfbuild("index", str(new))

    look = lfbuild("update", str(old), str(new), "--check", "--quiet")

    assert look.out.startswith(f"{old}: tiny 1 here, tiny 1 there, which is newer; ")


def test_what_an_interrupted_update_left_is_removed_on_wish(lfbuild: Lfbuild, old: Path) -> None:
    left = old.with_name(f".{old.name}.{'0' * 16}.lfbuild-update")
    left.write_bytes(b"blocks" * 1000)

    freed = lfbuild("update", str(old), "--give-up", "--json")
    again = lfbuild("update", str(old), "--give-up", "--quiet")
    both = lfbuild("update", str(old), "--give-up", "--check")

    assert json.loads(freed.out) == {"path": str(old), "freed_bytes": 8192}
    assert (again.code, again.out) == (0, f"{old}: no update had left anything\n")
    assert both.code == 2
    assert not left.exists()


@pytest.mark.parametrize(
    ("other", "shown"),
    [
        ("https://me:secret@example.org/", "https://example.org/"),
        ("release #1/", "release #1/"),
        ("--repair", "--repair"),
        ("--keep-old", "--keep-old"),
    ],
)
def test_what_is_given_up_is_not_updated_too(lfbuild: Lfbuild, old: Path, other: str, shown: str) -> None:
    left = old.with_name(f".{old.name}.{'0' * 16}.lfbuild-update")
    left.write_bytes(b"blocks")

    outcome = lfbuild("update", str(old), "--give-up", other)

    assert outcome.code == 2
    assert f"--give-up updates nothing, so {shown} has no place beside it" in outcome.err
    assert left.exists()


@pytest.mark.parametrize("address", ["ftp://example.org/chat", "nonsense://x", "https://", "s3://a bucket/chat"])
def test_an_address_that_nobody_can_read_is_put_into_no_index(lfbuild: Lfbuild, new: Path, address: str) -> None:
    outcome = lfbuild("index", str(new), "--file-url", address, "--quiet")

    what = "must be an http://, https://, s3:// or oci:// address"
    assert (outcome.code, outcome.err) == (2, f"lfbuild: {new}: --file-url: {what}\n")
    assert not new.with_name("tiny.llamafile.lfindex").exists()


@pytest.mark.parametrize(
    "address", ["../files/tiny 1.llamafile", "https://example.org/x", "oci://h/r:1/n", "file:///x"]
)
def test_a_name_beside_the_index_and_what_update_reads_are_addresses(lfbuild: Lfbuild, new: Path, address: str) -> None:
    assert lfbuild("index", str(new), "--file-url", address, "--quiet").code == 0


def test_what_an_interrupted_update_keeps_is_here_too(
    lfbuild: Lfbuild, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lfbuild("index", str(new))
    before = lfbuild("update", str(old), str(new), "--check", "--quiet").out
    with monkeypatch.context() as patch:
        patch.setattr("lfbuild.channel.work.judge", _refuse)
        assert lfbuild("update", str(old), str(new), "--quiet").code == 7

    after = lfbuild("update", str(old), str(new), "--check", "--quiet").out

    assert before.startswith(f"{old}: tiny 1 here, tiny 1 there, which differs; 22.6 KiB of it are here\n")
    assert after.startswith(f"{old}: tiny 1 here, tiny 1 there, which differs; 28.")


def _refuse(*_: object, **__: object) -> None:
    raise FetchError("x", "enough")


def test_a_look_is_a_document_too(lfbuild: Lfbuild, old: Path, new: Path) -> None:
    lfbuild("index", str(new))

    outcome = lfbuild("update", str(old), str(new), "--check", "--json")

    document = json.loads(outcome.out)
    assert outcome.code == 10
    assert [route["kind"] for route in document["routes"]] == ["ranges", "whole"]
    assert (document["is_current"], document["is_done"], document["size_bytes"]) == (False, False, new.stat().st_size)


def test_progress_is_told_as_events(lfbuild: Lfbuild, old: Path, new: Path) -> None:
    lfbuild("index", str(new))

    events = [json.loads(line) for line in lfbuild("update", str(old), str(new), "--json").err.splitlines()]

    assert [event["step"] for event in events if event["event"] == "end"] == [
        "look at tiny.llamafile",
        "copy what is here",
        "fetch the rest",
        "check the whole",
    ]
    assert all(event["done"] == event["total"] for event in events if event["event"] == "end" and event["number"] > 1)
    assert [event["event"] for event in events if event["event"] == "note"] == ["note"] * 3


@pytest.mark.parametrize(("words", "size"), [("100", 100), ("2k", 2048), ("1.5M", 3 << 19), ("10GiB", 10 << 30)])
def test_sizes_are_written_as_those_of_the_cache_are(
    lfbuild: Lfbuild, monkeypatch: pytest.MonkeyPatch, words: str, size: int
) -> None:
    asked: list[tuple[int | None, int | None]] = []

    def update(order: object, *, manners: object, **_: object) -> object:
        asked.append((order.at_most_bytes, manners.limit_bytes_per_s))  # type: ignore[attr-defined]
        raise FetchError("x", "enough")

    monkeypatch.setattr("lfbuild.commands.update.update", update)

    lfbuild("update", "x", "--at-most", words, "--limit", words)

    assert asked == [(size, size)]


def test_what_is_no_size_is_refused(lfbuild: Lfbuild) -> None:
    for words in ("much", "0", "-1", "1.2.3"):
        outcome = lfbuild("update", "x", "--limit", words)
        assert outcome.code == RecipeError.exit_code
    assert "argument --limit: '1.2.3' is not a size; write it as 500k, 2M or 10G" in outcome.err


def test_a_file_that_is_absent_needs_an_address(lfbuild: Lfbuild, new: Path, tmp_path: Path) -> None:
    lfbuild("index", str(new))

    without = lfbuild("update", str(tmp_path / "none"))
    look = lfbuild("update", str(tmp_path / "none"), str(new), "--check", "--quiet")
    fetched = lfbuild("update", str(tmp_path / "fresh.llamafile"), str(new))

    assert without.code == 8
    assert without.err == (
        f"lfbuild: {tmp_path}/none: does not exist\n"
        f"lfbuild: hint: check the path, or give the address to fetch it from: lfbuild update {tmp_path}/none URL\n"
    )
    assert look.code == 10
    assert look.out.startswith(f"{tmp_path}/none: is not here yet, tiny 1 is there; 0 B of it are here\n")
    assert fetched.code == 0
    assert (tmp_path / "fresh.llamafile").read_bytes() == new.read_bytes()
    assert shutil.which(tmp_path / "fresh.llamafile")
