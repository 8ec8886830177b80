"""The leaves of a release out of a published difference, which begins with them.

So even from a server that sends only whole files they are to be had without the release itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lfbuild.channel.index import FileRecord
from lfbuild.channel.leaves import recorded_leaves
from lfbuild.channel.route import delta_bytes_left
from lfbuild.errors import LfbuildError
from lfbuild.fetch.parallel import fetch_whole
from lfbuild.fetch.ranges import Span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lfbuild.channel.plan import Begun
    from lfbuild.channel.release import Release
    from lfbuild.fetch.parallel import Manners
    from lfbuild.fetch.places import Places
    from lfbuild.fetch.remote import Remote
    from lfbuild.manifest.filemap import FileMap

_FIRST_BYTES: Final = 256 << 10
"""As much as the head of most differences has."""


def leaves_in_deltas(
    release: Release, seeds: Iterable[FileMap], begun: Begun, *, places: Places, manners: Manners
) -> dict[bytes, bytes]:
    """The leaves that the first difference tells of that is from a file at hand; none where it is of no use.

    Nor is one looked at that costs no less than the file: its beginning comes twice.

    Raises:
        FetchError: what comes with the difference would be more than is allowed.
    """
    from lfbuild.delta.apply import DeltaStream, resolve_head

    old = {seed.root.hex(): seed for seed in seeds}
    for delta in release.index.deltas:
        left = delta_bytes_left(delta, begun.held(delta), has_ranges=False)
        cost = min(_FIRST_BYTES, delta.size_bytes) + left
        if delta.old not in old or cost >= release.index.file.size_bytes:
            continue
        begun.allow(cost)
        try:
            remote = release.remote(places, FileRecord(url=delta.url, size_bytes=delta.size_bytes))
            stream = DeltaStream(_Beginning(remote, delta.size_bytes, begun, manners), remote.where)
            _, resolved = resolve_head(stream, old[delta.old], where=release.where)
        except LfbuildError:
            continue  # whoever wants to take it tells why it cannot be
        # By place: the runs of a difference go on over the ends of tensors where the blocks allow it.
        table = resolved.target.table
        spans = map(Span, table.offsets, table.sizes)
        return recorded_leaves(release.index, {span: table.leaf(number) for number, span in enumerate(spans)})
    return {}


class _Beginning:
    """The first bytes of a file that may only come whole: asked for anew when more are needed than were thought."""

    def __init__(self, remote: Remote, size_bytes: int, begun: Begun, manners: Manners) -> None:
        self._remote, self._size_bytes, self._begun, self._manners = remote, size_bytes, begun, manners
        self._data, self._position = b"", 0

    def read(self, most: int, /) -> bytes:
        """Up to so many bytes; none at the end."""
        end = min(self._position + most, self._size_bytes)
        if end > len(self._data):
            size = min(max(end, 2 * len(self._data), _FIRST_BYTES), self._size_bytes)
            self._begun.allow(size)
            fetch_whole(self._remote, [Span(0, size)], self._keep, manners=self._manners, on_traffic=self._begun.count)
        data = self._data[self._position : end]
        self._position += len(data)
        return data

    def _keep(self, span: Span, data: memoryview) -> bool:
        del span
        self._data = bytes(data)
        return True
