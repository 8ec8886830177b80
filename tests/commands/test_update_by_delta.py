"""A published difference is taken where it is smaller; one that is of no use is told, and there is another way."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from tests.commands.test_update import Counted, Noted, beside, body_bytes, damaged, serve, updated
from tests.fetch.conftest import server
from tests.world.files import verified, weights, write_tiny_file
from tests.world.models import Q8_0, TinyTensor, tiny_gguf
from tests.world.releases import write_old

from lfbuild.commands.index import index
from lfbuild.commands.publish import publish
from lfbuild.commands.update import check_for_update
from lfbuild.delta.make import make_delta
from lfbuild.delta.side import Side
from lfbuild.errors import FetchError, FormatError, HostError, IntegrityError, RecipeError, ToolError
from lfbuild.fetch.network import Network
from lfbuild.formats.delta import Header
from lfbuild.report import SilentReport, size_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.fetch.webserver import WebServer

    from lfbuild.errors import LfbuildError
    from lfbuild.report import Step, Unit

__all__ = ["server"]

CHANCE = random.Random(9)  # noqa: S311  # the same bytes in each run
TENSORS = (TinyTensor("a.weight", (256, 64), Q8_0), TinyTensor("b.weight", (256, 64), Q8_0))
WHOLE_BLOCKS = (TinyTensor("a.weight", (256, 17)), TinyTensor("b.weight", (256, 17)))
"""As large, and cut into blocks of 1 KiB that are all whole."""
NOISE = CHANCE.randbytes(len(TENSORS[1].data))


def model(change: int, tensors: tuple[TinyTensor, ...] = TENSORS) -> bytes:
    """A model of noise; every hundredth byte of its second tensor is another one."""
    data = tiny_gguf(tensors=tensors)
    noise = bytes(byte ^ change if at % 100 == 7 else byte for at, byte in enumerate(NOISE))
    return data.replace(tensors[1].data, noise)


def write_noise(folder: Path, *, change: int, tensors: tuple[TinyTensor, ...] = TENSORS) -> Path:
    folder.mkdir()
    return write_tiny_file(folder, members=(weights(data=model(change, tensors)),))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write_noise(tmp_path / "here", change=0)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write_noise(tmp_path / "there", change=1)


def difference(old: Path, new: Path, target: Path, *, executable: bool = True) -> Path:
    silent = SilentReport()
    with (
        Side.open(old, threads=1, report=silent) as before,
        Side.open(new, threads=1, report=silent) as after,
        target.open("wb") as file,
    ):
        make_delta(before, after, file, folder=target.parent, executable=executable)
    return target


@pytest.fixture
def delta(old: Path, new: Path) -> Path:
    return difference(old, new, new.parent / "from-1.lfdelta")


@pytest.fixture
def url(server: WebServer, new: Path, delta: Path) -> str:
    index(new, file_url="", threads=1, report=SilentReport(), deltas=(delta,))
    return serve(server, new.parent)


def test_a_difference_that_is_smaller_is_taken(
    server: WebServer, url: str, old: Path, new: Path, delta: Path, report: Noted
) -> None:
    outcome = updated(old, url, report)

    assert old.read_bytes() == new.read_bytes()
    assert verified(old) == []
    assert [route.kind for route in outcome.routes] == ["delta", "ranges", "whole"]
    assert outcome.body_bytes == delta.stat().st_size == body_bytes(server, "/from-1.lfdelta")
    assert body_bytes(server) < 1000, "leaves only"
    assert "the published difference: " in report.notes[0]
    assert beside(old) == []


@pytest.fixture
def report() -> Noted:
    return Noted()


def test_in_place_no_difference_is_taken_and_none_is_told(
    server: WebServer, url: str, old: Path, new: Path, report: Noted
) -> None:
    looked = updated(old, url, how=check_for_update, in_place=True)
    outcome = updated(old, url, report, in_place=True)

    assert old.read_bytes() == new.read_bytes()
    assert [route.kind for route in looked.routes] == [route.kind for route in outcome.routes] == ["ranges", "whole"]
    assert looked.copied_bytes == outcome.copied_bytes > 18_000
    assert "; what is missing, in ranges: 18.5 KiB in " in report.notes[0]
    assert body_bytes(server, "/from-1.lfdelta") == 0


def test_a_difference_is_taken_where_the_server_sends_only_whole_files(
    server: WebServer, url: str, old: Path, new: Path, delta: Path, report: Noted
) -> None:
    for page in server.pages.values():
        page.ignores_ranges = True

    looked = updated(old, url, how=check_for_update)
    server.asked.clear()
    outcome = updated(old, url, report, at_most_bytes=2 * delta.stat().st_size)

    assert old.read_bytes() == new.read_bytes()
    assert [route.kind for route in looked.routes] == [route.kind for route in outcome.routes] == ["delta", "whole"]
    assert looked.copied_bytes == outcome.copied_bytes > 18_000
    assert outcome.body_bytes == 2 * delta.stat().st_size, "its beginning, which is all of it, and it"
    assert report.notes[0] == f"{url}: the server sends only whole files (200 instead of 206)"
    assert "the published difference: " in report.notes[1]
    asked = [it.sent_bytes for it in server.asked if it.path == "/tiny.llamafile" and it.range is None]
    assert asked == [], "the file itself is not asked for whole"


def test_a_difference_is_not_even_begun_where_it_would_be_more_than_was_allowed(
    server: WebServer, url: str, old: Path, delta: Path
) -> None:
    for page in server.pages.values():
        page.ignores_ranges = True
    before, cost = old.read_bytes(), 2 * delta.stat().st_size

    with pytest.raises(FetchError) as caught:
        updated(old, url, at_most_bytes=cost - 1)

    assert str(caught.value) == (
        f"{url}.lfindex: {size_words(cost)} would have to be fetched, more than the {size_words(cost - 1)} that "
        "--at-most allows"
    )
    assert body_bytes(server, "/from-1.lfdelta") == 0
    assert old.read_bytes() == before


def test_of_a_server_without_ranges_a_difference_that_broke_off_comes_whole_again(
    server: WebServer, url: str, old: Path, new: Path, delta: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfbuild.channel.carry.BLOCK_BYTES", 64)
    page, size = server.pages["/from-1.lfdelta"], delta.stat().st_size
    server.pages["/tiny.llamafile"].ignores_ranges = page.ignores_ranges = True
    page.cut_after = [10**9, 0, *[size // 2] * 3]  # its beginning, with the leaves; the answer that is no range
    with pytest.raises(FetchError):
        updated(old, url)
    page.cut_after = []
    (route, *_) = updated(old, url, how=check_for_update).routes
    counted = Counted()
    server.asked.clear()

    outcome = updated(old, url, counted, at_most_bytes=2 * size)

    assert old.read_bytes() == new.read_bytes()
    assert (route.kind, route.body_bytes) == ("delta", size)
    assert outcome.body_bytes == 2 * size
    done, _ = counted.counts["fetch the published difference"]
    assert (done, counted.expected) == (size, [size])


def test_a_difference_that_broke_off_is_not_fetched_whole_where_that_is_more_than_was_allowed(
    server: WebServer, url: str, old: Path, new: Path, delta: Path, report: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfbuild.channel.carry.BLOCK_BYTES", 64)
    page, size = server.pages["/from-1.lfdelta"], delta.stat().st_size
    page.cut_after = [size // 2, 0, 0, 0, 0]
    with pytest.raises(FetchError):
        updated(old, url)
    page.cut_after, page.ignores_ranges = [], True
    server.asked.clear()

    with pytest.raises(FetchError, match="would have to be fetched, more than"):
        updated(old, url, report, at_most_bytes=size - 1)

    assert report.notes[-1].endswith(" that --at-most allows; so the published difference is not taken")
    assert body_bytes(server) < 1000, "leaves only"


def test_what_came_of_a_difference_that_is_of_no_use_counts(server: WebServer, url: str, old: Path, new: Path) -> None:
    server.pages["/from-1.lfdelta"].cut_after = [300, *[0] * 99]

    outcome = updated(old, url)

    assert old.read_bytes() == new.read_bytes()
    assert outcome.body_bytes == outcome.wanted_bytes + 300


def test_a_difference_between_tensors_of_whole_blocks_brings_the_leaves_too(server: WebServer, tmp_path: Path) -> None:
    old = write_noise(tmp_path / "here", change=0, tensors=WHOLE_BLOCKS)
    new = write_noise(tmp_path / "there", change=1, tensors=WHOLE_BLOCKS)
    delta = difference(old, new, new.parent / "from-1.lfdelta")
    index(new, file_url="", threads=1, report=SilentReport(), deltas=(delta,))
    url = serve(server, new.parent)
    for page in server.pages.values():
        page.ignores_ranges = True

    updated(old, url)

    assert old.read_bytes() == new.read_bytes()
    asked = [it.sent_bytes for it in server.asked if it.path == "/tiny.llamafile" and it.range is None]
    assert asked == [], "the file itself is not asked for whole"


@pytest.mark.parametrize("error", [ToolError("s3", "needs boto3"), HostError("s3", "cannot be read")])
def test_a_difference_that_cannot_be_looked_at_leaves_the_whole_file(
    server: WebServer, url: str, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch, error: LfbuildError
) -> None:
    for page in server.pages.values():
        page.ignores_ranges = True
    monkeypatch.setattr("lfbuild.delta.apply.resolve_head", lambda *_, **__: _raise(error))

    outcome = updated(old, url)

    assert old.read_bytes() == new.read_bytes()
    assert [route.kind for route in outcome.routes] == ["whole"]


def _raise(error: LfbuildError) -> None:
    raise error


def test_a_difference_is_taken_where_ranges_would_be_better_and_the_server_has_none(
    server: WebServer, url: str, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfbuild.channel.route._one_request", lambda *_: 1e9)
    stopping = Stopping(server)

    outcome = updated(old, url, stopping)

    assert old.read_bytes() == new.read_bytes()
    assert [route.kind for route in outcome.routes] == ["ranges", "delta", "whole"]
    told = f"{url}: the server sends only whole files (200 instead of 206)"
    assert stopping.notes[-1] == f"{told}; so the published difference is taken"
    assert outcome.body_bytes < outcome.wanted_bytes


class Stopping(Noted):
    """A report of an update in whose middle the server stops to send parts."""

    def __init__(self, server: WebServer) -> None:
        super().__init__()
        self._server = server

    def step(self, title: str, /, *, total: int | None = None, unit: Unit = "bytes") -> AbstractContextManager[Step]:
        self._server.pages["/tiny.llamafile"].ignores_ranges |= title == "fetch the rest"
        return super().step(title, total=total, unit=unit)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_difference_that_cannot_be_taken_leaves_the_whole_file(
    server: WebServer, url: str, old: Path, new: Path, report: Noted, in_place: bool
) -> None:
    server.pages["/tiny.llamafile"].ignores_ranges = True
    server.pages["/from-1.lfdelta"].data = server.pages["/from-1.lfdelta"].data[:-1] + b"?"

    outcome = updated(old, url, report, in_place=in_place)

    assert old.read_bytes() == new.read_bytes()
    assert [route.kind for route in outcome.routes] == (["whole"] if in_place else ["delta", "whole"])
    assert in_place or report.notes[-1].endswith("promises; so the published difference is not taken")


def test_a_difference_from_another_file_is_not_looked_at(server: WebServer, url: str, tmp_path: Path) -> None:
    other = write_old(tmp_path / "other")

    outcome = updated(other, url, how=check_for_update)

    assert [route.kind for route in outcome.routes] == ["ranges", "whole"]
    assert body_bytes(server, "/from-1.lfdelta") == 0


@pytest.mark.parametrize("damage", ["absent", "changed", "shorter"])
def test_a_difference_that_is_of_no_use_is_told_and_ranges_are_taken(
    server: WebServer, url: str, old: Path, new: Path, report: Noted, damage: str
) -> None:
    page = server.pages["/from-1.lfdelta"]
    where, size = f"{server.url}/from-1.lfdelta", len(page.data)
    if damage == "absent":
        del server.pages["/from-1.lfdelta"]
    page.data = page.data[:-1] + (b"" if damage == "shorter" else bytes([page.data[-1] ^ 1]))

    outcome = updated(old, url, report)

    assert old.read_bytes() == new.read_bytes()
    assert (
        report.notes[-1]
        == {
            "absent": f"{where}: is not there (404); so the published difference is not taken",
            "changed": (
                f"{where}: is not the difference that the control file promises; so the published difference is "
                "not taken"
            ),
            "shorter": f"{where}: has {size - 1} bytes, but {size} were promised; so the published difference is "
            "not taken",
        }[damage]
    )
    assert outcome.is_done
    assert beside(old) == []


@pytest.mark.parametrize("damage", ["absent", "changed"])
def test_ranges_instead_of_a_difference_are_not_fetched_where_they_are_more_than_was_allowed(
    server: WebServer, url: str, old: Path, new: Path, delta: Path, report: Noted, damage: str
) -> None:
    page, size = server.pages["/from-1.lfdelta"], delta.stat().st_size
    page.data = page.data[:-1] + b"?"
    if damage == "absent":
        del server.pages["/from-1.lfdelta"]
    wanted_bytes = updated(old, url, how=check_for_update).wanted_bytes
    allowed = wanted_bytes - 1 + (0 if damage == "absent" else size)
    server.asked.clear()

    with pytest.raises(FetchError) as caught:
        updated(old, url, report, at_most_bytes=allowed)

    assert report.notes[-1].endswith("; so the published difference is not taken")
    assert str(caught.value) == (
        f"{url}.lfindex: {size_words(allowed + 1)} would have to be fetched, more than the {size_words(allowed)} "
        "that --at-most allows"
    )
    assert body_bytes(server) < 1000, "leaves only"
    updated(old, url, at_most_bytes=allowed + 1)
    assert old.read_bytes() == new.read_bytes()


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (401, "the server wants to know who asks (401)"),
        (403, "the server does not allow it (403)"),
        (500, "the server is in trouble (500), at byte 0; tried 3 times"),
    ],
)
def test_a_difference_that_the_server_does_not_give_is_told_and_ranges_are_taken(
    server: WebServer, url: str, old: Path, new: Path, report: Noted, status: int, what: str
) -> None:
    server.pages["/from-1.lfdelta"].statuses = [status] * 9

    outcome = updated(old, url, report)

    assert old.read_bytes() == new.read_bytes()
    assert report.notes[-1] == f"{server.url}/from-1.lfdelta: {what}; so the published difference is not taken"
    assert outcome.body_bytes == outcome.wanted_bytes


def test_a_difference_that_breaks_off_is_gone_on_with(
    server: WebServer, url: str, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfbuild.channel.carry.BLOCK_BYTES", 64)
    server.pages["/from-1.lfdelta"].cut_after = [100, 100, 100, 0, 0]
    with pytest.raises(FetchError) as caught:
        updated(old, url)

    assert caught.value.hint == "run again: what came is kept, and it goes on from there"
    updated(old, url)
    assert old.read_bytes() == new.read_bytes()


def test_a_difference_of_which_nothing_more_comes_is_given_up(
    server: WebServer, url: str, old: Path, new: Path, report: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfbuild.channel.carry.BLOCK_BYTES", 64)
    server.pages["/from-1.lfdelta"].cut_after = [300, *[0] * 99]
    with pytest.raises(FetchError):
        updated(old, url)

    updated(old, url, report)

    assert old.read_bytes() == new.read_bytes()
    assert report.notes[-1].endswith("tried 3 times; so the published difference is not taken")


def test_blocks_that_are_held_outlive_a_difference_that_is_gone(
    server: WebServer, url: str, old: Path, new: Path
) -> None:
    page = server.pages["/tiny.llamafile"]
    del server.pages["/from-1.lfdelta"]
    page.cut_after = [10**9, 5000, *[0] * 9]  # the leaves, then blocks
    with pytest.raises(FetchError):
        updated(old, url)
    page.cut_after, server.asked[:] = [], []

    outcome = updated(old, url)

    assert old.read_bytes() == new.read_bytes()
    assert outcome.routes[0].kind == "delta"
    assert 4000 < outcome.kept_bytes < outcome.wanted_bytes - 5000
    assert outcome.body_bytes == outcome.wanted_bytes - outcome.kept_bytes


def test_blocks_that_are_held_outlive_a_difference_that_turns_out_to_be_of_no_use(
    server: WebServer, url: str, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = server.pages["/tiny.llamafile"]
    monkeypatch.setattr("lfbuild.delta.apply._Work.make", _refuse)
    page.cut_after = [10**9, 5000, *[0] * 9]
    with pytest.raises(FetchError):
        updated(old, url)
    page.cut_after, server.asked[:] = [], []

    outcome = updated(old, url)

    assert old.read_bytes() == new.read_bytes()
    assert body_bytes(server, "/from-1.lfdelta") == 0, "it is here, and was of no use"
    assert outcome.body_bytes == outcome.wanted_bytes - outcome.kept_bytes < outcome.wanted_bytes - 4000


def _refuse(*_: object) -> None:
    raise ToolError("deflate", "is not here")


def test_what_a_difference_made_before_it_turned_out_to_be_of_no_use_is_not_fetched(
    url: str, old: Path, new: Path, delta: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfbuild.delta.apply.DeltaStream.finish", _refuse)

    outcome = updated(old, url)

    assert old.read_bytes() == new.read_bytes()
    assert outcome.body_bytes == delta.stat().st_size, "all of it was made, and then the difference refused"


def test_what_came_of_a_difference_is_not_reckoned_again(
    server: WebServer, url: str, old: Path, new: Path, delta: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfbuild.channel.carry.BLOCK_BYTES", 64)
    server.pages["/from-1.lfdelta"].cut_after = [300, 0, 0, 0, 0]
    with pytest.raises(FetchError):
        updated(old, url)
    server.pages["/from-1.lfdelta"].cut_after = []

    (route, *_) = updated(old, url, how=check_for_update).routes
    outcome = updated(old, url)

    assert old.read_bytes() == new.read_bytes()
    assert (route.kind, route.body_bytes) == ("delta", delta.stat().st_size - 256)
    assert outcome.body_bytes == route.body_bytes


def test_a_difference_that_a_loss_of_power_took_is_fetched_again(
    server: WebServer, url: str, old: Path, new: Path, delta: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr("lfbuild.channel.work.Work._apply", _fill_the_disk)
        with pytest.raises(HostError):
            updated(old, url)
    (partial,) = old.parent.glob(".*.lfbuild-update")
    partial.write_bytes(bytes(partial.stat().st_size))
    server.asked.clear()

    outcome = updated(old, url)

    assert old.read_bytes() == new.read_bytes()
    assert outcome.body_bytes == body_bytes(server, "/from-1.lfdelta") == delta.stat().st_size


def _fill_the_disk(*_: object) -> None:
    raise HostError("tiny.llamafile", "the disk is full")


def test_an_old_difference_that_is_thrown_away_is_not_looked_for_again(
    server: WebServer, url: str, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = server.pages["/from-1.lfdelta"]
    monkeypatch.setattr("lfbuild.channel.carry.BLOCK_BYTES", 64)
    page.cut_after = [300, 0, 0, 0, 0]
    with pytest.raises(FetchError):
        updated(old, url)
    page.cut_after, page.data = [], page.data[:-1] + b"?"

    outcome = updated(damaged(old, TENSORS[0].data), url)

    assert old.read_bytes() == new.read_bytes()
    assert outcome.is_done


def test_a_difference_that_makes_another_file_is_not_published(new: Path, delta: Path, tmp_path: Path) -> None:
    other = write_old(tmp_path / "other")

    with pytest.raises(IntegrityError) as caught:
        index(other, file_url="", threads=1, report=SilentReport(), deltas=(delta,))

    assert str(caught.value) == f"{delta}: is a difference that makes another file"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda data: data[:-1], "the delta ends too early"),
        (lambda data: data + b"?", "the delta goes on behind its last frame"),
        (
            lambda data: data.replace(digest := first_made(data), digest[::-1]),
            "frame 0 is damaged: it makes other blocks than the file has",
        ),
    ],
    ids=["cut off", "too long", "another promise"],
)
def test_a_difference_that_is_damaged_is_not_published(
    new: Path, delta: Path, damage: Callable[[bytes], bytes], sentence: str
) -> None:
    delta.write_bytes(damage(delta.read_bytes()))

    with pytest.raises((FormatError, IntegrityError), match=sentence):
        index(new, file_url="", threads=1, report=SilentReport(), deltas=(delta,))

    assert not new.with_name(f"{new.name}.lfindex").exists()


def first_made(delta: bytes) -> bytes:
    """The digest of the first block that a delta makes."""
    start = Header.LAYOUT.size + Header.parse(delta, where="").plan_stored
    return delta[start : start + 32]


def test_a_frame_that_needs_nothing_of_the_old_file_is_looked_at_before_it_is_published(
    new: Path, tmp_path: Path
) -> None:
    strange = write_tiny_file(tmp_path, name="strange", members=())
    delta = difference(strange, new, tmp_path / "all.lfdelta")
    index(new, file_url="", threads=1, report=SilentReport(), deltas=(delta,))
    data = bytearray(delta.read_bytes())
    data[data.index(NOISE[8:100])] ^= 1
    delta.write_bytes(data)

    with pytest.raises(IntegrityError) as caught:
        index(new, file_url="", threads=1, report=SilentReport(), deltas=(delta,))

    assert str(caught.value).startswith(f"{delta}: frame ")
    assert str(caught.value).endswith(" is damaged: it makes other blocks than the file has")


def test_a_difference_is_published_beside_its_release(old: Path, new: Path, delta: Path, tmp_path: Path) -> None:
    published = publish(
        new, str(tmp_path / "www"), network=Network(), threads=1, report=SilentReport(), deltas=(delta,)
    )

    assert [url.rpartition("/")[2] for url in published.put] == [
        "tiny.llamafile",
        "from-1.lfdelta",
        "tiny.llamafile.lfindex",
    ]
    updated(old, published.url)
    assert old.read_bytes() == new.read_bytes()


def test_a_difference_that_was_made_otherwise_is_published_too(
    old: Path, new: Path, delta: Path, tmp_path: Path
) -> None:
    def published() -> str:
        folder = str(tmp_path / "www")
        return publish(new, folder, network=Network(), threads=1, report=SilentReport(), deltas=(delta,)).url

    published()
    before = delta.read_bytes()
    difference(old, new, delta, executable=False)
    assert len(delta.read_bytes()) == len(before), "of the same size"

    outcome = updated(old, published(), how=check_for_update)

    assert outcome.routes[0].kind == "delta"
    updated(old, str(tmp_path / "www" / "tiny.llamafile.lfindex"))
    found = sorted((tmp_path / "www").rglob("from-1.lfdelta"))
    assert {path.read_bytes() for path in found} == {before, delta.read_bytes()}
    assert all(path.parent.name == blake3(path.read_bytes()).hexdigest()[:16] for path in found)


def test_two_differences_of_one_name_are_refused_as_only_one_could_lie_there(
    new: Path, delta: Path, tmp_path: Path
) -> None:
    deltas = (delta, tmp_path / delta.name)
    deltas[1].write_bytes(delta.read_bytes())

    with pytest.raises(RecipeError) as indexed:
        index(new, file_url="", threads=1, report=SilentReport(), deltas=deltas)
    with pytest.raises(RecipeError) as published:
        publish(new, f"{tmp_path}/www", network=Network(), threads=1, report=SilentReport(), deltas=deltas)

    assert str(indexed.value) == str(published.value)
    assert str(published.value) == f"{deltas[1]}: is to lie beside {delta}, which has the same name"
    assert published.value.hint == "rename one of them"
    assert not (tmp_path / "www").exists()
