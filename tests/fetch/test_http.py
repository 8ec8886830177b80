"""A download arrives whole and as promised over servers that get things wrong, or is refused in one sentence."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import random
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.fetch.webserver import Page, WebServer

from lfbuild.errors import FetchError, HostError, IntegrityError
from lfbuild.fetch import Downloaded, HttpFetcher, Network
from lfbuild.fetch.partial import PartialFile
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lfbuild.report import Step, Unit

DATA = random.Random(1).randbytes(3_000_000)  # noqa: S311  # the same bytes in each run
SHA256 = hashlib.sha256(DATA).hexdigest()


class Told:
    """A report that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[str, int | None]] = []
        self.done = 0
        self.expected: int | None = None

    @contextmanager
    def step(self, title: str, /, *, total: int | None = None, unit: Unit = "bytes") -> Iterator[Step]:  # noqa: ARG002
        self.steps.append((title, total))
        yield self

    def note(self, text: str, /) -> None:
        self.notes.append(text)

    def advance(self, amount: int, /, *, detail: str = "") -> None:  # noqa: ARG002
        self.done += amount

    def expect(self, total: int, /) -> None:
        self.expected = total


class Pauses(list[float]):
    """Stands in for sleeping."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    return tmp_path / "partial"


@pytest.fixture
def page(server: WebServer) -> Page:
    server.pages["/model.gguf"] = Page(data=DATA)
    return server.pages["/model.gguf"]


@pytest.fixture
def url(server: WebServer, page: Page) -> str:
    return f"{server.url}/model.gguf"


def fetcher(pauses: Pauses, report: Told | None = None, **network: object) -> HttpFetcher:
    return HttpFetcher(Network(timeout_s=5, **network), report or SilentReport(), pause=pauses)  # type: ignore[arg-type]


def test_a_file_arrives_whole_and_hashed(url: str, partial: Path, pauses: Pauses) -> None:
    report = Told()

    assert fetcher(pauses, report).download(url, partial) == Downloaded(
        path=partial, size_bytes=len(DATA), sha256=SHA256
    )

    assert partial.read_bytes() == DATA
    assert (report.steps, report.done, report.expected) == ([("fetch model.gguf", None)], len(DATA), len(DATA))
    assert not partial.with_suffix(".json").exists()
    assert pauses == []


def test_an_empty_file_is_a_file(server: WebServer, partial: Path, pauses: Pauses) -> None:
    server.pages["/empty"] = Page()

    assert fetcher(pauses).download(f"{server.url}/empty", partial).size_bytes == 0


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(
    server: WebServer, page: Page, url: str, partial: Path, pauses: Pauses
) -> None:
    page.cut_after = [1_500_000, 700_000]

    assert fetcher(pauses).download(url, partial).sha256 == SHA256

    assert [asked.range for asked in server.asked] == [None, "bytes=1500000-", "bytes=2200000-"]
    assert [asked.headers.get("if-range") for asked in server.asked] == [None, '"v1"', '"v1"']
    assert len(pauses) == 2


def test_pauses_grow_and_are_never_the_same(page: Page, url: str, partial: Path, pauses: Pauses) -> None:
    page.statuses = [500, 502, 503]

    fetcher(pauses).download(url, partial)

    assert [longest / 2 <= pause <= longest for pause, longest in zip(pauses, (1, 2, 4), strict=True)] == [True] * 3


def test_a_server_that_names_a_time_is_given_it(page: Page, url: str, partial: Path, pauses: Pauses) -> None:
    page.statuses = [429]
    page.headers = {"Retry-After": "7"}

    fetcher(pauses).download(url, partial)

    assert pauses == [7]


def test_a_later_run_goes_on_from_the_bytes_that_were_kept(
    server: WebServer, page: Page, url: str, partial: Path, pauses: Pauses
) -> None:
    page.cut_after = [1_000]
    with pytest.raises(FetchError) as caught:
        fetcher(pauses, attempts=1).download(url, partial)
    report = Told()

    assert str(caught.value) == f"{url}: the connection broke off after 1000 B of 2.9 MiB; tried once"
    assert caught.value.hint == "run again: 1000 B are kept, and it goes on from there"
    assert fetcher(pauses, report).download(url, partial).sha256 == SHA256
    assert server.asked[-1].range == "bytes=1000-"
    assert report.done == len(DATA)


def test_a_server_that_ignores_ranges_sends_it_all_again(page: Page, url: str, partial: Path, pauses: Pauses) -> None:
    page.ignores_ranges = True
    page.cut_after = [2_000_000]

    assert fetcher(pauses).download(url, partial).sha256 == SHA256


def test_a_file_that_changes_between_attempts_is_fetched_from_the_beginning(
    server: WebServer, page: Page, url: str, partial: Path, pauses: Pauses
) -> None:
    page.cut_after = [2_000_000]

    def change() -> None:
        server.pages["/model.gguf"] = Page(data=DATA[::-1], etag='"v2"')

    page.before = [lambda: None]
    pauses_that_change = Pauses()
    fetch = HttpFetcher(Network(timeout_s=5), SilentReport(), pause=lambda _: change())

    assert fetch.download(url, partial).sha256 == hashlib.sha256(DATA[::-1]).hexdigest()
    assert pauses_that_change == []


def test_a_changed_file_is_noticed_even_when_the_server_ignores_if_range(
    server: WebServer, page: Page, url: str, partial: Path
) -> None:
    page.cut_after = [2_000_000]

    def change(_seconds: float) -> None:
        server.pages["/model.gguf"] = Page(data=DATA[::-1], etag='"v2"', ignores_if_range=True)

    fetch = HttpFetcher(Network(timeout_s=5), SilentReport(), pause=change)

    assert fetch.download(url, partial).sha256 == hashlib.sha256(DATA[::-1]).hexdigest()


def test_without_an_etag_and_without_a_hash_nothing_is_continued(
    server: WebServer, page: Page, url: str, partial: Path, pauses: Pauses
) -> None:
    page.etag = None
    page.cut_after = [1_000]

    assert fetcher(pauses).download(url, partial).sha256 == SHA256
    assert [asked.range for asked in server.asked] == [None, None]


def test_a_weak_etag_is_no_proof_but_a_date_is(
    server: WebServer, page: Page, url: str, partial: Path, pauses: Pauses
) -> None:
    page.etag = 'W/"v1"'
    page.headers = {"Last-Modified": "Sun, 01 Nov 2026 10:00:00 GMT"}
    page.ignores_if_range = True
    page.cut_after = [1_000]

    assert fetcher(pauses).download(url, partial).sha256 == SHA256
    assert server.asked[-1].headers["if-range"] == "Sun, 01 Nov 2026 10:00:00 GMT"


def test_with_a_hash_bytes_are_continued_without_the_server_s_word(
    server: WebServer, page: Page, url: str, partial: Path, pauses: Pauses
) -> None:
    page.etag = None
    page.cut_after = [1_000]

    fetcher(pauses).download(url, partial, sha256=SHA256)

    assert [asked.range for asked in server.asked] == [None, "bytes=1000-"]


def test_kept_bytes_that_do_not_fit_are_fetched_again_once(url: str, partial: Path, pauses: Pauses) -> None:
    partial.write_bytes(bytes(1000))
    report = Told()

    assert fetcher(pauses, report).download(url, partial, sha256=SHA256).sha256 == SHA256
    assert report.notes == [f"{url}: the bytes kept from before do not fit; it is fetched from the beginning"]
    assert partial.read_bytes() == DATA


def test_kept_bytes_that_are_already_all_are_not_asked_for_again(
    server: WebServer, url: str, partial: Path, pauses: Pauses
) -> None:
    partial.write_bytes(DATA)

    assert fetcher(pauses).download(url, partial, sha256=SHA256).size_bytes == len(DATA)
    assert [asked.range for asked in server.asked] == ["bytes=3000000-"]


def test_more_kept_bytes_than_the_file_has_are_thrown_away(
    server: WebServer, url: str, partial: Path, pauses: Pauses
) -> None:
    partial.write_bytes(bytes(len(DATA) + 10))

    assert fetcher(pauses).download(url, partial, sha256=SHA256, size_bytes=len(DATA)).sha256 == SHA256
    assert [asked.range for asked in server.asked] == [None]


def test_other_bytes_than_promised_are_untrue(url: str, partial: Path, pauses: Pauses) -> None:
    with pytest.raises(IntegrityError) as caught:
        fetcher(pauses).download(url, partial, sha256="0" * 64)

    assert str(caught.value) == f"{url}: has sha256 {SHA256}, but {'0' * 64} was promised"
    assert caught.value.hint == "the file was changed at its source, or the promised hash is wrong"
    assert partial.stat().st_size == 0


def test_another_length_than_promised_is_refused_before_a_byte_is_taken(
    url: str, partial: Path, pauses: Pauses
) -> None:
    with pytest.raises(FetchError) as caught:
        fetcher(pauses).download(url, partial, size_bytes=5)

    assert str(caught.value) == f"{url}: has 3000000 bytes, but 5 were promised"
    assert pauses == []


def test_a_body_without_end_is_cut_off(page: Page, url: str, partial: Path, pauses: Pauses) -> None:
    page.without_length = True

    with pytest.raises(FetchError) as caught:
        fetcher(pauses).download(url, partial, size_bytes=1_000_000)

    assert str(caught.value) == f"{url}: the server sends more than the 976.6 KiB that the file has"
    assert partial.stat().st_size == 0


def test_a_body_without_length_is_taken_to_its_end(page: Page, url: str, partial: Path, pauses: Pauses) -> None:
    page.without_length = True

    assert fetcher(pauses).download(url, partial).sha256 == SHA256


def test_a_body_in_chunks_is_taken_and_one_that_breaks_off_is_resumed(
    server: WebServer, page: Page, url: str, partial: Path, pauses: Pauses
) -> None:
    page.is_chunked = True
    page.cut_after = [100_000, 1_234_567]

    assert fetcher(pauses).download(url, partial).sha256 == SHA256
    assert [asked.range for asked in server.asked] == [None, "bytes=100000-", "bytes=1334567-"]


def test_a_body_that_is_always_too_short_is_given_up_after_some_attempts(
    server: WebServer, page: Page, url: str, partial: Path, pauses: Pauses
) -> None:
    page.data = b"short"
    page.length_shift = 10
    page.ignores_ranges = True

    with pytest.raises(FetchError) as caught:
        fetcher(pauses, attempts=3).download(url, partial)

    assert str(caught.value) == f"{url}: the connection broke off after 5 of 15 B; tried 3 times"
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("shift", "told", "sentence"),
    [
        (5, None, "the server sends bytes 1005-2999999, though those from 1000 on were asked for"),
        (0, "bytes */3000000", "the server sends a part without saying which"),
        (0, "lines 1-2/3", "the server sends a part without saying which"),
        (
            0,
            "bytes 1000-3000000/3000000",
            "the server sends bytes 1000-3000000, though those from 1000 on were asked for",
        ),
        (0, "bytes 1000-1009/3000000", "the server says 2999000 bytes, and 10 in the same answer"),
    ],
)
def test_a_part_that_was_not_asked_for_is_never_taken(
    page: Page, url: str, partial: Path, pauses: Pauses, shift: int, told: str | None, sentence: str
) -> None:
    partial.write_bytes(DATA[:1000])
    page.range_shift = shift
    page.content_range = told

    with pytest.raises(FetchError) as caught:
        fetcher(pauses, attempts=1).download(url, partial, sha256=SHA256)

    assert str(caught.value) == f"{url}: {sentence}; tried once"
    partial.write_bytes(DATA[:1000])
    assert fetcher(pauses).download(url, partial, sha256=SHA256).sha256 == SHA256, "the next attempt asks for the whole"


@pytest.mark.parametrize(
    ("status", "sentence", "hint"),
    [
        (404, "is not there (404)", "check the address; the file may have been moved or renamed"),
        (410, "is not there any more (410)", "check the address; the file may have been moved or renamed"),
        (401, "the server wants to know who asks (401)", "it may need a token or a password"),
        (
            403,
            "the server does not allow it (403)",
            "it may need a token, or a licence to be accepted on its web page",
        ),
        (418, "the server answered 418", "check the address"),
    ],
)
def test_a_refusal_is_told_at_once(
    server: WebServer, page: Page, url: str, partial: Path, pauses: Pauses, status: int, sentence: str, hint: str
) -> None:
    page.statuses = [status]

    with pytest.raises(FetchError) as caught:
        fetcher(pauses).download(url, partial)

    assert (str(caught.value), caught.value.hint) == (f"{url}: {sentence}", hint)
    assert len(server.asked) == 1


def test_a_server_in_trouble_is_given_up_after_some_attempts(
    server: WebServer, page: Page, url: str, partial: Path, pauses: Pauses
) -> None:
    page.statuses = [500] * 9

    with pytest.raises(FetchError) as caught:
        fetcher(pauses).download(url, partial)

    assert str(caught.value) == f"{url}: the server is in trouble (500); tried 5 times"
    assert caught.value.hint == "check the network, and HTTPS_PROXY if there is a proxy"
    assert len(server.asked) == 5


def test_a_server_that_says_nothing_is_given_up(page: Page, url: str, partial: Path, pauses: Pauses) -> None:
    page.is_silent = True
    fetch = HttpFetcher(Network(timeout_s=0.2, attempts=1), SilentReport(), pause=pauses)

    with pytest.raises(FetchError) as caught:
        fetch.download(url, partial)

    assert str(caught.value) == f"{url}: the server sent nothing for 0.2 seconds; tried once"


def test_a_port_where_nobody_listens_is_told(partial: Path, pauses: Pauses) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x"

    with pytest.raises(FetchError) as caught:
        fetcher(pauses, attempts=2).download(url, partial)

    assert str(caught.value) == f"{url}: no connection to 127.0.0.1 (Connection refused); tried 2 times"


def test_without_a_network_the_host_is_not_found(
    partial: Path, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> list[object]:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    with pytest.raises(FetchError) as caught:
        fetcher(pauses).download("https://models.test/x.gguf?token=secret", partial)

    assert str(caught.value) == "https://models.test/x.gguf: the host models.test was not found; tried 5 times"
    assert caught.value.hint == "check the network, and HTTPS_PROXY if there is a proxy"


def test_offline_nothing_is_asked(server: WebServer, url: str, partial: Path, pauses: Pauses) -> None:
    with pytest.raises(FetchError) as caught:
        fetcher(pauses, offline=True).download(url, partial)

    assert str(caught.value) == f"{url}: is not in the cache, and --offline forbids to fetch it"
    assert caught.value.hint == "run once without --offline"
    assert server.asked == []


def test_redirects_are_followed_and_secrets_stay_with_their_host(
    server: WebServer, page: Page, partial: Path, pauses: Pauses
) -> None:
    server.pages["/here"] = Page(redirect="/there")
    server.pages["/there"] = Page(redirect=f"http://localhost:{server.server_address[1]}/model.gguf")

    fetcher(pauses).download(f"{server.url}/here", partial, headers={"Authorization": "Bearer secret"})

    assert partial.read_bytes() == DATA
    assert [asked.headers.get("authorization") for asked in server.asked] == ["Bearer secret", "Bearer secret", None]


def test_a_redirect_in_a_circle_is_refused(server: WebServer, partial: Path, pauses: Pauses) -> None:
    server.pages["/a"] = Page(redirect="/a")

    with pytest.raises(FetchError) as caught:
        fetcher(pauses).download(f"{server.url}/a", partial)

    assert str(caught.value) == f"{server.url}/a: more than 10 redirects"


def test_a_redirect_to_a_file_of_this_machine_is_refused(server: WebServer, partial: Path, pauses: Pauses) -> None:
    server.pages["/a"] = Page(redirect="file:///etc/passwd")

    with pytest.raises(FetchError) as caught:
        fetcher(pauses).download(f"{server.url}/a", partial)

    assert str(caught.value) == f"{server.url}/a: redirects to file:///etc/passwd, which is no web address"


def test_a_redirect_to_no_address_at_all_is_refused(server: WebServer, partial: Path, pauses: Pauses) -> None:
    server.pages["/a"] = Page(redirect="http://[x")

    with pytest.raises(FetchError) as caught:
        fetcher(pauses).download(f"{server.url}/a", partial)

    assert str(caught.value) == f"{server.url}/a: redirects to an address that cannot be read, which is no web address"


def test_what_comes_with_a_redirect_is_not_read(server: WebServer, url: str, partial: Path, pauses: Pauses) -> None:
    server.pages["/a"] = Page(redirect=url, is_endless=True)

    fetcher(pauses).download(f"{server.url}/a", partial)

    assert partial.read_bytes() == DATA


def test_user_and_password_of_an_address_are_sent_but_never_shown(
    server: WebServer, partial: Path, pauses: Pauses
) -> None:
    url = server.url.replace("http://", "http://me:pass%21@")

    with pytest.raises(FetchError) as caught:
        fetcher(pauses).download(f"{url}/missing", partial)

    assert str(caught.value) == f"{server.url}/missing: is not there (404)"
    assert server.asked[0].headers["authorization"] == "Basic bWU6cGFzcyE="


def test_a_proxy_is_used_except_for_the_hosts_that_need_none(server: WebServer, partial: Path, pauses: Pauses) -> None:
    server.pages["http://models.test/x"] = Page(data=b"through the proxy")
    server.pages["/x"] = Page(data=b"direct")
    network = {"proxies": {"http": server.url.removeprefix("http://"), "no": "127.0.0.1"}}

    fetcher(pauses, **network).download("http://models.test/x", partial)
    assert partial.read_bytes() == b"through the proxy"
    partial.unlink()
    fetcher(pauses, **network).download(f"{server.url}/x", partial)
    assert partial.read_bytes() == b"direct"


def test_a_proxy_that_is_not_there_is_named_without_its_password(partial: Path, pauses: Pauses) -> None:
    network = {"proxies": {"https": "http://me:secret@127.0.0.1:9"}, "attempts": 1}

    with pytest.raises(FetchError) as caught:
        fetcher(pauses, **network).download("https://models.test/x", partial)

    assert str(caught.value) == (
        "https://models.test/x: the proxy http://127.0.0.1:9 could not be used (Connection refused); tried once"
    )


def test_a_full_disk_is_told_and_what_fits_is_kept(
    url: str, partial: Path, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = PartialFile.append

    def fill_up(held: PartialFile, data: bytes) -> None:
        append(held, data[: 1_000_000 - held.size_bytes])
        if held.size_bytes == 1_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PartialFile, "append", fill_up)

    with pytest.raises(HostError) as caught:
        fetcher(pauses).download(url, partial)

    assert str(caught.value) == f"{partial}: the disk is full, after 976.6 KiB of {url}"
    assert caught.value.hint == "free some space and run again: it goes on from there"
    monkeypatch.undo()
    assert fetcher(pauses).download(url, partial).sha256 == SHA256


def test_a_cache_that_cannot_be_written_is_told(url: str, tmp_path: Path, pauses: Pauses) -> None:
    with pytest.raises(HostError) as caught:
        fetcher(pauses).download(url, tmp_path / "none" / "partial")

    assert str(caught.value) == f"{tmp_path}/none/partial: does not exist"


def test_a_server_that_speaks_no_tls_is_told(server: WebServer, partial: Path, pauses: Pauses) -> None:
    url = f"{server.url}/model.gguf".replace("http://", "https://")

    with pytest.raises(FetchError) as caught:
        fetcher(pauses).download(url, partial)

    assert str(caught.value).startswith(f"{url}: no secure connection (")
    assert caught.value.hint == "if your network checks traffic, set SSL_CERT_FILE to its certificates"
    assert pauses == []


def test_certificates_that_are_none_are_told(url: str, partial: Path, tmp_path: Path, pauses: Pauses) -> None:
    (tmp_path / "ca.pem").write_text("none")

    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(FetchError) as caught:
            fetcher(pauses, ca_file=tmp_path / name).download(url, partial)
        assert str(caught.value) == f"{tmp_path / name}: cannot be used as certificates"


def _download(url: str, partial: Path) -> None:
    HttpFetcher(Network(timeout_s=60), SilentReport()).download(url, partial)


def test_a_killed_run_leaves_bytes_that_the_next_one_goes_on_from(
    server: WebServer, page: Page, url: str, partial: Path, pauses: Pauses
) -> None:
    page.stall_after = [1_000_000]
    process = multiprocessing.get_context("spawn").Process(target=_download, args=(url, partial))
    process.start()
    deadline = time.monotonic() + 30
    while not (partial.exists() and partial.stat().st_size == 1_000_000):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.join()

    assert fetcher(pauses).download(url, partial).sha256 == SHA256
    assert server.asked[-1].range == "bytes=1000000-"


def test_an_interrupted_run_keeps_what_came(server: WebServer, page: Page, url: str, partial: Path) -> None:
    page.cut_after = [4_000]

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        HttpFetcher(Network(timeout_s=5), SilentReport(), pause=interrupt).download(url, partial)

    assert partial.read_bytes() == DATA[:4_000]
    assert HttpFetcher(Network(timeout_s=5), SilentReport()).download(url, partial).sha256 == SHA256
    assert server.asked[-1].range == "bytes=4000-"


def test_a_damaged_note_beside_the_bytes_only_costs_the_bytes(
    server: WebServer, url: str, partial: Path, pauses: Pauses
) -> None:
    partial.write_bytes(DATA[:1000])
    partial.with_suffix(".json").write_bytes(b"\xff{")

    assert fetcher(pauses).download(url, partial).sha256 == SHA256
    assert server.asked[0].range is None


def test_a_document_is_read_into_memory(server: WebServer, pauses: Pauses) -> None:
    server.pages["/index"] = Page(data=b"{}", content_type="application/json", statuses=[503])

    document = fetcher(pauses).read(f"{server.url}/index", limit_bytes=2, headers={"Accept": "application/json"})

    assert (document.data, document.content_type, document.url) == (b"{}", "application/json", f"{server.url}/index")
    assert server.asked[0].headers["accept"] == "application/json"


def test_a_document_that_is_too_big_is_refused(server: WebServer, pauses: Pauses) -> None:
    server.pages["/index"] = Page(data=b"{}}")

    with pytest.raises(FetchError) as caught:
        fetcher(pauses).read(f"{server.url}/index", limit_bytes=2)

    assert str(caught.value) == f"{server.url}/index: is bigger than the 2 B that such a document may have"


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("ftp://x.test/a", "ftp://x.test/a"),
        ("http:///a", "http:///a"),
        ("nonsense", "nonsense"),
        ("http://[::1/a", "an address that cannot be read"),
        ("http://x.test:port/a", "http://x.test:port/a"),
    ],
)
def test_what_is_no_web_address_is_refused(url: str, where: str, partial: Path, pauses: Pauses) -> None:
    with pytest.raises(FetchError) as caught:
        fetcher(pauses).download(url, partial)

    assert str(caught.value) == f"{where}: is not an http:// or https:// address"
