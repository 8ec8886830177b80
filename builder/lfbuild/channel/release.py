"""A release, found at an address: its control file, and what lies beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from lfbuild.channel.index import INDEX_SUFFIX, MOST_INDEX_BYTES, ReleaseIndex, reference_to
from lfbuild.errors import FetchError, FormatError, TrustError
from lfbuild.fetch.network import without_secrets
from lfbuild.fetch.pace import GUESSED_LINE
from lfbuild.fetch.parallel import fetch_units
from lfbuild.fetch.ranges import Line
from lfbuild.fetch.remote import local_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lfbuild.channel.index import FileRecord
    from lfbuild.channel.leaves import Leaves
    from lfbuild.fetch.parallel import Manners
    from lfbuild.fetch.places import Places
    from lfbuild.fetch.ranges import Span
    from lfbuild.fetch.remote import Remote

_LOCAL_LINE = Line(round_trip_s=0.0, bytes_per_s=1e9)


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """What a control file says, and where it was."""

    url: str
    where: str
    """Its address, as it may be shown."""
    index: ReleaseIndex
    line: Line
    """The way to it, as far as one answer tells."""

    def remote(self, places: Places, record: FileRecord) -> Remote:
        """A file of the release.

        Raises:
            FormatError: what the control file tells of is no address.
            TrustError: the control file sends us where it may not.
        """
        return places.remote(address_beside(self.url, record.url), size_bytes=record.size_bytes)


def index_address(url: str, name: str) -> str:
    """Where the control file is that `url` means: itself, in a folder under the file's own name, or beside a file."""
    path, query = _path_and_query(url)
    if path.endswith(INDEX_SUFFIX):
        return url
    own = "" if not is_folder(url) else reference_to(name) if "://" in url else name
    return f"{path}{own}{INDEX_SUFFIX}{query}"


def is_folder(url: str) -> bool:
    """Whether `url` means a folder, where a control file has the name of the file that is updated."""
    return _path_and_query(url)[0].endswith("/")


def shown_address(url: str) -> str:
    """The same as it may be shown; what is no address has no secrets, and `#` and `?` are letters of its name."""
    return without_secrets(url) if "://" in url else url


def _path_and_query(url: str) -> tuple[str, str]:
    """What is no address has no query."""
    path, mark, query = url.partition("?") if "://" in url else (url, "", "")
    return path, f"{mark}{query}"


def address_beside(url: str, reference: str) -> str:
    """The address that a control file at `url` means by `reference`: a name beside it, or a whole address.

    Names are as in addresses, and plain where the control file lies at a path.

    Raises:
        FormatError: it is no address, or the name of no file.
        TrustError: it leads from the network to this machine's files, or from https to http.
    """
    try:
        target = _joined(url, reference)
        old, new = urlsplit(url).scheme, urlsplit(target).scheme
        local_path(target)
    except (ValueError, FetchError) as error:
        raise FormatError(shown_address(url), f"tells of {reference!r}, which is no address") from error
    is_local = local_path(url) is not None
    if not is_local and (new not in ("http", "https", "s3", "oci") or (old == "https" and new == "http")):
        what = f"leads to {without_secrets(target)}, where a control file from {old}:// may not lead"
        raise TrustError(without_secrets(url), what)
    return target


def _joined(url: str, reference: str) -> str:
    """The address of what is called `reference` in a control file at `url`."""
    if "://" in reference:
        return reference
    if local_path(url) is None and urlsplit(url).scheme not in ("s3", "oci"):
        return urljoin(url, reference)
    folder, slash, _ = url.rpartition("/")
    return f"{folder}{slash}{reference if '://' in url else unquote(reference)}"


def load_release(places: Places, url: str, *, limit_bytes_per_s: int | None = None) -> Release:
    """Read the control file at `url`.

    Raises:
        FetchError: it could not be had.
        FormatError: it is none.
        IntegrityError: it is damaged.
    """
    got = places.read(url, limit_bytes=MOST_INDEX_BYTES)
    where = shown_address(url)
    index = ReleaseIndex.parse(got.data, where=where)
    bytes_per_s = min(limit_bytes_per_s or GUESSED_LINE.bytes_per_s, GUESSED_LINE.bytes_per_s)
    # The first answer took the way to the server twice: once for the connection, once for the request.
    line = Line(round_trip_s=got.wait_s / 2, bytes_per_s=bytes_per_s)
    return Release(url=url, where=where, index=index, line=_LOCAL_LINE if local_path(url) is not None else line)


def fetch_leaves(remote: Remote, leaves: Sequence[Leaves], *, manners: Manners, line: Line) -> dict[bytes, bytes]:
    """Fetch leaves of runs, and hold each against its digest; returns them by it.

    Raises:
        RangesRefusedError: they stand in a file that can only be had whole.
        FetchError, IntegrityError: they could not be had.
    """
    by_span = {item.span: item for item in leaves}
    found: dict[bytes, bytes] = {}

    def accept(span: Span, data: memoryview) -> bool:
        item = by_span[span]
        if not item.are(data):
            return False
        found[item.digest] = bytes(data)
        return True

    fetch_units(remote, list(by_span), accept, manners=manners, line=line)
    return found
