"""What changed from one file to the next, in words for people: engine, models, arguments, sizes, digests."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.report import size_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lfbuild.manifest.model import MemberRecord
    from lfbuild.release.facts import FileFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One thing that is otherwise than it was."""

    what: str
    old: str
    new: str

    def __str__(self) -> str:
        if not self.old:
            return f"{self.what}: {self.new}, which is new"
        if not self.new:
            return f"{self.what}: {self.old} is gone"
        return f"{self.what}: {self.old} → {self.new}"


def changes(old: FileFacts, new: FileFacts) -> tuple[Change, ...]:
    """Everything that a user might ask about; nothing if the two are the same file."""
    if old.sha256 == new.sha256:
        return ()
    found = [
        *_engine_changes(old, new),
        *_model_changes(old, new),
        *_argument_changes(old, new),
        *_other_changes(old, new),
        Change(what="size", old=size_words(old.size_bytes), new=size_words(new.size_bytes)),
        Change(what="SHA-256", old=old.sha256, new=new.sha256),
    ]
    return tuple(change for change in found if change.old != change.new)


def _engine_changes(old: FileFacts, new: FileFacts) -> Iterator[Change]:
    one, other = old.engine, new.engine
    versions = [f"{it.name} {it.version}" if it else "" for it in (one, other)]
    yield Change(what="engine", old=versions[0], new=versions[1])
    if one is None or other is None:
        return
    if one.version == other.version:
        yield Change(what="engine's source", old=one.source_sha256[:16], new=other.source_sha256[:16])
    yield Change(
        what="compiled by",
        old=f"{one.toolchain.kind} {one.toolchain.version}",
        new=f"{other.toolchain.kind} {other.toolchain.version}",
    )
    yield Change(what="systems", old=", ".join(one.targets), new=", ".join(other.targets))
    for target in sorted(old.cpus.keys() & new.cpus.keys()):
        yield Change(what=f"CPU levels of {target}", old=", ".join(old.cpus[target]), new=", ".join(new.cpus[target]))
    options = [" ".join(f"{name}={value}" for name, value in it.options) or "none" for it in (one, other)]
    yield Change(what="engine's options", old=options[0], new=options[1])


def _model_changes(old: FileFacts, new: FileFacts) -> Iterator[Change]:
    before, after = ({model.name: model for model in file.models} for file in (old, new))
    for name in sorted(before.keys() | after.keys()):
        one, other = before.get(name), after.get(name)
        if one and other and one.root != other.root and _model_words(one) == _model_words(other):
            yield Change(what=f"model {name}", old=f"content {one.root[:16]}", new=f"content {other.root[:16]}")
        else:
            yield Change(what=f"model {name}", old=_model_words(one), new=_model_words(other))


def _argument_changes(old: FileFacts, new: FileFacts) -> Iterator[Change]:
    yield Change(what="arguments", old=shlex.join(old.arguments), new=shlex.join(new.arguments))
    before, after = old.verb_arguments, new.verb_arguments
    for verb in sorted(before.keys() | after.keys()):
        words = [shlex.join(it.get(verb, ())) for it in (before, after)]
        yield Change(what=f"arguments of {verb}", old=words[0], new=words[1])


def _other_changes(old: FileFacts, new: FileFacts) -> Iterator[Change]:
    one, other = old.manifest, new.manifest
    yield Change(what="description", old=one.release.description, new=other.release.description)
    yield Change(what="licence", old=one.release.license, new=other.release.license)
    yield Change(what="homepage", old=one.release.homepage, new=other.release.homepage)
    yield Change(what="updates", old=one.update_url, new=other.update_url)
    before, after = ({it.name: it.root for it in file.manifest.members if it.role == "file"} for file in (old, new))
    for name in sorted(before.keys() | after.keys()):
        yield Change(what=f"file {name}", old=before.get(name, "")[:16], new=after.get(name, "")[:16])


def _model_words(model: MemberRecord | None) -> str:
    if model is None:
        return ""
    facts = model.model
    words = [facts.architecture, facts.quantization] if facts else []
    return " ".join(filter(None, [*words, size_words(model.size_bytes)]))
