"""A release is put where others find it, the control file last; what is there already is not put again."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tests.commands.test_update import STRANGE_NAMES, damaged, updated
from tests.world.models import tiny_gguf
from tests.world.releases import write_new, write_old

from lfbuild.cli import main
from lfbuild.commands.index import index
from lfbuild.commands.publish import Published, publish
from lfbuild.errors import FetchError, FormatError, HostError, RecipeError
from lfbuild.fetch.network import Network
from lfbuild.host.moving import copy_range
from lfbuild.manifest.mapping import map_file
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write_new(tmp_path / "made", indexed=False)


def published(path: Path, folder: str, network: Network | None = None) -> Published:
    return publish(path, folder, network=network or Network(), threads=1, report=SilentReport())


def test_a_folder_has_the_file_under_its_root_and_the_control_file_last(new: Path, tmp_path: Path) -> None:
    root = map_file(new, threads=1).root.hex()[:16]
    folder = tmp_path / "www" / "chat"

    outcome = published(new, f"{folder}/")

    assert outcome.put == (f"{folder}/{root}/tiny.llamafile", f"{folder}/tiny.llamafile.lfindex")
    assert (outcome.file_url, outcome.url) == outcome.put
    assert (folder / root / "tiny.llamafile").read_bytes() == new.read_bytes()


def test_what_was_published_is_what_update_takes(new: Path, tmp_path: Path) -> None:
    old = write_old(tmp_path / "here")

    updated(old, published(new, str(tmp_path / "www")).url)

    assert old.read_bytes() == new.read_bytes()


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_file_of_any_name_is_published(new: Path, tmp_path: Path, name: str) -> None:
    named = new.rename(new.with_name(name))

    outcome = published(named, str(tmp_path / "www"))
    updated(tmp_path / "here", outcome.url)

    assert outcome.url == f"{tmp_path}/www/{name}.lfindex"
    assert (tmp_path / "here").read_bytes() == named.read_bytes()


def test_names_are_written_as_addresses_where_the_folder_is_one(new: Path, tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    outcome = published(new.rename(new.with_name("a#b")), (tmp_path / "www").as_uri())

    assert outcome.url == f"{(tmp_path / 'www').as_uri()}/a%23b.lfindex"
    assert (tmp_path / "www" / "a#b.lfindex").is_file()


def test_the_release_before_stays_for_updates_that_are_under_way(new: Path, tmp_path: Path) -> None:
    before = published(write_old(tmp_path / "before"), str(tmp_path / "www"))
    after = published(new, str(tmp_path / "www"))

    assert before.url == after.url
    assert before.file_url != after.file_url
    assert all((tmp_path / "www").joinpath(url).exists() for url in (before.file_url, after.file_url))


def test_a_control_file_that_is_a_link_gives_way_and_what_it_leads_to_stays(new: Path, tmp_path: Path) -> None:
    before = published(write_old(tmp_path / "before"), str(tmp_path / "archive"))
    kept = Path(before.url).read_bytes()
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / Path(before.url).name).symlink_to(before.url)

    published(new, str(tmp_path / "www"))

    assert Path(before.url).read_bytes() == kept


def test_publishing_again_puts_only_the_control_file(new: Path, tmp_path: Path) -> None:
    published(new, str(tmp_path / "www"))

    assert published(new, str(tmp_path / "www")).put == (f"{tmp_path}/www/tiny.llamafile.lfindex",)


def while_copied(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something else between the look at a file and its copy."""

    def copy(*descriptors: int, **where: int) -> None:
        act()
        copy_range(*descriptors, **where)

    monkeypatch.setattr("lfbuild.fetch.shelf.copy_range", copy)


def test_a_file_that_is_being_published_is_not_changed_in_place(
    new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = new.read_bytes()
    while_copied(monkeypatch, lambda: main(["swap", str(new), "--version", "9", "--in-place", "--quiet"]))

    updated(tmp_path / "here", published(new, str(tmp_path / "www")).url)

    assert (tmp_path / "here").read_bytes() == before
    assert f"{new}: is in use, or another lfbuild is changing it" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["written to", "another"])
