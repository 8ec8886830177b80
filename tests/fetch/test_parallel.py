"""Stretches of a file arrive whole, each judged once, over servers that get things wrong; or a sentence tells why."""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING

import pytest
from tests.fetch.webserver import Page, WebServer

from lfbuild.errors import FetchError, IntegrityError
from lfbuild.fetch.answers import ChangedError, RangesRefusedError
from lfbuild.fetch.network import Network
from lfbuild.fetch.pace import Clock, Floor, Limit, Tally
from lfbuild.fetch.parallel import Manners, Traffic, fetch_units, fetch_whole
from lfbuild.fetch.places import Places
from lfbuild.fetch.ranges import Line, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DATA = random.Random(4).randbytes(3_000_000)  # noqa: S311  # the same bytes in each run
BLOCK = 50_000
ALL = [Span(at, BLOCK) for at in range(0, len(DATA), BLOCK)]
NEAR = Line(round_trip_s=0.0, bytes_per_s=1e9)


@dataclass
class Judge:
    """Keeps what is right, and remembers how often each stretch was shown to it."""

    kept: dict[Span, bytes] = field(default_factory=dict)
    shown: list[Span] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, span: Span, data: memoryview) -> bool:
        with self.lock:
            self.shown.append(span)
            if bytes(data) != DATA[span.offset : span.end]:
                return False
            assert span not in self.kept
            self.kept[span] = bytes(data)
            return True


