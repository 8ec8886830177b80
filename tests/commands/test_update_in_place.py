"""Updated in place, a file keeps what stands where it belongs; whatever ends it, one of the two versions is there."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.commands.test_update import Noted, beside, body_bytes, full, serve, updated
from tests.fetch.conftest import server
from tests.world.files import plain, sign_file, verified, write_tiny_file
from tests.world.programs import tiny_elf, tiny_pe
from tests.world.releases import TENSORS, members, model, write_new, write_old
from tests.world.slices import tiny_slice
from tests.world.zips import Stored, write_zip

from lfbuild.archive.journal import carry_out_journal
from lfbuild.archive.reader import Reader
from lfbuild.channel.describe import describe_release
from lfbuild.commands.index import index
from lfbuild.commands.recover import recover
from lfbuild.commands.update import check_for_update, update
from lfbuild.errors import FormatError, HostError, IntegrityError, RecipeError
from lfbuild.host.inplace import used
from lfbuild.host.room import disk_bytes
from lfbuild.manifest.filemap import Literal
from lfbuild.manifest.mapping import map_file
from lfbuild.manifest.order import LauncherHead
from lfbuild.manifest.verify import load_manifest
from lfbuild.report import SilentReport, size_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

    from tests.fetch.webserver import WebServer

    from lfbuild.commands.update import Update
    from lfbuild.manifest.order import EngineSlice

__all__ = ["server"]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write_old(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write_new(tmp_path / "new")


def test_only_what_differs_is_written_into_the_file_itself(server: WebServer, old: Path, new: Path) -> None:
    url, number = serve(server, new.parent), old.stat().st_ino
    report = Noted()

    outcome = updated(old, url, report, in_place=True)

    assert old.read_bytes() == new.read_bytes()
    assert verified(old) == []
    assert old.stat().st_ino == number
    assert beside(old) == []
    told = " KiB of the file were written anew, in their place"
    (written_kib,) = [float(note.removesuffix(told)) for note in report.notes if note.endswith(told)]
    assert len(TENSORS[3].data) < 1024 * written_kib < len(TENSORS[3].data) + 9000
    assert outcome.body_bytes == outcome.wanted_bytes


def test_what_moved_is_moved_and_a_file_that_becomes_shorter_is_cut(
    server: WebServer, tmp_path: Path, old: Path
) -> None:
    (tmp_path / "there").mkdir()
    first = plain("first.bin", b"x" * 5000)
    longer = write_tiny_file(tmp_path / "there", members=(members(changed=False)[0], first), room_bytes=9000)
    index(longer, file_url="", threads=1, report=SilentReport())
    url = serve(server, longer.parent)
    was = old.read_bytes()

    updated(old, url, in_place=True)

    assert old.read_bytes() == longer.read_bytes()
    assert body_bytes(server) < 12_000, "the model only moved"
    shorter = tmp_path / "shorter"
    shorter.mkdir()
    (shorter / "tiny.llamafile").write_bytes(was)
    index(shorter / "tiny.llamafile", file_url="", threads=1, report=SilentReport())
    updated(old, serve(server, shorter), in_place=True)
    assert old.read_bytes() == was


def test_a_damaged_old_file_is_mended_in_place(server: WebServer, old: Path, new: Path) -> None:
    data = bytearray(old.read_bytes())
    data[data.index(TENSORS[1].data) + 7] ^= 1
    old.write_bytes(data)

    updated(old, serve(server, new.parent), in_place=True)

    assert old.read_bytes() == new.read_bytes()


def test_a_file_in_use_is_never_written_under(server: WebServer, old: Path, new: Path) -> None:
    url, before = serve(server, new.parent), old.read_bytes()

    with used(old), pytest.raises(HostError) as caught:
        updated(old, url, in_place=True)

    assert str(caught.value) == f"{old}: is in use, or another lfbuild is changing it"
    assert old.read_bytes() == before
    server.asked.clear()
    outcome = updated(old, url, in_place=True)
    assert old.read_bytes() == new.read_bytes()
    assert outcome.body_bytes == 0, "everything was there already"


@pytest.mark.parametrize("how", [update, check_for_update])
def test_a_launcher_is_not_replaced_in_place(server: WebServer, tmp_path: Path, how: Callable[..., Update]) -> None:
    old, new = launchers(tmp_path / "here", size=900), launchers(tmp_path / "there", size=901)
    index(new, file_url="", threads=1, report=SilentReport())
    url, before = serve(server, new.parent), old.read_bytes()

    with pytest.raises(HostError) as caught:
        updated(old, url, in_place=True, how=how)

    assert str(caught.value) == (
        f"{old}: a launcher is not replaced in place: the file would not start if that was interrupted"
    )
    assert caught.value.hint == "without --in-place a new file is written"
    assert old.read_bytes() == before
    assert beside(old) == []


def test_a_launcher_that_stays_keeps_no_file_from_being_updated_in_place(server: WebServer, tmp_path: Path) -> None:
    old = launchers(tmp_path / "here", size=900)
    new = launchers(tmp_path / "there", tiny_slice(program=b"\x7fELF another engine" * 90), size=900)
    index(new, file_url="", threads=1, report=SilentReport())

    updated(old, serve(server, new.parent), in_place=True)

    assert old.read_bytes() == new.read_bytes()


def test_what_the_disk_has_no_room_for_in_place_is_not_begun(
    server: WebServer, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, before, size = serve(server, new.parent), old.read_bytes(), new.stat().st_size
    full(size // 2, monkeypatch)

    with pytest.raises(HostError) as caught:
        updated(old, url, in_place=True)

    assert (
        str(caught.value) == f"{old.parent}: the change in place needs 16.2 KiB, and {size_words(size // 2)} are free"
    )
    assert old.read_bytes() == before
    assert beside(old) == []
    assert body_bytes(server) == 32 * 5, "leaves"


def test_in_place_an_update_takes_the_room_that_was_reckoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (tmp_path / name / "tiny.llamafile" for name in ("old", "new"))
    for path, size in ((old, 1 << 20), (new, 3 << 20)):
        path.parent.mkdir()
        data = random.Random(size).randbytes(size)  # noqa: S311  # none of it is in both
        write_tiny_file(path.parent, members=(*members(changed=False), plain("large", data)))
    index(new, file_url="", threads=1, report=SilentReport())
    reckoned, taken = list[int](), list[int]()
    monkeypatch.setattr("lfbuild.commands.update.refuse_full_disk_in_place", lambda _, size: reckoned.append(size))
    growth = new.stat().st_size - old.stat().st_size

    def carry_out(path: Path, file: BinaryIO) -> None:
        taken.append(sum(disk_bytes(beside.stat()) for beside in path.parent.glob(".*")) + growth)
        carry_out_journal(path, file)

    monkeypatch.setattr("lfbuild.channel.inplace.carry_out_journal", carry_out)

    updated(old, new, in_place=True)

    assert old.read_bytes() == new.read_bytes()
    assert taken == pytest.approx(reckoned, rel=0.02)


def test_in_place_a_gap_takes_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reckoned = list[int]()
    monkeypatch.setattr("lfbuild.commands.update.refuse_full_disk_in_place", lambda _, size: reckoned.append(size))

    for room_bytes in (8 << 20, 64 << 20):
        old, new = (tmp_path / f"{name} {room_bytes}" / "tiny.llamafile" for name in ("old", "new"))
        for path, is_new in ((old, False), (new, True)):
            path.parent.mkdir()
            write_tiny_file(path.parent, members=members(changed=is_new), room_bytes=room_bytes)
        index(new, file_url="", threads=1, report=SilentReport())
        updated(old, new, in_place=True)
        assert old.read_bytes() == new.read_bytes()

    smaller, larger = reckoned
    assert larger - smaller < 1000
    assert smaller < 3 << 20


def test_a_journal_that_cannot_be_read_back_is_no_success(
    old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfbuild.archive.journal.finish_journal", lambda *_: "undone")

    with pytest.raises(IntegrityError) as caught:
        updated(old, new, in_place=True)

    assert str(caught.value) == f"{old}: its journal is not what was written there; the old version stays"


@pytest.mark.parametrize("how", [update, check_for_update])
@pytest.mark.parametrize("signed", ["old", "new"])
def test_a_signed_file_is_neither_changed_nor_made_in_place(
    server: WebServer, tmp_path: Path, signed: str, how: Callable[..., Update]
) -> None:
    folders = {name: tmp_path / name for name in ("old", "new")}
    for name, folder in folders.items():
        folder.mkdir()
        path = write_tiny_file(folder, head=tiny_pe(), members=members(changed=name == "new"))
        if name == signed:
            sign_file(path)
    old, new = (folder / "tiny.llamafile" for folder in folders.values())
    index(new, file_url="", threads=1, report=SilentReport())
    url, before = serve(server, new.parent), old.read_bytes()

    with pytest.raises(FormatError) as caught:
        updated(old, url, in_place=True, how=how)

    assert str(caught.value) == f"{old}: is signed, so it is not changed in place"
    assert caught.value.hint == "leave --in-place out"
    assert body_bytes(server) < 1000, "only digests came"
    assert old.read_bytes() == before
    assert beside(old) == []
    report = Noted()
    updated(old, url, report)
    assert old.read_bytes() == new.read_bytes()
    assert not any("--in-place" in note for note in report.notes), "what would be refused is not recommended"


def test_what_no_digest_covers_is_written_in_place_too(tmp_path: Path, old: Path, new: Path) -> None:
    at = new.read_bytes().index(b"\0", new.read_bytes().index(TENSORS[1].data))
    hole = Literal(offset=at, data=b"\0")
    found = replace(map_file(new, threads=1), holes=(hole,))
    with Reader.open(new) as reader:
        manifest, _ = load_manifest(reader) or pytest.fail("not ours")
    release = describe_release(found, name=new.name, url=new.name, manifest=manifest).index
    new.with_name("tiny.llamafile.lfindex").write_bytes(release.to_bytes())
    data = bytearray(old.read_bytes())
    data[at] = 7
    old.write_bytes(data)

    updated(old, new, in_place=True)

    assert old.read_bytes() == new.read_bytes()


def launchers(folder: Path, *slices: EngineSlice, size: int) -> Path:
    """A file that begins with a launcher of `size` bytes."""
    folder.mkdir()
    head = LauncherHead(program="elf", data=tiny_elf(size), slices=slices or (tiny_slice(),))
    return write_tiny_file(folder, head=head)


def test_somebody_else_s_file_is_not_updated_in_place(server: WebServer, tmp_path: Path, new: Path) -> None:
    path = write_zip(tmp_path / "foreign.llamafile", Stored("Tiny.Q4_0.gguf", model(changed=False)))
    there = tmp_path / "foreign release"
    there.mkdir()
    write_zip(there / "tiny.llamafile", Stored("a", b"b"))
    index(there / "tiny.llamafile", file_url="", threads=1, report=SilentReport())

    for how in (update, check_for_update):
        with pytest.raises(FormatError) as caught:
            updated(path, there / "tiny.llamafile", in_place=True, how=how)
        assert str(caught.value) == (f"{path}: is not updated in place, as it or its release is not lfbuild's own file")
    assert beside(path) == ["foreign release", "new"]


@pytest.mark.parametrize("how", [update, check_for_update])
def test_what_is_not_there_is_not_updated_in_place(tmp_path: Path, new: Path, how: Callable[..., Update]) -> None:
    with pytest.raises(HostError) as caught:
        updated(tmp_path / "none", new, in_place=True, how=how)

    assert str(caught.value) == f"{tmp_path / 'none'}: does not exist, so nothing can be updated in place"
    assert caught.value.hint == "without --in-place the whole file is fetched"
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_the_old_file_cannot_be_kept_where_it_is_written(old: Path, new: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        updated(old, new, in_place=True, keep_old=True)

    assert str(caught.value) == f"{old}: --in-place and --keep-old contradict each other"


def test_through_a_link_the_journal_stands_beside_the_file_itself_where_recover_finds_it(
    server: WebServer, tmp_path: Path, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serve(server, new.parent)
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "chat"
    link.symlink_to(old)
    monkeypatch.setattr("lfbuild.channel.inplace.carry_out_journal", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        updated(link, url, in_place=True)

    assert recover(link) == "finished"

    assert old.read_bytes() == new.read_bytes()
    assert [path.name for path in link.parent.iterdir()] == ["chat"]
    assert link.is_symlink()