def test_what_is_changed_while_it_is_published_is_not_left_there(
    how: str, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change() -> None:
        data = new.read_bytes()
        if how == "another":
            new.unlink()
        new.write_bytes(data[:-1] + b" ")  # of the same size

    while_copied(monkeypatch, change)

    with pytest.raises(HostError) as caught:
        published(new, str(tmp_path / "www"))

    assert str(caught.value) == f"{new}: was changed by another process meanwhile"
    assert not (tmp_path / "www").exists()


def test_a_foreign_file_brings_its_leaves(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    with path.open("wb") as file:
        file.truncate(70 << 20)
    root = map_file(path, threads=1).root.hex()[:16]

    outcome = published(path, str(tmp_path / "www"))

    assert [url.removeprefix(f"{tmp_path}/www/") for url in outcome.put] == [
        f"{root}/model.bin",
        f"{root}/model.bin.lfleaves",
        "model.bin.lfindex",
    ]
    updated(tmp_path / "here.bin", outcome.url)
    assert (tmp_path / "here.bin").read_bytes() == path.read_bytes()


def test_nothing_is_published_that_the_disk_has_no_room_for(
    new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1000, f_frsize=1, f_flag=0))
    monkeypatch.setattr("lfbuild.host.room.can_share", lambda *_: False)

    with pytest.raises(HostError, match="the new file needs"):
        published(new, str(tmp_path / "www"))

    assert not (tmp_path / "www").exists()


def test_a_web_server_takes_no_files(new: Path) -> None:
    with pytest.raises(FetchError) as caught:
        published(new, "https://a.test/x")

    assert str(caught.value) == "https://a.test/x/tiny.llamafile: a web server takes no files"
    assert caught.value.hint == "name a folder that the server serves, or an s3:// address"


def test_no_folder_is_not_the_root_of_the_file_system(new: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        published(new, "")

    assert str(caught.value) == f"{new}: is to be published, and the folder that was named for it is empty"
    assert caught.value.hint == "lfbuild publish FILE FOLDER"


def test_without_the_network_no_store_is_asked(new: Path) -> None:
    with pytest.raises(FetchError) as caught:
        published(new, "s3://bucket/x", Network(offline=True))

    assert str(caught.value) == "s3://bucket/x/tiny.llamafile: --offline forbids to put it there"


@pytest.mark.parametrize("verb", ["publish", "index"])
def test_a_damaged_file_is_no_release(new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    damaged(new)
    before = sorted(tmp_path.rglob("*"))

    assert main([verb, str(new), *([str(tmp_path / "www")] if verb == "publish" else []), "-q"]) == 5

    assert f"lfbuild: {new}: " in (told := capsys.readouterr().err)
    assert f"hint: lfbuild verify {new}" in told
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["tiny.llamafile", "tiny.EXE", "tiny"])
@pytest.mark.parametrize("cut_bytes", [1, 200, 20_000])
def test_a_file_of_ours_that_lost_its_end_is_no_release(new: Path, tmp_path: Path, name: str, cut_bytes: int) -> None:
    torn = new.with_name(name)
    torn.write_bytes(new.read_bytes()[:-cut_bytes])

    with pytest.raises(FormatError) as indexed:
        index(torn, file_url="", threads=1, report=SilentReport())
    with pytest.raises(FormatError) as caught:
        published(torn, str(tmp_path / "www"))

    assert str(indexed.value) == str(caught.value)
    what = "the comment of the ZIP end record is cut off" if cut_bytes == 1 else "no ZIP end record in the last 64 KiB"
    assert str(caught.value) == f"{torn}: {what}"
    assert caught.value.hint == "the file is not a ZIP, or it was cut off while it was written"
    assert not (tmp_path / "www").exists()


def test_an_empty_file_is_no_release(tmp_path: Path) -> None:
    empty = tmp_path / "model.bin"
    empty.touch()

    with pytest.raises(FormatError) as caught:
        published(empty, str(tmp_path / "www"))

    assert str(caught.value) == f"{empty}: is empty, so there is nothing to update to"
    assert not (tmp_path / "www").exists()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("model.gguf", tiny_gguf()),
        ("model.llamafile", tiny_gguf()),
        ("notes.txt", b"What is the capital of France?\n"),
    ],
)
def test_any_file_that_is_no_program_is_published_as_it_is(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)

    updated(tmp_path / "here", published(path, str(tmp_path / "www")).url)

    assert (tmp_path / "here").read_bytes() == data