class Hours:
    """A clock that goes on by itself, and when somebody waits."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.time_s, self.step_s = 0.0, step_s
        self.pauses: list[float] = []

    def now(self) -> float:
        self.time_s += self.step_s
        return self.time_s

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time_s += seconds

    @property
    def clock(self) -> Clock:
        return Clock(now=self.now, pause=self.pause)


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture
def page(server: WebServer) -> Page:
    server.pages["/file"] = Page(data=DATA)
    return server.pages["/file"]


@pytest.fixture
def url(server: WebServer, page: Page) -> str:
    return f"{server.url}/file"


def fetch(
    url: str,
    hours: Hours,
    units: list[Span] = ALL,
    *,
    most: int = 4,
    judge: Judge | None = None,
    limit: int | None = None,
    size: int | None = len(DATA),
    how: Callable[..., Traffic] = fetch_units,
    line: Line | None = NEAR,
) -> tuple[Judge, Traffic]:
    judge = judge or Judge()
    remote = Places(Network(timeout_s=5), clock=hours.clock).remote(url, size_bytes=size)
    manners = Manners(most_connections=most, clock=hours.clock, limit_bytes_per_s=limit, silence_s=5)
    more = {} if how is fetch_whole else {"line": line}
    return judge, how(remote, units, judge, manners=manners, **more)


def test_every_stretch_arrives_once_over_several_connections(server: WebServer, url: str, hours: Hours) -> None:
    judge, traffic = fetch(url, hours)

    assert sorted(judge.kept) == ALL
    assert traffic == Traffic(requests=len(server.asked), body_bytes=len(DATA))
    assert sum(asked.sent_bytes for asked in server.asked) == len(DATA)
    assert all(asked.headers["accept-encoding"] == "identity" for asked in server.asked)


def test_no_request_asks_for_more_than_one_range(server: WebServer, url: str, hours: Hours) -> None:
    fetch(url, hours, ALL[::3])

    assert [asked.range for asked in server.asked if asked.range is None or "," in asked.range] == []


def test_what_nobody_wants_is_read_along_where_asking_again_would_take_longer(
    server: WebServer, url: str, hours: Hours
) -> None:
    judge, traffic = fetch(url, hours, ALL[:20:2], most=1, line=Line(round_trip_s=1.0, bytes_per_s=1e7))

    assert sorted(judge.kept) == ALL[:20:2]
    assert [asked.range for asked in server.asked] == ["bytes=0-949999"]
    assert traffic == Traffic(requests=1, body_bytes=950_000)


def test_later_requests_are_bound_to_the_version_of_the_first(server: WebServer, url: str, hours: Hours) -> None:
    fetch(url, hours, most=1)

    assert [asked.headers.get("if-range") for asked in server.asked] == [None, *['"v1"'] * (len(server.asked) - 1)]


def test_a_body_that_breaks_off_costs_only_what_was_on_its_way(
    server: WebServer, page: Page, url: str, hours: Hours
) -> None:
    page.cut_after = [120_000]

    judge, _ = fetch(url, hours, most=1)

    assert sorted(judge.kept) == ALL
    assert server.asked[1].range == "bytes=100000-999999"
    assert len(hours.pauses) == 1
    assert 0.5 <= hours.pauses[0] <= 1


def test_a_connection_that_is_reset_in_mid_body_is_no_more_than_that(page: Page, url: str, hours: Hours) -> None:
    page.resets_after = [70_000]

    judge, _ = fetch(url, hours, most=1)

    assert sorted(judge.kept) == ALL


def test_a_stretch_is_asked_for_three_times_and_no_more(server: WebServer, page: Page, url: str, hours: Hours) -> None:
    page.cut_after = [60_000, 9_000, 9_000]

    with pytest.raises(FetchError) as caught:
        fetch(url, hours, ALL[:2], most=1)

    assert str(caught.value) == f"{url}: the connection broke off, at byte 50000; tried 3 times"
    assert caught.value.hint == "run again: what came is kept, and it goes on from there"
    assert [asked.range for asked in server.asked] == ["bytes=0-99999", "bytes=50000-99999", "bytes=50000-99999"]


@pytest.mark.parametrize("how", [fetch_units, fetch_whole])
def test_what_came_in_vain_is_told_too(page: Page, url: str, hours: Hours, how: Callable[..., Traffic]) -> None:
    page.cut_after = [60_000, 9_000, 9_000]
    remote = Places(Network(timeout_s=5), clock=hours.clock).remote(url, size_bytes=len(DATA))
    manners, told = Manners(most_connections=1, clock=hours.clock, silence_s=5), list[int]()

    with pytest.raises(FetchError):
        how(remote, ALL[:2], Judge(), manners=manners, on_traffic=told.append)

    assert sum(told) == 78_000


@dataclass
class Breaking:
    """A file whose answers break off, each after as many bytes as it is told, and then after none any more."""

    breaks: Iterator[int]
    where = "http://breaking.test/file"
    asked: list[Span] = field(default_factory=list)

    @contextmanager
    def open(self, span: Span | None, /) -> Iterator[Answer]:
        span = span or Span(0, len(DATA))
        self.asked.append(span)
        yield Answer(DATA[span.offset : span.end][: next(self.breaks, None)])

    def most_often(self) -> int:
        """How often that stretch was asked for which was asked for most."""
        return max(sum(span.offset <= unit.offset < span.end for span in self.asked) for unit in ALL)


@dataclass(eq=False)
class Answer:
    """The bytes of an answer, as far as they come."""

    data: bytes
    wait_s = 0.0
    size_bytes: int | None = None

    def read(self, most: int, /) -> bytes:
        taken, self.data = self.data[:most], self.data[most:]
        return taken

    def abort(self) -> None:
        """Nobody waits for it."""


@pytest.mark.parametrize("most", [1, 4])
@pytest.mark.parametrize("size", [BLOCK, 120_000, 500_000, 990_000])
def test_a_line_that_always_breaks_off_gets_all_across_and_no_stretch_is_asked_for_more_than_three_times(
    size: int, most: int
) -> None:
    remote, judge = Breaking(repeat(size)), Judge()

    fetch_units(remote, ALL, judge, manners=Manners(most_connections=most, clock=Hours().clock), line=NEAR)

    assert sorted(judge.kept) == ALL
    assert remote.most_often() <= 3


def test_a_whole_file_is_read_three_times_and_no_more(hours: Hours) -> None:
    remote, judge = Breaking(iter([700_000, 1_400_000, 2_100_000])), Judge()

    with pytest.raises(FetchError) as caught:
        fetch_whole(remote, ALL, judge, manners=Manners(clock=hours.clock))

    assert caught.value.what == "the connection broke off after 2.0 MiB, at byte 2100000; tried 3 times"
    assert len(remote.asked) == 3
    assert sorted(judge.kept) == ALL[:42]


def test_bytes_that_are_not_the_promised_ones_are_told_after_three_tries(
    server: WebServer, page: Page, url: str, hours: Hours
) -> None:
    page.data = DATA[:60_000] + bytes([DATA[60_000] ^ 1]) + DATA[60_001:]
    judge = Judge()

    with pytest.raises(IntegrityError) as caught:
        fetch(url, hours, judge=judge, most=1)

    assert str(caught.value) == f"{url}: the bytes at 50000 are not the ones that were promised; tried 3 times"
    assert caught.value.hint == "the server, or a cache on the way, has another version or is broken; what came is kept"
    assert judge.shown.count(ALL[1]) == 3
    assert max(judge.shown.count(span) for span in ALL if span != ALL[1]) == 1


def test_a_server_that_sends_whole_files_is_noticed_before_a_byte_is_taken(page: Page, url: str, hours: Hours) -> None:
    page.ignores_ranges = True
    judge = Judge()

    with pytest.raises(RangesRefusedError) as caught:
        fetch(url, hours, judge=judge)

    assert str(caught.value) == f"{url}: the server sends only whole files (200 instead of 206)"
    assert judge.shown == []


def test_a_part_that_says_which_it_is_counts_as_one_though_the_server_calls_it_whole(
    page: Page, url: str, hours: Hours
) -> None:
    page.part_status = 200

    judge, _ = fetch(url, hours)

    assert sorted(judge.kept) == ALL


def test_a_server_that_does_not_know_ranges_may_say_so(page: Page, url: str, hours: Hours) -> None:
    page.statuses = [501] * 9

    with pytest.raises(RangesRefusedError) as caught:
        fetch(url, hours)

    assert str(caught.value) == f"{url}: the server sends only whole files (501)"


def test_a_whole_file_gives_the_stretches_that_are_wanted(
    server: WebServer, page: Page, url: str, hours: Hours
) -> None:
    page.ignores_ranges = True
    page.cut_after = [500_000]

    judge, traffic = fetch(url, hours, ALL[5:15], how=fetch_whole)

    assert sorted(judge.kept) == ALL[5:15]
    assert traffic == Traffic(requests=2, body_bytes=500_000 + 750_000)
    assert [asked.range for asked in server.asked] == [None, None]


@pytest.mark.parametrize(
    ("told", "shift", "sentence"),
    [
        ("bytes 7-106/3000000", 0, "the server sends bytes 7-106, though 0-99 were asked for"),
        (None, 7, "the server sends bytes 7-106, though 0-99 were asked for"),
        ("bytes 0-98/3000000", 0, "the server sends bytes 0-98 in 100 bytes, though 0-99 were asked for"),
        ("bytes */3000000", 0, "the server sends a part without saying which"),
        ("nonsense", 0, "the server sends a part without saying which"),
    ],
)
def test_a_part_that_was_not_asked_for_is_never_taken(
    page: Page, url: str, hours: Hours, told: str | None, shift: int, sentence: str
) -> None:
    page.content_range, page.range_shift = told, shift
    judge = Judge()

    with pytest.raises(FetchError) as caught:
        fetch(url, hours, [Span(0, 100)], judge=judge)

    assert str(caught.value) == f"{url}: {sentence}, at byte 0; tried 3 times"
    assert judge.shown == []


def test_several_ranges_in_one_body_are_not_taken_for_one(page: Page, url: str, hours: Hours) -> None:
    page.content_range, page.content_type = "none", "multipart/byteranges; boundary=x"

    with pytest.raises(FetchError) as caught:
        fetch(url, hours, [Span(0, 100)])

    assert str(caught.value) == (
        f"{url}: the server sends a part without saying which but several in one body, at byte 0; tried 3 times"
    )


def test_a_file_of_another_size_is_refused_at_the_first_answer(server: WebServer, url: str, hours: Hours) -> None:
    with pytest.raises(ChangedError) as caught:
        fetch(url, hours, most=1, size=len(DATA) + 1)

    assert str(caught.value) == f"{url}: has 3000000 bytes, but 3000001 were promised"
    assert len(server.asked) == 1


def test_a_file_that_is_shorter_now_is_a_changed_one(page: Page, url: str, hours: Hours) -> None:
    page.data = DATA[:100]

    with pytest.raises(ChangedError) as caught:
        fetch(url, hours, [Span(2000, 10)], size=None)

    assert str(caught.value) == f"{url}: the server has no bytes 2000-2009 of this file (416)"


@pytest.mark.parametrize("ignores", [False, True], ids=["If-Range heeded", "If-Range ignored"])
def test_a_file_that_is_changed_in_mid_download_is_noticed(
    server: WebServer, url: str, hours: Hours, ignores: bool
) -> None:
    changed = Page(data=DATA[::-1], etag='"v2"', ignores_if_range=ignores)
    judge = Judge()

    def and_change(span: Span, data: memoryview) -> bool:
        server.pages["/file"] = changed
        return judge(span, data)

    with pytest.raises(ChangedError) as caught:
        fetch(url, hours, most=1, judge=and_change)  # type: ignore[arg-type]

    assert str(caught.value) == f"{url}: the file was changed on the server meanwhile"
    assert all(DATA[span.offset : span.end] == data for span, data in judge.kept.items())


@pytest.mark.parametrize("ignores", [False, True], ids=["If-Range heeded", "If-Range ignored"])
def test_mirrors_that_call_the_same_file_by_tags_of_their_own_serve_it_together(
    server: WebServer, page: Page, url: str, hours: Hours, ignores: bool
) -> None:
    page.ignores_if_range = ignores
    judge = Judge()

    def and_turn_to_another(span: Span, data: memoryview) -> bool:
        page.etag = f'"mirror {len(judge.shown) % 3}"'
        return judge(span, data)

    _, traffic = fetch(url, hours, most=1, judge=and_turn_to_another)  # type: ignore[arg-type]

    assert sorted(judge.kept) == ALL
    assert traffic.body_bytes == len(DATA)
    bound = [asked.headers.get("if-range") for asked in server.asked]
    assert bound == [None, '"v1"', *[None] * (len(bound) - 2)], "to one copy, until another one answers"


def test_a_weak_tag_binds_nothing(server: WebServer, page: Page, url: str, hours: Hours) -> None:
    page.etag = 'W/"1"'

    judge, _ = fetch(url, hours)

    assert sorted(judge.kept) == ALL
    assert {asked.headers.get("if-range") for asked in server.asked} == {None}


def test_a_cache_that_compresses_on_the_way_is_refused(page: Page, url: str, hours: Hours) -> None:
    page.headers = {"Content-Encoding": "gzip"}

    with pytest.raises(FetchError) as caught:
        fetch(url, hours)

    assert str(caught.value) == f"{url}: the server compresses it on the way (gzip), though that was declined"
    assert caught.value.hint == (
        "the server, or a cache on the way, must send this file as it is (Cache-Control: no-transform)"
    )


def test_a_body_without_end_is_read_no_further_than_asked(
    server: WebServer, page: Page, url: str, hours: Hours
) -> None:
    page.is_endless = True

    judge, traffic = fetch(url, hours, ALL[:3], most=1)

    assert sorted(judge.kept) == ALL[:3]
    assert traffic.body_bytes == 150_000
    server.finish.set()


def test_a_body_in_chunks_is_taken(page: Page, url: str, hours: Hours) -> None:
    page.is_chunked = True

    judge, _ = fetch(url, hours)

    assert sorted(judge.kept) == ALL


def test_a_server_that_says_more_bytes_than_asked_is_not_read(
    server: WebServer, page: Page, url: str, hours: Hours
) -> None:
    page.length_shift = 1 << 40

    with pytest.raises(FetchError) as caught:
        fetch(url, hours, [Span(0, 100)])

    assert str(caught.value) == (
        f"{url}: the server sends bytes 0-99 in {100 + (1 << 40)} bytes, though 0-99 were asked for, at byte 0; "
        "tried 3 times"
    )
    assert len(server.asked) == 3


class Dripping:
    """A file that comes a byte at a time."""

    where = "http://drip.test/file"
    wait_s = 0.0
    size_bytes: int | None = None

    def __init__(self) -> None:
        self.opened = 0

    @contextmanager
    def open(self, _span: Span | None, /) -> Iterator[Dripping]:
        self.opened += 1
        yield self

    def read(self, most: int, /) -> bytes:
        return DATA[: min(most, 1)]

    def abort(self) -> None:
        """Nobody waits for it."""


def test_a_drip_is_as_good_as_silence() -> None:
    remote, manners = Dripping(), Manners(clock=Hours(step_s=1.0).clock, silence_s=5)

    with pytest.raises(FetchError) as caught:
        fetch_units(remote, [Span(0, 200)], Judge(), manners=manners)

    assert str(caught.value) == (
        "http://drip.test/file: the server sends less than 1 KiB a second, at byte 0; tried 3 times"
    )
    assert remote.opened == 3


def test_a_server_that_is_busy_is_given_the_time_it_asks_for_and_fewer_connections(
    server: WebServer, page: Page, url: str, hours: Hours
) -> None:
    page.statuses = [503, 503]
    page.headers = {"Retry-After": "7"}

    judge, _ = fetch(url, hours)

    assert sorted(judge.kept) == ALL
    assert hours.pauses == [7, 7]


def test_a_redirect_to_another_host_is_followed_and_remembered_until_it_expires(
    server: WebServer, page: Page, url: str, hours: Hours
) -> None:
    other = server.url.replace("127.0.0.1", "localhost")
    server.pages["/store?signed=1"] = Page(data=DATA)
    page.redirect = f"{other}/store?signed=1"

    def expire(span: Span, data: memoryview) -> bool:
        if not judge.kept:
            server.pages["/store?signed=2"] = server.pages.pop("/store?signed=1")
            page.redirect = f"{other}/store?signed=2"
        return judge(span, data)

    judge = Judge()
    fetch(url, hours, most=1, judge=expire)  # type: ignore[arg-type]

    assert sorted(judge.kept) == ALL
    assert [asked.path for asked in server.asked][:5] == [
        "/file",
        "/store?signed=1",
        "/store?signed=1",
        "/file",
        "/store?signed=2",
    ]
    assert [asked.path for asked in server.asked].count("/file") == 2


def test_a_redirect_to_what_is_no_web_address_is_refused(page: Page, url: str, hours: Hours) -> None:
    page.redirect = "file:///etc/passwd"

    with pytest.raises(FetchError) as caught:
        fetch(url, hours)

    assert str(caught.value) == f"{url}: redirects to file:///etc/passwd, which is no web address"


def test_what_a_judge_raises_ends_all_connections(server: WebServer, url: str, hours: Hours) -> None:
    def full(_span: Span, _data: memoryview) -> bool:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fetch(url, hours, judge=full)  # type: ignore[arg-type]
    asked = len(server.asked)
    assert asked <= 8


def test_an_interrupt_ends_all_connections(url: str, hours: Hours) -> None:
    def interrupt(_span: Span, _data: memoryview) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(url, hours, judge=interrupt)  # type: ignore[arg-type]
    assert [thread.name for thread in threading.enumerate() if thread.name == "fetch"] == []


def test_nothing_wanted_asks_nothing(server: WebServer, url: str, hours: Hours) -> None:
    assert fetch(url, hours, [])[1] == Traffic(requests=0, body_bytes=0)
    assert server.asked == []


def test_a_folder_is_a_place_like_any_other(tmp_path: Path, hours: Hours) -> None:
    path = tmp_path / "a file"
    path.write_bytes(DATA)

    for address in (str(path), path.as_uri()):
        judge, _ = fetch(address, hours)
        assert sorted(judge.kept) == ALL


def test_a_limit_is_kept_by_all_connections_together(url: str) -> None:
    hours = Hours()

    fetch(url, hours, limit=1_000_000)

    assert 2.9 <= hours.time_s <= 3.3


def test_under_a_low_limit_one_stretch_is_whole_before_the_next_begins(url: str, hours: Hours) -> None:
    judge, _ = fetch(url, hours, limit=1_000_000)

    assert judge.shown == ALL


def test_a_limit_that_nobody_used_is_not_made_up_for_later() -> None:
    hours = Hours()
    limit = Limit(1000, hours.clock)
    hours.time_s += 100

    limit.take(500)

    assert hours.pauses == [0.5]


def test_a_floor_looks_at_whole_stretches_of_time() -> None:
    hours = Hours()
    floor = Floor(hours.clock, window_s=10, limit=Limit(None, hours.clock))
    assert floor.holds(1)
    hours.time_s = 10
    assert not floor.holds(10_000)
    hours.time_s = 20
    assert floor.holds(10_240)


def test_the_line_is_guessed_until_it_is_known() -> None:
    tally = Tally(None, Hours().clock)
    assert tally.line() == Line(round_trip_s=0.05, bytes_per_s=25e6)

    tally.answered(0.2)
    tally.answered(0.3)
    tally.arrived(100)

    assert tally.line() == Line(round_trip_s=0.2, bytes_per_s=25e6), "a moment says nothing of the speed"


def test_the_speed_of_a_line_is_the_most_that_came_in_one_window_of_all_connections() -> None:
    hours = Hours()
    tally = Tally(NEAR, hours.clock)
    for window, count in enumerate((1_000_000, 500_000, 0), start=1):
        hours.time_s = 0.1 * window
        tally.arrived(count)

    assert 9.4e6 < tally.line().bytes_per_s < 9.5e6, "an idle line says little of itself"
