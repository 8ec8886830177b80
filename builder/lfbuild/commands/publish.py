"""`publish`: a release goes where others find it, so that at every moment they find one that is whole.

    FOLDER/NAME.lfindex              the control file, put there last: from then on the release is the newest
    FOLDER/ROOT/NAME                 the file, under the beginning of its root: it never changes, so caches may keep it
    FOLDER/ROOT/NAME.lfleaves        the leaves, of files that are not ours
    FOLDER/ROOT/DIGEST/FROM.lfdelta  differences to it: what they are, the root does not say

An update that began with the release before goes on undisturbed, as its files stay where they are.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from lfbuild.channel.describe import describe_release
from lfbuild.channel.index import INDEX_SUFFIX, reference_to
from lfbuild.channel.release import address_beside, index_address
from lfbuild.commands.index import ROOT_DIGITS, delta_record, map_whole
from lfbuild.commands.texts import refuse_odd_name, refuse_shared_names
from lfbuild.errors import Problem, RecipeError
from lfbuild.fetch.shelf import shelf_for
from lfbuild.host.files import refuse_another
from lfbuild.host.inplace import used

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lfbuild.channel.index import DeltaRecord
    from lfbuild.fetch.network import Network
    from lfbuild.manifest.filemap import FileMap
    from lfbuild.report import Report

_FOREVER: Final = "public, max-age=31536000, immutable, no-transform"
_NEVER: Final = "no-cache, no-transform"


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """What was put where."""

    url: str
    """Of the control file: what `update` takes, and `[update]` of a recipe, if other machines see it there."""
    file_url: str
    put: tuple[str, ...]
    """What was not there already, in order."""


def place_of(found: FileMap, name: str) -> str:
    """Where a file lies under the folder that it is published to, as in an address: a place that no other will have."""
    return reference_to(f"{found.root.hex()[:ROOT_DIGITS]}/{name}")


def publish(
    path: Path, folder: str, *, network: Network, threads: int, report: Report, deltas: Sequence[Path] = ()
) -> Published:
    """Put `path`, differences to it and its control file under `folder`, with or without a slash at its end.

    Raises:
        RecipeError: no folder is named, or a name cannot stand in a control file, or is another's too.
        FetchError: nothing can be put there.
        FormatError, IntegrityError: the file is damaged, or a difference is, or makes another file.
        HostError: it cannot be read, or not be written there; or one of the files is changed meanwhile.
    """
    if not folder:
        what = "is to be published, and the folder that was named for it is empty"
        raise RecipeError(path, [Problem(where=str(path), key="", what=what)], hint="lfbuild publish FILE FOLDER")
    for named in (path, *deltas):
        refuse_odd_name(named, place="a control file")
    refuse_shared_names((path, *deltas))
    index_url = index_address(f"{folder.rstrip('/')}/", path.name)
    shelf = shelf_for(index_url.removesuffix(INDEX_SUFFIX), network)
    with _as_they_are(path, *deltas) as confirm:
        order = _look_at(path, deltas, threads=threads, report=report)
        put = []
        with report.step(f"publish {path.name}", total=sum(size for _, _, size in order.files)) as step:
            for reference, source, size in order.files:
                url = address_beside(index_url, reference)
                if shelf.size_of(url) == size:  # under its root, or its digest: what is there can only be the same
                    step.advance(size)
                    continue
                shelf.put(source, url, cache=_FOREVER, on_bytes=step.advance, confirm=confirm)
                put.append(url)
        confirm()
        # Beyond this point the release is the newest.
        shelf.put(order.index, index_url, cache=_NEVER, on_bytes=lambda _: None)
    return Published(url=index_url, file_url=address_beside(index_url, order.place), put=(*put, index_url))


@contextlib.contextmanager
def _as_they_are(*paths: Path) -> Iterator[Callable[[], None]]:
    """Keep files from being changed in place; hands out what raises once somebody has done so all the same, or has
    given a name to another file."""
    with contextlib.ExitStack() as stack:
        facts = [(path, os.fstat(stack.enter_context(used(path)).fileno())) for path in paths]

        def confirm() -> None:
            for path, expected in facts:
                refuse_another(path, expected)

        yield confirm


@dataclass(frozen=True, kw_only=True, slots=True)
class _Order:
    """What is to be put where, seen from the control file."""

    place: str
    """Of the file itself."""
    files: tuple[tuple[str, Path | bytes, int], ...]
    """Each with its size."""
    index: bytes


def _look_at(path: Path, deltas: Sequence[Path], *, threads: int, report: Report) -> _Order:
    found, manifest = map_whole(path, threads=threads, report=report)
    place = place_of(found, path.name)
    records = [_delta_record(delta, found) for delta in deltas]
    described = describe_release(found, name=place, url=place, manifest=manifest, deltas=records)
    files: list[tuple[str, Path | bytes, int]] = [(place, path, found.size_bytes)]
    files += [(record.url, delta, record.size_bytes) for record, delta in zip(records, deltas, strict=True)]
    if described.index.leaves is not None:
        files.append((described.index.leaves.url, described.leaves, len(described.leaves)))
    return _Order(place=place, files=tuple(files), index=described.index.to_bytes())


def _delta_record(delta: Path, found: FileMap) -> DeltaRecord:
    """One made otherwise makes the same file, and is another one all the same: so its digest is a part of its place."""
    record = delta_record(delta, found, url="")
    return replace(record, url=place_of(found, f"{record.blake3[:ROOT_DIGITS]}/{delta.name}"))
