"""The release notes: what each file is, and what changed since earlier releases, in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lfbuild.release.changes import changes
from lfbuild.report import size_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lfbuild.release.facts import FileFacts, ReleaseFacts

NOTES_NAME: Final = "RELEASE.md"
_MARKUP = frozenset("\\`*[]<>&")
"""What begins markup in the middle of a line; `_` does not inside of words, and names are full of it."""


def notes_text(release: ReleaseFacts, previous: Sequence[ReleaseFacts]) -> str:
    """The notes of a release; `previous` are earlier ones, newest first."""
    return "\n".join([f"# {plain(release.title)}", "", *_lines(release, previous)]).rstrip() + "\n"


def _lines(release: ReleaseFacts, previous: Sequence[ReleaseFacts]) -> Iterator[str]:
    for file in release.files:
        yield from _file_lines(file)
        for earlier in previous:
            yield from _change_lines(file, earlier.file(file.name))


def _file_lines(file: FileFacts) -> Iterator[str]:
    yield f"## {plain(file.name)}"
    yield ""
    if file.manifest.release.description:
        yield plain(file.manifest.release.description)
        yield ""
    for name, value in facts_of(file):
        yield f"* {name}: {plain(value)}"
    yield ""


def facts_of(file: FileFacts) -> Iterator[tuple[str, str]]:
    """What people ask first, in pairs."""
    yield "size", size_words(file.size_bytes)
    yield "SHA-256", file.sha256
    if file.engine:
        toolchain = file.engine.toolchain
        yield "engine", f"{file.engine.name} {file.engine.version}, by {toolchain.kind} {toolchain.version}"
        yield "runs on", ", ".join(file.engine.targets)
    for model in file.models:
        facts = model.model
        words = [facts.name or facts.architecture, facts.quantization] if facts else [model.name]
        yield "model", " ".join([*filter(None, words), f"({model.license})" if model.license else ""]).strip()
    if file.manifest.release.license:
        yield "licence", file.manifest.release.license


def _change_lines(file: FileFacts, earlier: FileFacts | None) -> Iterator[str]:
    if earlier is None:
        return
    found = changes(earlier, file)
    yield f"### Since {plain(earlier.version or earlier.sha256[:12])}"
    yield ""
    if not found:
        yield "The same file."
    for change in found:
        yield f"* {plain(str(change))}"
    yield ""


def plain(text: str) -> str:
    """Text that Markdown and HTML show as it is: what a file says of itself is no markup of ours."""
    kept = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return "".join(f"\\{c}" if c in _MARKUP else c for c in kept)
