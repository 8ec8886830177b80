"""A file becomes the newer release: what is here is copied, what is not is fetched once, and the old one is whole."""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
import pytest
from tests.fetch.conftest import server
from tests.fetch.webserver import Page, WebServer
from tests.world.files import manifest_of, plain, reseal, verified, weights, write_tiny_file
from tests.world.releases import TENSORS, members, model, write_new, write_old
from tests.world.zips import Stored, write_zip

from lfbuild.channel.describe import describe_release
from lfbuild.channel.index import ReleaseIndex
from lfbuild.channel.partial import updating
from lfbuild.commands.index import index
from lfbuild.commands.update import UpdateOrder, check_for_update, give_up, update
from lfbuild.errors import (
    FROM_THE_BEGINNING,
    KEPT,
    FetchError,
    HostError,
    IntegrityError,
    RecipeError,
    TrustError,
    command,
)
from lfbuild.fetch.network import Network
from lfbuild.fetch.pace import Clock
from lfbuild.fetch.parallel import Manners
from lfbuild.host.inplace import had_alone, journal_path
from lfbuild.manifest.filemap import FileMap, Zeros
from lfbuild.manifest.model import Release
from lfbuild.manifest.order import PackOrder
from lfbuild.manifest.pack import pack
from lfbuild.report import SilentReport, size_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from lfbuild.commands.update_words import Update
    from lfbuild.report import Step, Unit

__all__ = ["server"]

QUICK = Manners(clock=Clock(now=lambda: 0.0, pause=lambda _: None), silence_s=5, most_connections=1)
"""Where no time passes, asking twice costs nothing: no byte is read along that nobody wants."""


STRANGE_NAMES = ["a#b", "a?b", "a%41b", "a:b", "two words", "grüße+日本"]


class Noted(SilentReport):
    """A report that keeps the notes, and what was begun."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[str] = []

    def step(self, title: str, /, *, total: int | None = None, unit: Unit = "bytes") -> AbstractContextManager[Step]:
        self.steps.append(title)
        return super().step(title, total=total, unit=unit)

    def note(self, text: str, /) -> None:
        self.notes.append(text)


class Counted(Noted):
    """A report that counts what each step did, and of how much."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, tuple[int, int | None]] = {}
        self.expected: list[int] = []

    @contextmanager
    def step(self, title: str, /, *, total: int | None = None, unit: Unit = "bytes") -> Iterator[Step]:
        del unit
        done = list[int]()
        yield SimpleNamespace(advance=lambda amount, **_: done.append(amount), expect=self.expected.append)
        self.counts[title] = sum(done), total


@pytest.fixture
def report() -> Noted:
    return Noted()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write_old(tmp_path / "here")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write_new(tmp_path / "there")


def serve(server: WebServer, folder: Path) -> str:
    """Put a folder on the server; returns its address."""
    for path in sorted(folder.iterdir()):
        server.pages[f"/{path.name}"] = Page(data=path.read_bytes(), etag=f'"{path.stat().st_mtime_ns}"')
    return f"{server.url}/tiny.llamafile"


@pytest.fixture
def url(server: WebServer, new: Path) -> str:
    return serve(server, new.parent)


def updated(
    path: Path,
    url: object,
    report: Noted | None = None,
    *,
    how: Callable[..., Update] = update,
    network: Network | None = None,
    **more: object,
) -> Update:
    order = UpdateOrder(path=path, url=str(url), **more)  # type: ignore[arg-type]
    return how(
        order, network=network or Network(timeout_s=5), manners=QUICK, threads=1, report=report or SilentReport()
    )


def beside(path: Path) -> list[str]:
    """What else stands in the folder."""
    return sorted(entry.name for entry in path.parent.iterdir() if entry != path and not entry.name.endswith(".head"))


def body_bytes(server: WebServer, path: str = "/tiny.llamafile") -> int:
    return sum(asked.sent_bytes for asked in server.asked if asked.path == path)


def test_a_file_becomes_the_newer_release_and_only_what_changed_is_fetched(
    server: WebServer, url: str, old: Path, new: Path
) -> None:
    old.chmod(0o750)

    outcome = updated(old, url)

    assert old.read_bytes() == new.read_bytes()
    assert verified(old) == []
    assert stat.S_IMODE(old.stat().st_mode) == 0o750
    assert beside(old) == []
    assert (outcome.is_done, outcome.is_current, outcome.name, outcome.version) == (True, False, "tiny", "1")
    assert outcome.wanted_bytes < len(TENSORS[3].data) + 4000
    assert body_bytes(server) == outcome.body_bytes + 32 * 5, "the blocks, and the leaves of the changed tensor"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")
def test_a_file_that_root_updates_stays_its_owner_s(url: str, old: Path, new: Path) -> None:
    os.chown(old, 12345, 23456)
    old.chmod(0o4750)

    updated(old, url)

    assert old.read_bytes() == new.read_bytes()
    assert (old.stat().st_uid, old.stat().st_gid, stat.S_IMODE(old.stat().st_mode)) == (12345, 23456, 0o4750)


def test_the_plan_is_told_before_it_is_carried_out(url: str, old: Path, report: Noted) -> None:
    updated(old, url, report)

    saved = "25.0 KiB of 30.9 KiB need not be fetched"
    assert report.notes == [
        f"{saved}; what is missing, in ranges: 5.9 KiB in 3 requests, about 0.0 s on the line at an assumed 23.8 MiB/s",
        "instead of the whole file: 30.9 KiB in 1 request, about 0.0 s on the line",
        "22.6 KiB are copied on this disk; --in-place writes only what changes",
    ]


