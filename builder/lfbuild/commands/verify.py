"""`verify`: is every byte what was promised. Never runs the file, never stops at the first finding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.archive.check import check_members
from lfbuild.archive.reader import Reader, opened, read_at
from lfbuild.commands.models import load_header
from lfbuild.errors import FormatError, IntegrityError, LfbuildError
from lfbuild.formats.gguf import MAGIC
from lfbuild.manifest.verify import Finding, load_manifest, verify_content, verify_structure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lfbuild.report import Report, Step


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What was checked, and everything that was found."""

    path: Path
    checked: str
    """What the file was held against: `manifest`, `manifest (structure)`, `checksums`, `structure`, `header`."""
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def exit_code(self) -> int:
        """0, or the code of the error that the worst finding is."""
        if self.ok:
            return 0
        untrue = any(finding.verdict == "untrue" for finding in self.findings)
        return IntegrityError.exit_code if untrue else FormatError.exit_code


def verify(path: Path, *, quick: bool, threads: int, report: Report) -> Verification:
    """Hold a file of ours against its manifest, another ZIP against its checksums, a GGUF against its header.

    Raises:
        FormatError: it is none of these.
        HostError: it cannot be read.
    """
    with opened(path) as file:
        is_gguf = read_at(file.fileno(), 0, len(MAGIC)) == MAGIC
    if is_gguf:
        load_header(path, where=str(path))
        return Verification(path=path, checked="header", findings=())
    with Reader.open(path) as reader:
        try:
            ours = load_manifest(reader)
        except LfbuildError as error:
            return Verification(path=path, checked="manifest", findings=(_as_finding(error, reader),))
        if ours is None:
            foreign = tuple(_verify_foreign(reader, quick=quick, report=report))
            return Verification(path=path, checked="structure" if quick else "checksums", findings=foreign)
        manifest, seal = ours
        findings = list(verify_structure(reader, manifest, seal))
        if not quick:
            total = manifest.head.size_bytes + sum(member.size_bytes for member in manifest.members)
            with report.step("verifying", total=total) as step:
                findings += verify_content(reader, manifest, threads=threads, on_bytes=_teller(step))
        return Verification(
            path=path, checked="manifest (structure)" if quick else "manifest", findings=tuple(findings)
        )


def _verify_foreign(reader: Reader, *, quick: bool, report: Report) -> Iterator[Finding]:
    """Somebody else's ZIP has no manifest: its structure and its own checksums are all there is."""
    total = sum(record.decoded_size for record in reader.records.values())
    with report.step("verifying", total=None if quick else total) as step:
        yield from check_members(reader, content=not quick, on_bytes=_teller(step))


def _teller(step: Step) -> Callable[[int, str], None]:
    return lambda count, name: step.advance(count, detail=name)


def _as_finding(error: LfbuildError, reader: Reader) -> Finding:
    """What kept the manifest from being read, as the one finding."""
    subject = error.where.removeprefix(reader.where).lstrip(": ") or "seal"
    untrue = isinstance(error, IntegrityError)
    return Finding(subject=subject, what=error.what, verdict="untrue" if untrue else "malformed")
