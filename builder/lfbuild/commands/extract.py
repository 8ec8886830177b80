"""`extract`: members as files of their own, each checked while it is written and complete under its final name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.archive.extract import extract_member, target_of
from lfbuild.archive.layout import check_names_differ
from lfbuild.archive.reader import Reader
from lfbuild.errors import HostError
from lfbuild.formats.blocks import BlockIndex
from lfbuild.formats.zip import STORED
from lfbuild.host.files import host_error, replacing
from lfbuild.host.room import refuse_full_disk_for_copy
from lfbuild.manifest.verify import load_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lfbuild.formats.blocks import Cuts
    from lfbuild.formats.zip import CentralRecord
    from lfbuild.manifest.model import Manifest
    from lfbuild.report import Report


def extract(
    path: Path, names: Sequence[str], *, directory: Path, force: bool, threads: int, report: Report
) -> tuple[Path, ...]:
    """Write the named members (all, if none is named) below `directory`; returns what was written.

    Raises:
        FormatError: a member is absent, unreadable, or its name leads out of `directory`.
        IntegrityError: a member's bytes are not the promised ones; its file is not written.
        HostError: a file is there already and `force` is not set, the disk has no room for all, or one cannot be
            written; members that were written before it stay.
    """
    with Reader.open(path) as reader:
        ours = load_manifest(reader)
        # All of the directory, not the table of names: in that, a name that stands twice is there once.
        records = [reader.record(name) for name in names] or [found.record for found in reader.directory.records]
        check_names_differ((record.name for record in records), where=reader.where)
        targets = [(record, target_of(record, directory, where=reader.where)) for record in records]
        files = [(record, target) for record, target in targets if not record.name.endswith("/")]
        if not force:
            _refuse_present([target for _, target in files])
        _refuse_full_disk(directory, reader, [record for record, _ in files])
        # Beyond this point nothing is decided any more.
        with report.step("extracting", total=sum(record.decoded_size for record, _ in files)) as step:
            for record, target in files:
                _make_folder(target.parent)
                cuts, root = _promised(reader, ours[0] if ours else None, record)
                with replacing(target, mode=_mode(record)) as file:
                    extract_member(reader, record, file, threads=threads, cuts=cuts, root=root, on_bytes=step.advance)
        return tuple(target for _, target in files)


def _promised(reader: Reader, manifest: Manifest | None, record: CentralRecord) -> tuple[Cuts | None, str]:
    """How a member is cut and the root it has, as the manifest says; nothing in somebody else's file."""
    member = manifest.member(record.name) if manifest else None
    if member is None:
        return None, ""
    if member.encoding is not None:
        return None, member.encoding.decoded_root
    if not member.index:
        return None, member.root
    return BlockIndex.parse(reader.read(member.index), where=f"{reader.where}: {member.index}").cuts, member.root


def _refuse_full_disk(directory: Path, reader: Reader, records: Sequence[CentralRecord]) -> None:
    stored = sum(record.decoded_size for record in records if record.method == STORED)
    refuse_full_disk_for_copy(
        directory,
        reader.descriptor,
        copied_bytes=stored,
        new_bytes=sum(record.decoded_size for record in records) - stored,
        needing="what is extracted needs",
    )


def _refuse_present(targets: Sequence[Path]) -> None:
    for target in targets:
        if target.exists() or target.is_symlink():
            raise HostError(target, "is there already", hint="--force replaces it")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise host_error(folder, error) from error


def _mode(record: CentralRecord) -> int:
    return 0o755 if record.mode & 0o111 else 0o644