def test_what_the_disk_has_no_room_for_is_not_begun(
    server: WebServer, url: str, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, size = old.read_bytes(), new.stat().st_size
    full(size - 1000, monkeypatch)

    with pytest.raises(HostError) as caught:
        updated(old, url)

    assert str(caught.value) == (
        f"{old.parent}: the new file needs {size_words(size)}, and {size_words(size - 1000)} are free"
    )
    assert caught.value.hint == "--in-place needs 16.2 KiB; or free some space"
    assert old.read_bytes() == before
    assert beside(old) == []
    assert body_bytes(server) == 32 * 5, "leaves"
    updated(old, url, in_place=True)
    assert old.read_bytes() == new.read_bytes()


def full(free_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk have so many bytes left, and share no blocks."""
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free_bytes, f_frsize=1))
    monkeypatch.setattr("lfbuild.channel.room.can_share", lambda *_: False)


def test_what_an_earlier_run_has_written_needs_no_more_room(
    server: WebServer, url: str, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.pages["/tiny.llamafile"].cut_after = [10**9, 5000, *[0] * 9]
    with pytest.raises(FetchError):
        updated(old, url)
    server.pages["/tiny.llamafile"].cut_after = []
    full(new.stat().st_size // 2, monkeypatch)

    updated(old, url)

    assert old.read_bytes() == new.read_bytes()


def test_shared_blocks_need_no_room(url: str, tmp_path: Path, report: Noted, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (tmp_path / name / "model.bin" for name in ("old", "new"))
    for path, end in ((old, b"old"), (new, b"new")):
        path.parent.mkdir()
        path.write_bytes(random.Random(3).randbytes(3 << 20) + end)  # noqa: S311  # the same bytes in both
    index(new, file_url="", threads=1, report=SilentReport())
    full(1 << 20, monkeypatch)
    monkeypatch.setattr("lfbuild.channel.room.can_share", lambda *_: True)

    updated(old, new, report)

    assert old.read_bytes() == new.read_bytes()
    assert [note for note in report.notes if "copied" in note] == []


def test_a_release_of_more_zeros_than_the_disk_has_room_for_is_refused_before_they_are_judged(
    server: WebServer, tmp_path: Path, report: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = FileMap(parts=(Zeros(offset=0, size_bytes=8 << 40),))
    described = describe_release(zeros, name="zeros", url="zeros", manifest=None)
    server.pages["/zeros.lfindex"] = Page(data=described.index.to_bytes())
    full(1 << 40, monkeypatch)
    path = tmp_path / "zeros"

    with pytest.raises(HostError) as caught:
        updated(path, f"{server.url}/zeros", report)

    assert str(caught.value) == f"{tmp_path}: the new file needs 8.0 TiB, and 1.0 TiB are free"
    assert caught.value.hint == "free some space"
    assert report.steps == []
    assert beside(path) == []


def test_nothing_newer_changes_nothing(url: str, old: Path, new: Path, server: WebServer) -> None:
    shutil.copy(new, old)
    before = old.stat()

    outcome = updated(old, url)

    assert (outcome.is_current, outcome.is_done) == (True, False)
    assert (old.stat().st_ino, old.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [asked.path for asked in server.asked] == ["/tiny.llamafile.lfindex"]


def test_a_look_changes_nothing_and_tells_what_would_move(url: str, old: Path, new: Path) -> None:
    before = old.read_bytes()
    old.parent.chmod(0o555)

    outcome = updated(old, url, how=check_for_update)

    assert (outcome.is_current, outcome.is_done) == (False, False)
    assert [route.kind for route in outcome.routes] == ["ranges", "whole"]
    assert outcome.routes[0].body_bytes < outcome.routes[1].body_bytes == new.stat().st_size
    assert old.read_bytes() == before
    assert beside(old) == []
    old.parent.chmod(0o755)


def test_a_look_at_the_newest_tells_so(url: str, old: Path, new: Path) -> None:
    shutil.copy(new, old)

    assert updated(old, url, how=check_for_update).is_current


def test_the_old_file_may_be_kept(url: str, old: Path, new: Path) -> None:
    before = old.read_bytes()

    updated(old, url, keep_old=True)

    assert old.read_bytes() == new.read_bytes()
    assert beside(old) == ["tiny.llamafile.old"]
    assert old.with_name("tiny.llamafile.old").read_bytes() == before


def test_that_an_older_file_was_kept_before_is_told(url: str, old: Path) -> None:
    before, report = old.read_bytes(), Noted()
    kept = old.with_name("tiny.llamafile.old")
    kept.write_bytes(b"kept before")

    updated(old, url, report, keep_old=True)

    assert report.notes[-1] == "tiny.llamafile.old of before is replaced"
    assert kept.read_bytes() == before


def test_the_address_may_be_the_file_s_own(tmp_path: Path, server: WebServer, url: str, new: Path) -> None:
    (tmp_path / "head").write_bytes((tmp_path / "there" / "tiny.llamafile.head").read_bytes())
    order = PackOrder(
        release=Release(name="tiny", version="0"),
        head=tmp_path / "head",
        engine=None,
        members=members(changed=False),
        align_bytes=1024,
        room_bytes=300,
        epoch=1_700_000_000,
        update_url=url,
    )
    pack(order, tmp_path / "own.llamafile", threads=1, report=SilentReport())

    updated(tmp_path / "own.llamafile", "")

    assert (tmp_path / "own.llamafile").read_bytes() == new.read_bytes()


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("http://[x", "an address that cannot be read: is not an http:// or https:// address"),
        ("oci://[x/", "an address that cannot be read: is no address in a registry"),
        ("s3://[x", "an address that cannot be read: is no address in a store"),
        ("file://[x", "file://[x.lfindex: can be the name of no file"),
    ],
)
def test_an_address_that_cannot_be_taken_apart_is_refused_whoever_names_it(old: Path, address: str, what: str) -> None:
    with pytest.raises(FetchError) as named:
        updated(old, address)
    reseal(old, msgspec.structs.replace(manifest_of(old), update_url=address))
    with pytest.raises(FetchError) as own:
        updated(old, "")

    assert str(named.value) == str(own.value) == what


def test_a_file_that_names_no_address_says_what_to_do(old: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        updated(old, "")

    assert str(caught.value) == f"{old}: names no address of newer releases"
    assert caught.value.hint == f"lfbuild update {old} URL"


@pytest.mark.parametrize("end", ["/", "/tiny.llamafile", "/tiny.llamafile.lfindex"])
def test_an_address_may_be_a_folder_the_file_or_its_control_file(url: str, old: Path, new: Path, end: str) -> None:
    updated(old, url.removesuffix("/tiny.llamafile") + end)

    assert old.read_bytes() == new.read_bytes()


@pytest.mark.parametrize("in_place", [False, True])
def test_a_link_stays_one_and_the_file_behind_it_is_updated(url: str, old: Path, new: Path, in_place: bool) -> None:
    link = old.with_name("chat")
    link.symlink_to(old.name)
    folder = url.removesuffix("tiny.llamafile")

    assert not updated(link, folder, how=check_for_update).is_current
    outcome = updated(link, folder, in_place=in_place)

    assert link.is_symlink()
    assert old.read_bytes() == new.read_bytes()
    assert beside(old) == ["chat"]
    assert outcome.path == old


def test_the_file_is_no_seed_of_itself(
    url: str, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch, report: Noted
) -> None:
    monkeypatch.chdir(old.parent)

    updated(Path("tiny.llamafile"), url, report, seeds=(Path(),), in_place=True)

    assert old.read_bytes() == new.read_bytes()
    assert report.steps.count("look at tiny.llamafile") == 1


def test_a_release_may_lie_in_a_folder(old: Path, new: Path) -> None:
    updated(old, new)

    assert old.read_bytes() == new.read_bytes()


def test_a_folder_that_is_named_like_a_file_is_told_with_the_right_address(old: Path, new: Path) -> None:
    with pytest.raises(FetchError) as caught:
        updated(old, new.parent, how=check_for_update)

    assert str(caught.value) == f"{new.parent}.lfindex: is not there"
    assert caught.value.hint == f"check the address; if {new.parent} is a folder, write {new.parent}/"


def test_a_renamed_file_whose_releases_lie_in_a_folder_is_told_to_name_its_release(
    server: WebServer, old: Path, new: Path
) -> None:
    renamed = old.rename(old.with_name("mine.llamafile"))

    for folder, where, what in (
        (f"{server.url}/", f"{server.url}/mine.llamafile.lfindex", "is not there (404)"),
        (f"{new.parent}/", f"{new.parent}/mine.llamafile.lfindex", "is not there"),
    ):
        with pytest.raises(FetchError) as caught:
            updated(renamed, folder, how=check_for_update)
        assert str(caught.value) == f"{where}: {what}"
        assert caught.value.hint == (
            "it was looked for under this file's own name; where the release has another: "
            f"lfbuild update {renamed} {folder}NAME"
        )


@pytest.mark.parametrize("name", ["a#b", "a?b"])
def test_a_hint_has_the_whole_name_of_a_folder(old: Path, tmp_path: Path, name: str) -> None:
    folder = write_new(tmp_path / name, "other.llamafile").parent

    with pytest.raises(FetchError) as named:
        updated(old, folder)
    with pytest.raises(FetchError) as looked_in:
        updated(old, f"{folder}/")

    assert named.value.hint == f"check the address; if {folder} is a folder, write {folder}/"
    assert looked_in.value.hint.endswith(command("update", old, f"{folder}/NAME"))
    assert updated(old, folder / "other.llamafile", how=check_for_update).url == f"{folder}/other.llamafile.lfindex"


def test_a_folder_that_is_missing_is_refused_and_not_made(server: WebServer, url: str, tmp_path: Path) -> None:
    missing = tmp_path / "no" / "such"

    for act in (lambda: updated(missing / "tiny.llamafile", url), lambda: give_up(missing / "tiny.llamafile")):
        with pytest.raises(HostError) as caught:
            act()
        assert str(caught.value) == f"{missing}: is no folder, so nothing can be written there"
        assert caught.value.hint == "make it, or name another"

    assert not (tmp_path / "no").exists()
    assert server.asked == []


def test_a_file_that_is_not_there_is_fetched(url: str, tmp_path: Path, new: Path) -> None:
    path = tmp_path / "fresh.llamafile"

    outcome = updated(path, url)

    assert path.read_bytes() == new.read_bytes()
    assert path.stat().st_mode & 0o111
    assert outcome.copied_bytes == 0


def test_a_new_file_has_the_mode_that_the_umask_leaves(url: str, tmp_path: Path) -> None:
    path, before = tmp_path / "fresh.llamafile", os.umask(0o027)
    try:
        updated(path, url)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o750


def test_other_files_at_hand_bring_their_blocks(server: WebServer, url: str, tmp_path: Path, new: Path) -> None:
    models = tmp_path / "models" / "deep"
    models.mkdir(parents=True)
    (models / "any name.gguf").write_bytes(model(changed=True))
    (models / "notes.txt").write_bytes(b"not looked at")
    path = tmp_path / "fresh.llamafile"

    updated(path, url, seeds=(tmp_path / "models",))

    assert path.read_bytes() == new.read_bytes()
    assert body_bytes(server) < 6000


def test_a_file_that_is_not_ours_becomes_ours(url: str, tmp_path: Path, new: Path, server: WebServer) -> None:
    path = write_zip(tmp_path / "foreign.llamafile", Stored("Tiny.Q4_0.gguf", model(changed=False)))

    updated(path, url)

    assert path.read_bytes() == new.read_bytes()
    assert body_bytes(server) < new.stat().st_size / 2


def test_the_beginning_of_a_download_is_not_fetched_again(url: str, old: Path, new: Path, server: WebServer) -> None:
    data = new.read_bytes()
    after = data.index(TENSORS[4].data) + 3000
    old.write_bytes(data[:after])

    updated(old, url)

    assert old.read_bytes() == data
    assert body_bytes(server) < len(data) - after + 5000


def test_the_beginning_of_a_plain_models_download_is_not_fetched_again(
    tmp_path: Path, old: Path, server: WebServer
) -> None:
    there = tmp_path / "models"
    there.mkdir()
    path = there / "tiny.llamafile"
    path.write_bytes(model(changed=True))
    index(path, file_url="", threads=1, report=SilentReport())
    after = path.read_bytes().index(TENSORS[4].data)
    old.write_bytes(path.read_bytes()[:after])

    updated(old, serve(server, there))

    assert old.read_bytes() == path.read_bytes()
    assert body_bytes(server) < path.stat().st_size - after + 3000


def test_a_release_that_is_not_ours_is_one_all_the_same(tmp_path: Path, old: Path, server: WebServer) -> None:
    there = tmp_path / "foreign"
    there.mkdir()
    path = write_zip(there / "tiny.llamafile", Stored("m.gguf", model(changed=True)), Stored("x", b"x" * 99))
    index(path, file_url="", threads=1, report=SilentReport())

    url, before = serve(server, there), old.read_bytes()
    with pytest.raises(TrustError) as caught:
        updated(old, url)
    assert str(caught.value) == (
        f"{old}: is tiny 1, and the release at {url}.lfindex is a file that tells nothing of itself; "
        "nothing was changed"
    )
    assert caught.value.hint == "check the address; --another takes that release all the same"
    assert old.read_bytes() == before

    updated(old, url, another=True)

    assert old.read_bytes() == path.read_bytes()


def test_a_damaged_old_file_is_mended_on_the_way(url: str, old: Path, new: Path, report: Noted) -> None:
    updated(damaged(old), url, report)

    assert old.read_bytes() == new.read_bytes()
    assert report.notes[-1] == "1020 B turned out wrong, and no file at hand has them whole; they are fetched"


def damaged(path: Path, within: bytes = TENSORS[1].data) -> Path:
    """The file, with one changed byte in a block that the newer release has too."""
    data = bytearray(path.read_bytes())
    data[data.index(within) + 7] ^= 1
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("in_place", [False, True])
def test_a_file_that_is_the_newest_and_damaged_is_repaired_on_wish(
    server: WebServer, url: str, old: Path, new: Path, in_place: bool
) -> None:
    shutil.copy(new, old)
    damaged(old)
    believed, server.asked[:] = updated(old, url), []

    look = updated(old, url, how=check_for_update, repair=True)
    outcome = updated(old, url, repair=True, in_place=in_place)

    assert (believed.is_current, believed.is_read) == (True, False)
    assert (look.is_current, look.is_read, look.routes[0].body_bytes) == (False, True, outcome.body_bytes)
    assert outcome.wanted_bytes == 1020
    assert old.read_bytes() == new.read_bytes()
    assert beside(old) == []


def test_a_file_that_is_the_newest_and_whole_is_only_read(url: str, old: Path, new: Path, report: Noted) -> None:
    shutil.copy(new, old)
    before = old.stat()

    outcome = updated(old, url, report, repair=True)

    assert (outcome.is_current, outcome.is_read, outcome.is_done) == (True, True, False)
    assert report.steps == ["look at tiny.llamafile", "read tiny.llamafile"]
    assert (old.stat().st_ino, old.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_block_that_is_damaged_in_one_file_at_hand_is_copied_from_another(
    url: str, old: Path, new: Path, tmp_path: Path, in_place: bool
) -> None:
    whole = write_old(tmp_path / "whole")
    damaged(old)

    outcome = updated(old, url, seeds=(whole,), in_place=in_place)

    assert old.read_bytes() == new.read_bytes()
    assert outcome.body_bytes == outcome.wanted_bytes


def test_what_a_damaged_file_has_wrong_is_not_fetched_where_it_is_more_than_was_allowed(
    server: WebServer, url: str, old: Path
) -> None:
    allowed = updated(damaged(old), url, how=check_for_update).wanted_bytes
    server.asked.clear()

    with pytest.raises(FetchError) as caught:
        updated(old, url, at_most_bytes=allowed)

    assert str(caught.value) == (
        f"{url}.lfindex: {size_words(allowed + 1020)} would have to be fetched, more than the {size_words(allowed)} "
        "that --at-most allows"
    )
    updated(old, url, at_most_bytes=allowed + 1020)


def test_what_was_copied_counts_as_far_as_it_goes(
    server: WebServer, url: str, old: Path, new: Path, tmp_path: Path
) -> None:
    path = tmp_path / "fresh.llamafile"
    server.pages["/tiny.llamafile"].cut_after = [10**9, 3000, *[0] * 9]
    other = model(changed=False).replace(TENSORS[1].data, bytes(len(TENSORS[1].data)))
    part = write_zip(tmp_path / "part.llamafile", Stored("m.gguf", other))
    with pytest.raises(FetchError):
        updated(path, url, seeds=(part,))
    server.pages["/tiny.llamafile"].cut_after = []
    report = Noted()

    outcome = updated(path, url, report, seeds=(old,))

    assert path.read_bytes() == new.read_bytes()
    assert "copy again" not in report.steps
    assert outcome.body_bytes == outcome.wanted_bytes - outcome.kept_bytes


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (b'"members"', ".lfbuild/manifest.json: is not the manifest that the file was sealed with"),
        (b"LFBLOCKS", ".lfbuild/blocks/Tiny.Q4_0.gguf.blocks: not a block index"),
    ],
)
@pytest.mark.parametrize("in_place", [False, True])
def test_an_old_file_that_says_something_false_of_itself_is_known_by_its_bytes(
    server: WebServer, url: str, old: Path, new: Path, report: Noted, part: bytes, what: str, in_place: bool
) -> None:
    flip(old, old.read_bytes().index(part) + 1)

    updated(old, url, report, in_place=in_place)

    assert old.read_bytes() == new.read_bytes()
    assert report.notes[0] == f"{old}: {what}; so all of it is read"
    assert body_bytes(server) < new.stat().st_size / 2


def flip(path: Path, at: int) -> None:
    """Let one bit of a file be another one."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_an_update_whose_journal_is_gone_is_gone_over_by_another_one(
    server: WebServer, url: str, old: Path, new: Path, report: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("lfbuild.archive.journal._do", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            updated(old, url, in_place=True)
    journal_path(old).unlink()

    with pytest.raises(IntegrityError) as caught:
        updated(old, "")
    updated(old, url, report)

    assert caught.value.hint == f"lfbuild update {old} URL"
    what = "an edit of this file was interrupted, and the journal that would finish it is gone"
    assert report.notes[0] == f"{old}: seal: {what}; so all of it is read"
    assert old.read_bytes() == new.read_bytes()
    assert verified(old) == []


def test_a_seed_that_cannot_be_read_is_told_and_left_out(
    url: str, tmp_path: Path, new: Path, report: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    damaged = write_old(models, "damaged.llamafile")
    flip(damaged, damaged.read_bytes().index(b'"members"') + 1)
    for name in ("failing.gguf", "secret.gguf", "whole.gguf"):
        (models / name).write_bytes(model(changed=True))
    secret(models / "secret.gguf", monkeypatch)
    failing(models / "failing.gguf", monkeypatch)
    path = tmp_path / "fresh.llamafile"

    outcome = updated(path, url, report, seeds=(models,))

    assert path.read_bytes() == new.read_bytes()
    assert report.notes[:3] == [
        f"{damaged}: .lfbuild/manifest.json: is not the manifest that the file was sealed with; so all of it is read",
        f"{models}/failing.gguf: the disk reported a read or write error; so it is left out",
        f"{models}/secret.gguf: permission denied; so it is left out",
    ]
    assert outcome.wanted_bytes < 6000, "what could be read has served"


def secret(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody open a file, root neither."""
    real = os.open

    def refuse(name: object, *order: object, **more: object) -> int:
        if name == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(name, *order, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)


def failing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file be on a disk that is worn out."""
    real, number = os.preadv, path.stat().st_ino

    def fail(descriptor: int, *order: object) -> int:
        if os.fstat(descriptor).st_ino == number:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, *order)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "preadv", fail)


def test_a_seed_that_is_not_there_is_refused_before_anything_is_looked_at(
    server: WebServer, url: str, old: Path, tmp_path: Path, report: Noted
) -> None:
    with pytest.raises(HostError) as caught:
        updated(old, url, report, seeds=(tmp_path / "typo",))

    assert (report.steps, server.asked) == ([], [])

    assert str(caught.value) == f"{tmp_path}/typo: does not exist, so it has no blocks that could serve"
    assert caught.value.hint == "check --seed"


def test_a_server_that_sends_only_whole_files_is_read_once_and_told(
    server: WebServer, url: str, old: Path, new: Path, report: Noted
) -> None:
    server.pages["/tiny.llamafile"].ignores_ranges = True

    outcome = updated(old, url, report)

    assert old.read_bytes() == new.read_bytes()
    told = f"{url}: the server sends only whole files (200 instead of 206)"
    assert [(route.kind, route.body_bytes) for route in outcome.routes] == [("whole", outcome.body_bytes)]
    assert outcome.kept_bytes == 0
    assert report.notes == [
        f"{told}; so all of it is read, {size_words(new.stat().st_size)}",
        "22.6 KiB are copied on this disk; --in-place writes only what changes",
    ]
    assert [asked.range for asked in server.asked if asked.path == "/tiny.llamafile"][-1] is None


def test_what_a_server_without_parts_sends_is_counted_as_it_comes(server: WebServer, url: str, old: Path) -> None:
    server.pages["/tiny.llamafile"].ignores_ranges = True
    report = Counted()

    outcome = updated(old, url, report)

    assert report.counts["fetch the whole file"] == (outcome.body_bytes, outcome.body_bytes)
    assert "fetch the rest" not in report.counts


def test_a_server_that_stops_sending_parts_in_between_is_read_whole_from_then_on(
    server: WebServer, url: str, old: Path, new: Path
) -> None:
    class Stopping(Noted):
        def step(
            self, title: str, /, *, total: int | None = None, unit: Unit = "bytes"
        ) -> AbstractContextManager[Step]:
            server.pages["/tiny.llamafile"].ignores_ranges = title == "fetch the rest"
            return super().step(title, total=total, unit=unit)

    report = Stopping()
    updated(old, url, report)

    told = f"{url}: the server sends only whole files (200 instead of 206)"
    assert old.read_bytes() == new.read_bytes()
    assert report.notes[-1] == f"{told}; so all of it is read, {size_words(new.stat().st_size)}"


def test_what_came_before_a_server_stopped_sending_parts_counts(
    server: WebServer, url: str, old: Path, new: Path
) -> None:
    page = server.pages["/tiny.llamafile"]

    class Stopping(Noted):
        @contextmanager
        def step(self, title: str, /, *, total: int | None = None, unit: Unit = "bytes") -> Iterator[Step]:
            del total, unit

            def advance(*_: object, **__: object) -> None:
                page.ignores_ranges |= title == "fetch the rest"

            yield SimpleNamespace(advance=advance, expect=lambda _: None)

    wanted_bytes = updated(old, url, how=check_for_update).wanted_bytes

    outcome = updated(old, url, Stopping())

    assert old.read_bytes() == new.read_bytes()
    assert new.stat().st_size < outcome.body_bytes < new.stat().st_size + wanted_bytes


def test_a_server_that_sends_only_whole_files_and_the_wrong_one_is_refused(
    server: WebServer, url: str, old: Path
) -> None:
    page, before = server.pages["/tiny.llamafile"], old.read_bytes()
    page.ignores_ranges = True
    at = page.data.index(bytes(byte ^ 0x5A for byte in TENSORS[3].data))
    page.data = page.data[:at] + b"?" + page.data[at + 1 :]

    with pytest.raises(IntegrityError) as caught:
        updated(old, url)

    assert str(caught.value) == f"{url}: the bytes at {at} are not the ones that were promised"
    assert old.read_bytes() == before


def test_what_came_of_a_whole_file_serves_when_the_server_sends_parts_again(
    server: WebServer, url: str, tmp_path: Path, new: Path
) -> None:
    path, page = tmp_path / "fresh.llamafile", server.pages["/tiny.llamafile"]
    page.ignores_ranges, page.cut_after = True, [10**9, *[20_000] * 9]
    with pytest.raises(FetchError) as caught:
        updated(path, url)
    page.ignores_ranges, page.cut_after = False, []

    outcome = updated(path, url)

    assert caught.value.hint == ("run again: the server sends only whole files, so it comes from its beginning again")
    assert path.read_bytes() == new.read_bytes()
    assert outcome.kept_bytes > 10_000
    assert outcome.body_bytes == outcome.wanted_bytes - outcome.kept_bytes


def test_what_is_kept_of_a_whole_file_is_told_though_all_of_it_comes_again(
    server: WebServer, url: str, tmp_path: Path, new: Path
) -> None:
    path, page = tmp_path / "fresh.llamafile", server.pages["/tiny.llamafile"]
    page.ignores_ranges, page.cut_after = True, [10**9, *[20_000] * 9]
    with pytest.raises(FetchError):
        updated(path, url)
    page.cut_after = []

    outcome = updated(path, url)

    assert path.read_bytes() == new.read_bytes()
    assert outcome.kept_bytes > 10_000
    assert new.stat().st_size - 2000 < outcome.body_bytes <= new.stat().st_size


def test_a_whole_file_that_came_is_not_read_again(
    server: WebServer, url: str, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.pages["/tiny.llamafile"].ignores_ranges = True
    with monkeypatch.context() as stopped:
        stopped.setattr("lfbuild.channel.work.judge", interrupt)
        with pytest.raises(KeyboardInterrupt) as caught:
            updated(old, url)
    server.asked.clear()

    looked = updated(old, url, how=check_for_update)
    outcome = updated(old, url)

    assert caught.value.__notes__ == [KEPT]
    assert old.read_bytes() == new.read_bytes()
    assert looked.kept_bytes == looked.wanted_bytes > 0
    assert outcome.body_bytes == body_bytes(server) == 0


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupt_before_anything_came_does_not_say_that_it_is_kept(
    url: str, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfbuild.commands.seeds.map_as_read", interrupt)

    with pytest.raises(KeyboardInterrupt) as caught:
        updated(old, url, repair=True)

    assert not hasattr(caught.value, "__notes__")
    assert beside(old) == []


def test_an_interrupt_of_a_whole_file_says_that_it_comes_from_its_beginning(
    server: WebServer, url: str, tmp_path: Path
) -> None:
    server.pages["/tiny.llamafile"].ignores_ranges = True

    with pytest.raises(KeyboardInterrupt) as caught:
        updated(tmp_path / "fresh.llamafile", url, Hooked("fetch the whole file", interrupt))

    assert caught.value.__notes__ == [FROM_THE_BEGINNING]


def test_a_whole_file_is_not_fetched_only_to_look_at_it(server: WebServer, url: str, old: Path) -> None:
    server.pages["/tiny.llamafile"].ignores_ranges = True

    with pytest.raises(FetchError) as caught:
        updated(old, url, how=check_for_update)

    assert str(caught.value) == (
        f"{url}: the server sends only whole files (200 instead of 206), so what would move cannot be told"
    )
    assert caught.value.hint == "without --check, all of the file is fetched"


def test_more_than_was_allowed_is_not_fetched(url: str, old: Path, server: WebServer, report: Noted) -> None:
    before = old.read_bytes()

    with pytest.raises(FetchError) as caught:
        updated(old, url, report, at_most_bytes=100)

    assert str(caught.value).startswith(f"{url}.lfindex: ")
    assert str(caught.value).endswith(" KiB would have to be fetched, more than the 100 B that --at-most allows")
    assert [note for note in report.notes if "copied" in note] == [], "nothing is, as nothing is done"
    server.pages["/tiny.llamafile"].ignores_ranges = True
    with pytest.raises(FetchError, match=r"\d KiB would have to be fetched, more than the 100 B that --at-most"):
        updated(old, url, at_most_bytes=100)
    assert old.read_bytes() == before
    assert beside(old) == [], "nothing came, so there is nothing to go on from"


def test_an_update_that_broke_off_goes_on_and_fetches_nothing_twice(
    server: WebServer, url: str, old: Path, new: Path
) -> None:
    page, before = server.pages["/tiny.llamafile"], old.read_bytes()
    page.cut_after = [10**9, 2100, *[0] * 9]  # the leaves, then blocks
    with pytest.raises(FetchError) as caught:
        updated(old, url)
    page.cut_after = []
    kept = updated(old, url, how=check_for_update).kept_bytes

    assert caught.value.hint == "run again: what came is kept, and it goes on from there"
    assert old.read_bytes() == before
    assert kept >= 1020
    first, server.asked[:], report = body_bytes(server), [], Counted()

    outcome = updated(old, url, report)

    assert old.read_bytes() == new.read_bytes()
    assert outcome.kept_bytes == kept
    assert outcome.body_bytes == outcome.wanted_bytes - kept
    assert report.counts["fetch the rest"] == (outcome.body_bytes, outcome.body_bytes)
    assert first
    assert beside(old) == []


def test_an_update_that_broke_off_can_be_given_up(server: WebServer, url: str, old: Path) -> None:
    before = old.read_bytes()
    server.pages["/tiny.llamafile"].cut_after = [10**9, 2100, *[0] * 9]
    with pytest.raises(FetchError):
        updated(old, url)
    taken = sum((old.parent / name).stat().st_blocks * 512 for name in beside(old))

    with updating(old), pytest.raises(HostError, match="is being updated by another lfbuild right now"):
        give_up(old)
    assert give_up(old).freed_bytes == taken > 0

    assert beside(old) == []
    assert old.read_bytes() == before
    assert give_up(old).freed_bytes == 0


def test_what_was_begun_for_another_release_serves_the_next(
    server: WebServer, url: str, old: Path, tmp_path: Path
) -> None:
    server.pages["/tiny.llamafile"].cut_after = [10**9, 5000, *[0] * 9]
    with pytest.raises(FetchError):
        updated(old, url)
    third = tmp_path / "third"
    third.mkdir()
    more = (*members(changed=True), plain("more.txt", b"more" * 50))
    newest = write_tiny_file(third, members=more)
    index(newest, file_url="", threads=1, report=SilentReport())
    kept = [name for name in beside(old) if name.endswith(".lfbuild-update")]

    outcome = updated(old, serve(server, third))

    assert len(kept) == 1
    assert old.read_bytes() == newest.read_bytes()
    assert outcome.wanted_bytes < len(TENSORS[3].data), "most of the changed tensor was there already"
    assert beside(old) == []


def test_a_release_that_is_replaced_meanwhile_is_looked_at_once_more(
    server: WebServer, url: str, old: Path, tmp_path: Path, report: Noted
) -> None:
    third = tmp_path / "third"
    third.mkdir()
    newest = write_tiny_file(third, members=(*members(changed=True), plain("more.txt", b"more" * 50)))
    index(newest, file_url="", threads=1, report=SilentReport())

    def publish() -> None:
        page = server.pages["/tiny.llamafile"]
        serve(server, third)
        page.data, page.etag = server.pages["/tiny.llamafile"].data, server.pages["/tiny.llamafile"].etag

    server.pages["/tiny.llamafile"].before = [publish]

    updated(old, url, report)

    assert old.read_bytes() == newest.read_bytes()
    assert report.notes[0].endswith("; the release is looked at once more")


def test_a_release_of_the_same_size_that_replaces_it_meanwhile_is_known_by_its_blocks(
    server: WebServer, url: str, old: Path, new: Path, tmp_path: Path
) -> None:
    third = tmp_path / "third"
    third.mkdir()
    other = bytes(byte ^ 0x33 for byte in TENSORS[3].data)
    data = model(changed=False).replace(TENSORS[3].data, other)
    newest = write_tiny_file(third, members=(weights(data=data), members(changed=True)[1]))
    index(newest, file_url="", threads=1, report=SilentReport())
    assert newest.stat().st_size == new.stat().st_size
    report = Hooked("fetch the rest", lambda: serve(server, third))

    updated(old, url, report)

    assert old.read_bytes() == newest.read_bytes()
    assert f"{url}: the file was changed on the server meanwhile; the release is looked at once more" in report.notes


class Hooked(Noted):
    """A report that has something happen at the first advance of a step."""

    def __init__(self, title: str, happen: Callable[[], object]) -> None:
        super().__init__()
        self._title, self._happen = title, [happen]

    @contextmanager
    def step(self, title: str, /, *, total: int | None = None, unit: Unit = "bytes") -> Iterator[Step]:
        with super().step(title, total=total, unit=unit) as step:
            yield self if title == self._title else step

    def advance(self, amount: int, /, *, detail: str = "") -> None:
        del detail
        if amount and self._happen:
            self._happen.pop()()

    def expect(self, total: int, /) -> None:
        del total


def test_a_file_that_its_control_file_does_not_know_is_the_publisher_s_mistake(
    server: WebServer, url: str, old: Path
) -> None:
    before = old.read_bytes()
    server.pages["/tiny.llamafile"].data += b"longer"

    with pytest.raises(FetchError) as caught:
        updated(old, url)

    size = len(server.pages["/tiny.llamafile"].data)
    assert str(caught.value) == (
        f"{url}: has {size} bytes, but {size - 6} were promised, and the control file does not tell of it"
    )
    assert caught.value.hint == "the publisher has to make the control file anew: lfbuild index FILE"
    assert old.read_bytes() == before


def test_a_control_file_that_leads_to_this_machine_is_refused(
    server: WebServer, url: str, old: Path, new: Path
) -> None:
    page = server.pages["/tiny.llamafile.lfindex"]
    found = ReleaseIndex.parse(page.data, where="x")
    page.data = replace(found, file=type(found.file)(url=new.as_uri(), size_bytes=found.file.size_bytes)).to_bytes()

    with pytest.raises(TrustError) as caught:
        updated(old, url)

    assert str(caught.value) == (
        f"{url}.lfindex: leads to {new.as_uri()}, where a control file from http:// may not lead"
    )


@pytest.mark.parametrize("in_place", [False, True])
def test_a_release_that_does_not_hold_together_is_refused_though_its_bytes_are_as_promised(
    server: WebServer, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    # Its publisher's lfbuild looks at no more than a map shows.
    monkeypatch.setattr("lfbuild.commands.index.verify", lambda *_, **__: SimpleNamespace(findings=()))
    there, before = tmp_path / "broken", old.read_bytes()
    path = write_new(there, indexed=False)
    data = bytearray(path.read_bytes())
    header = data.index(b"PK\x03\x04")
    data[header + 10] ^= 1
    path.write_bytes(data)
    index(path, file_url="", threads=1, report=SilentReport())

    with pytest.raises(IntegrityError) as caught:
        updated(old, serve(server, there), in_place=in_place)

    assert caught.value.what == "Tiny.Q4_0.gguf: its local header does not fit its directory record"
    assert caught.value.hint == "the release itself is broken; the old file is as it was"
    assert old.read_bytes() == before


def test_two_at_once_are_one_too_many(url: str, old: Path) -> None:
    with updating(old), pytest.raises(HostError) as caught:
        updated(old, url)

    assert str(caught.value) == f"{old}: is being updated by another lfbuild right now"
    assert caught.value.hint == "wait until it has finished"


def test_a_file_that_is_changed_meanwhile_is_left_alone(server: WebServer, url: str, old: Path) -> None:
    def replace_it() -> None:
        old.with_name("other").write_bytes(bytes(100_000))
        old.with_name("other").replace(old)

    server.pages["/tiny.llamafile"].before = [replace_it]

    with pytest.raises(HostError) as caught:
        updated(old, url)

    assert str(caught.value) == f"{old}: was changed by another process meanwhile"
    assert old.read_bytes() == bytes(100_000)


def while_flushed(act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have something happen while the new file is flushed, before it has its name."""
    real = os.fsync

    def flush(descriptor: int) -> None:
        real(descriptor)
        monkeypatch.setattr(os, "fsync", real)
        act()

    monkeypatch.setattr(os, "fsync", flush)


@pytest.mark.parametrize("keep_old", [False, True])
def test_an_edit_while_the_new_file_is_flushed_is_not_lost(
    url: str, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch, keep_old: bool
) -> None:
    edited = old.with_name("edited")
    edited.write_bytes(old.read_bytes() + b"edited")
    while_flushed(lambda: edited.replace(old), monkeypatch)

    with pytest.raises(HostError) as caught:
        updated(old, url, keep_old=keep_old)

    assert str(caught.value) == f"{old}: was changed by another process meanwhile"
    assert caught.value.hint == "run the command again"
    assert old.read_bytes().endswith(b"edited")
    assert [name for name in beside(old) if "old" in name] == []
    updated(old, url)
    assert old.read_bytes() == new.read_bytes()


def test_a_file_that_appears_while_the_new_one_is_flushed_stays(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fresh.llamafile"
    while_flushed(lambda: path.write_bytes(b"somebody else's"), monkeypatch)

    with pytest.raises(HostError, match="was changed by another process meanwhile"):
        updated(path, url)

    assert path.read_bytes() == b"somebody else's"


def test_nobody_edits_in_place_while_the_new_file_is_flushed(
    url: str, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = []

    def edit() -> None:
        with pytest.raises(HostError) as caught, had_alone(old):
            pytest.fail("the file is changed in place")
        refusals.append(caught.value.what)

    while_flushed(edit, monkeypatch)
    updated(old, url)

    assert refusals == ["is in use, or another lfbuild is changing it"]
    assert old.read_bytes() == new.read_bytes()


def test_a_file_that_is_cut_off_meanwhile_is_told(server: WebServer, url: str, old: Path) -> None:
    server.pages["/tiny.llamafile"].before = [lambda: os.truncate(old, 3000)]

    with pytest.raises(HostError) as caught:
        updated(old, url)

    assert str(caught.value) == f"{old}: a file at hand became shorter while it was copied"


def test_a_file_that_is_open_elsewhere_is_replaced_by_name_and_never_written_under(
    url: str, old: Path, new: Path
) -> None:
    before = old.read_bytes()
    with old.open("rb") as running:
        updated(old, url)
        assert running.read() == before

    assert old.read_bytes() == new.read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_fetched(
    server: WebServer, url: str, old: Path
) -> None:
    old.parent.chmod(0o555)
    with pytest.raises(HostError) as caught:
        updated(old, url)
    old.parent.chmod(0o755)

    assert caught.value.what == "permission denied"
    assert server.asked == []


def test_a_file_system_that_is_read_only_is_told_before_anything_is_asked(
    server: WebServer, url: str, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def read_only(path: str, flags: int, *more: int, **named: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(HostError) as caught:
        updated(old, url)

    assert caught.value.what == "the file system is read-only"
    assert server.asked == []
    assert not updated(old, url, how=check_for_update).is_current


def test_no_cache_on_the_way_may_have_an_older_control_file(server: WebServer, url: str, old: Path) -> None:
    updated(old, url)

    assert [asked.headers.get("cache-control") for asked in server.asked[:2]] == ["no-cache", None]


def test_without_the_network_nothing_is_asked(url: str, old: Path, server: WebServer) -> None:
    with pytest.raises(FetchError) as caught:
        updated(old, url, network=Network(offline=True))

    assert str(caught.value) == f"{url}.lfindex: --offline forbids to fetch it"
    assert server.asked == []


def test_a_page_that_is_no_control_file_is_refused(server: WebServer, old: Path) -> None:
    server.pages["/x.lfindex"] = Page(data=b"<html>")
    server.pages["/big.lfindex"] = Page(data=bytes((8 << 20) + 1))
    server.pages["/endless.lfindex"] = Page(data=b"", is_endless=True)

    with pytest.raises(Exception, match="is not a control file of a release"):
        updated(old, f"{server.url}/x.lfindex")
    for name in ("big", "endless"):
        with pytest.raises(FetchError) as caught:
            updated(old, f"{server.url}/{name}.lfindex")
        assert caught.value.what == "is bigger than the 8.0 MiB that such a file may have"
    with pytest.raises(FetchError) as caught:
        updated(old, f"{server.url}/none")
    assert caught.value.what == "is not there (404)"


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_file_of_any_name_is_found_at_its_address(server: WebServer, tmp_path: Path, name: str) -> None:
    new = write_new(tmp_path / "there", indexed=False).rename(tmp_path / "there" / name)
    index(new, file_url="", threads=1, report=SilentReport())
    for path in new.parent.iterdir():
        server.pages[f"/{quote(path.name)}"] = Page(data=path.read_bytes())

    updated(tmp_path / "here", f"{server.url}/{quote(name)}")

    assert (tmp_path / "here").read_bytes() == new.read_bytes()


def test_a_file_whose_name_is_no_utf_8_is_found_in_a_folder_of_a_server(
    server: WebServer, old: Path, new: Path
) -> None:
    named = old.rename(old.with_name(os.fsdecode(b"\xff.llamafile")))
    index(new, file_url=f"{server.url}/tiny.llamafile", threads=1, report=SilentReport())
    server.pages["/tiny.llamafile"] = Page(data=new.read_bytes())
    server.pages["/%FF.llamafile.lfindex"] = Page(data=new.with_name("tiny.llamafile.lfindex").read_bytes())

    updated(named, f"{server.url}/")

    assert named.read_bytes() == new.read_bytes()


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_file_of_any_name_is_found_in_a_folder(tmp_path: Path, name: str) -> None:
    new = write_new(tmp_path / "there", indexed=False).rename(tmp_path / "there" / name)
    index(new, file_url="", threads=1, report=SilentReport())

    updated(tmp_path / "by-path", str(new))
    updated(tmp_path / "by-address", new.as_uri())

    assert (tmp_path / "by-path").read_bytes() == (tmp_path / "by-address").read_bytes() == new.read_bytes()
