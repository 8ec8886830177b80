"""Default arguments under another engine: flags that it no longer has, and what stands for them now.

Engines drop flags, and a file that stores one of them does not start any more (llamafile's issue 955). Which flags an
engine has is known for sure of one that lfbuild compiled; of any other only whether their text is in its bytes, as
nobody runs a file to learn about it. A text that is absent is no flag of it, unless the engine puts its flags together;
one that is there may stand in some message only.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lfbuild.errors import FormatError
from lfbuild.formats.args import ARGS_NAME, AS_THEY_STAND, USERS_OWN, args_to_bytes, is_plain, parse_args, verb_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

MODEL_FLAGS: Final = ("-m", "--model", "--mmproj", "-mm", "--lora", "-md", "--model-draft")
"""Flags whose value is a GGUF: what they name may be a member."""
_WEIGHTS_FLAGS: Final = ("-m", "--model")


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """A flag that newer engines have not, and what does the same there."""

    old: str
    new: tuple[str, ...]
    """Nothing, if newer engines do so anyway."""
    why: str


MIGRATIONS: Final = (
    Migration(old="--nobrowser", new=(), why="newer engines open no browser"),
    Migration(old="--no-mmap", new=("--load-mode", "none"), why="--load-mode has taken its place"),
    Migration(old="--mmap", new=(), why="newer engines map weights anyway"),
    Migration(old="--v2", new=(), why="newer engines have one server only"),
)
"""No row is believed without a look: the engine must lack the old flag and have the new one."""


_MODES: Final = {"--server": "serve", "--chat": "cli", "--cli": "completion"}
"""What tells Mozilla's engines what to do, and the verb that says so to llama.cpp's."""
_OF_THE_SERVER: Final = ("--v2", "--host", "--port")


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownFlags:
    """What is known of an engine's flags."""

    present: frozenset[str]
    """Of those that were asked for."""
    sure: bool
    """Whether the engine's own list was read; else its bytes were searched."""
    bare_names: bool = False
    """Whether the engine looks for a model that is no file in its own: Mozilla's before 0.10."""
    verbs: bool = False
    """Whether the engine wants a verb first: llama.cpp's own program, and not Mozilla's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MigratedArgs:
    """Default arguments as another engine understands them."""

    data: bytes
    verb: str = ""
    """The one that was put in front."""
    told: str = ""
    """What was done to them; empty if they are as they were."""
    notes: tuple[str, ...]
    """What was changed, and what nobody can change by rule."""


class _Telling:
    """What is said of one text: what becomes another or, where it is left as it is, what should."""

    def __init__(self, member: str, *, by_hand: bool) -> None:
        self.member, self.notes = member, list[str]()
        self._becomes = ("should become", "should be dropped") if by_hand else ("becomes", "is dropped")

    def becomes(self, old: str, new: str, why: str) -> None:
        """A flag that is another from now on; `new` is empty for one that is dropped."""
        becomes, is_dropped = self._becomes
        self.say(f"{old} {f'{becomes} {new}' if new else is_dropped}: {why}")

    def say(self, what: str) -> None:
        """Anything else."""
        self.notes.append(f"{self.member}: {what}")


def flags_of(data: bytes) -> frozenset[str]:
    """Every argument that looks like a flag; a text that cannot be read has none that could be told."""
    try:
        tokens = parse_args(data, environment=AS_THEY_STAND)
    except FormatError:
        return frozenset()
    return frozenset(_flags(tokens))


def asked_for(flags: Iterable[str]) -> frozenset[str]:
    """What has to be looked for in an engine to check and migrate these flags."""
    return frozenset(flags) | {flag for item in MIGRATIONS for flag in item.new if flag.startswith("--")}


def migrate_args(data: bytes, known: KnownFlags, *, members: Collection[str], member: str) -> MigratedArgs:
    """The same arguments for an engine with these flags; `members` are names of models in the file.

    Comments, quotes and variables stay as somebody wrote them: such a text is left as it is, and what it needs is told.
    A verb is put in front of any text.
    """
    try:
        tokens = parse_args(data, environment=AS_THEY_STAND, where=member)
    except FormatError as error:
        return MigratedArgs(data=data, notes=(f"{member}: {error.what}, so its flags were not checked",))
    by_hand = not is_plain(data, tokens)
    telling = _Telling(member, by_hand=by_hand)
    verb, changed = _with_verb(tokens, known, telling) if member == ARGS_NAME else ("", tokens)
    changed = list(_without_old(changed, known, telling))
    if not known.bare_names:
        changed = list(_named_in_file(changed, members, telling))
    told = "arguments begin with a verb" if verb else ""
    if changed != tokens and by_hand:
        telling.say(f"is written by hand and stays so, so the file may not start: {_by_args(member)}")
    elif changed != tokens:
        data, told = args_to_bytes(changed), "arguments are changed for the engine"
    front = args_to_bytes([verb]) if verb else b""
    return MigratedArgs(data=front + data, verb=verb, told=told, notes=tuple(telling.notes))


def _by_args(member: str) -> str:
    verb = "" if member == ARGS_NAME else f"{member.rpartition('/')[2]}="
    return f"set it with --args {verb}'…'"


def _with_verb(tokens: list[str], known: KnownFlags, telling: _Telling) -> tuple[str, list[str]]:
    """The verb that is to stand in front, and the arguments behind it."""
    present = verb_of(tokens)
    if known.verbs and not present:
        verb = _verb_for(tokens)
        telling.say(f"begins with the verb {verb} from now on: the engine starts nothing without one")
        return verb, list(_without_modes(tokens, telling))
    if present and not known.verbs:
        telling.say(f"begins with the verb {present}, and the engine may know no verbs")
    return "", tokens


def _verb_for(tokens: list[str]) -> str:
    """What Mozilla's engine does with these arguments; without any it chats, with a server behind that."""
    flags = set(_flags(tokens))
    told = next((verb for flag, verb in _MODES.items() if flag in flags), "")
    return told or ("serve" if flags.intersection(_OF_THE_SERVER) else "cli")


