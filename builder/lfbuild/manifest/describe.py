"""Makes a manifest's records from what was written. Values in, values out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lfbuild.archive.deflate import ENCODER, LEVEL
from lfbuild.manifest.model import Encoding, Head, MemberRecord, ModelRecord, Origin, RegionRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lfbuild.archive.deflate import Decoded
    from lfbuild.archive.hashing import Digests
    from lfbuild.archive.writer import Entry
    from lfbuild.formats.model import ModelFacts
    from lfbuild.manifest.model import Place, Role


def describe_member(
    entry: Entry,
    *,
    role: Role,
    place: Place,
    index: str = "",
    license: str = "",  # noqa: A002  # the field's name in the manifest and in every package index
    origin: Origin | None = None,
    facts: ModelFacts | None = None,
    encoding: Encoding | None = None,
) -> MemberRecord:
    """The record of a member that was written."""
    return MemberRecord(
        name=entry.name,
        role=role,
        place=place,
        size_bytes=entry.record.stored_size,
        root=entry.index.root,
        index=index,
        license=license,
        origin=origin,
        model=describe_model(facts) if facts else None,
        encoding=encoding,
    )


def describe_model(facts: ModelFacts) -> ModelRecord:
    """The facts of a model as the manifest keeps them."""
    return ModelRecord(
        architecture=facts.architecture,
        name=facts.name,
        parameters=facts.parameters,
        quantization=facts.quantization,
        context_length=facts.context_length,
        chat_template_sha256=facts.chat_template_sha256,
    )


def describe_encoding(decoded: Decoded, *, encoder_version: str) -> Encoding:
    """How a deflated member was made, and what it decodes to; without a version nobody knows what made it."""
    return Encoding(
        decoded_size=decoded.size_bytes,
        decoded_root=decoded.root,
        encoder=ENCODER if encoder_version else "",
        encoder_version=encoder_version,
        level=LEVEL if encoder_version else 0,
    )


def describe_head(
    digests: Digests, *, kind: Literal["engine", "launcher"], program: str, index: str, own_members: int
) -> Head:
    """The record of a head."""
    return Head(
        kind=kind,
        program=program,
        size_bytes=digests.index.cuts.size_bytes,
        root=digests.index.root,
        index=index,
        own_members=own_members,
    )


def describe_spare(spans: Iterable[tuple[int, int]], *, start: int, end: int) -> tuple[RegionRecord, ...]:
    """The room between `start` and `end` that none of the spans takes up."""
    regions = []
    for first, last in [*sorted(span for span in spans if span[0] < end), (end, end)]:
        if first > start:
            regions.append(RegionRecord(kind="spare", offset=start, size_bytes=first - start))
        start = max(start, last)
    return tuple(regions)