def _without_modes(tokens: list[str], telling: _Telling) -> Iterator[str]:
    for token in tokens:
        if token in _MODES:
            telling.becomes(token, "", "the verb says so")
        else:
            yield token


def _without_old(tokens: list[str], known: KnownFlags, telling: _Telling) -> Iterator[str]:
    table = {item.old: item for item in MIGRATIONS}
    for token in tokens:
        name = token.partition("=")[0]
        if not looks_like_flag(name) or name in known.present:
            yield token
            continue
        item = table.get(name)
        if item is not None and all(flag in known.present for flag in item.new if flag.startswith("--")):
            telling.becomes(name, " ".join(item.new), item.why)
            yield from item.new
            continue
        how = "the engine has no such flag" if known.sure else "the engine's bytes have no such text"
        telling.say(f"{name} may be refused: {how}")
        yield token


def _named_in_file(tokens: Iterable[str], members: Collection[str], telling: _Telling) -> Iterator[str]:
    """`-m name`, which only older engines look for in their own file, as `-m /zip/name`."""
    before = ""
    for token in tokens:
        if before in MODEL_FLAGS and token in members:
            why = "engines look for a bare name outside of the file"
            telling.becomes(f"{before} {token}", f"{before} /zip/{token}", why)
            yield f"/zip/{token}"
        else:
            yield token
        before = token


def naming(tokens: Sequence[str], member: str) -> list[int]:
    """Which of the arguments name a member: as `/zip/NAME`, or bare behind a flag of models, as in older llamafiles."""
    return [
        at
        for at, token in enumerate(tokens)
        if token == f"/zip/{member}" or (token == member and at > 0 and tokens[at - 1] in MODEL_FLAGS)
    ]


def model_arguments(tokens: Sequence[str], members: Collection[str], *, verb: str = "") -> Iterator[tuple[str, str]]:
    """Each flag that names a model inside the file, and what it names; `bench` takes weights alone."""
    flags = _WEIGHTS_FLAGS if verb == "bench" else MODEL_FLAGS
    for flag, value in itertools.pairwise(tokens):
        if flag in flags and (value.startswith("/zip/") or value in members):
            yield flag, value


def absent(tokens: Iterable[str], names: Collection[str]) -> Iterator[str]:
    """What is named inside the file and is none of its members, nor a folder of some."""
    for token in tokens:
        path = token.removeprefix("/zip/").rstrip("/")
        if token.startswith("/zip/") and path and not any(f"{name}/".startswith(f"{path}/") for name in names):
            yield token


def looks_like_flag(token: str) -> bool:
    """A dash and a letter: `-5` and `-` are values."""
    return token != USERS_OWN and token.startswith("-") and token.lstrip("-")[:1].isalpha()


def find_texts(pieces: Iterable[bytes], wanted: Collection[str]) -> frozenset[str]:
    """Which texts stand in a program as C has them: whole, with a NUL behind; linkers share common ends."""
    if not wanted:
        return frozenset()
    texts = {text: text.encode() + b"\0" for text in wanted}
    longest = max(map(len, texts.values()))
    found: set[str] = set()
    before = b""
    for piece in pieces:
        whole = before + piece
        found.update(text for text, raw in texts.items() if raw in whole)
        before = whole[-longest:]
    return frozenset(found)


def _flags(tokens: Iterable[str]) -> Iterator[str]:
    return (token.partition("=")[0] for token in tokens if looks_like_flag(token))
