"""What a source tree of llama.cpp tells about the program it makes: verbs, flags, model architectures.

Read from its text, as nobody runs a file to learn about it. A tree that is laid out otherwise tells less, never wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_FLAG = re.compile(r'"(-{1,2}[A-Za-z][A-Za-z0-9-]*)"')
# The lists of names that open each `common_arg(…)`: the flags, then perhaps their negations.
_COMMON_ARG = re.compile(r"common_arg\(\s*\{([^{}]*)\}\s*,(?:\s*\{([^{}]*)\})?")
# How tools with a parser of their own compare.
_COMPARED = re.compile(r'(?:==\s*|strcmp\([^,()]+,\s*)"(-{1,2}[A-Za-z][A-Za-z0-9-]*)"')
_VERB = re.compile(r'^\s*\{"([a-z][a-z-]*)",\s*"[^"]*",\s*\{([^{}]*)\},', re.MULTILINE)
_ARCHITECTURE = re.compile(r'\{\s*LLM_ARCH_\w+,\s*"([^"]+)"\s*\}')
_ALIAS = re.compile(r'"([a-z][a-z-]*)"')


@dataclass(frozen=True, kw_only=True, slots=True)
class Verb:
    """A first word that the program understands, with its other spellings."""

    name: str
    aliases: tuple[str, ...]


def read_flags(source: Path) -> frozenset[str]:
    """Every command line flag of the program: `-m`, `--model`, …; empty when the tree has no `common/arg.cpp`."""
    common = _text(source / "common" / "arg.cpp")
    tools = "".join(_text(path) for path in sorted((source / "tools").glob("*/*.cpp")))
    groups = (group for match in _COMMON_ARG.finditer(common) for group in match.groups(""))
    return frozenset(_flags_in(groups)) | frozenset(_COMPARED.findall(tools))


def read_verbs(source: Path) -> tuple[Verb, ...]:
    """The verbs of `app/llama.cpp`, in its order."""
    return tuple(
        Verb(name=match[1], aliases=tuple(_ALIAS.findall(match[2])))
        for match in _VERB.finditer(_text(source / "app" / "llama.cpp"))
    )


def read_aliases(source: Path) -> str:
    """Other spellings of verbs as one line: `server=serve,client=cli`."""
    return ",".join(f"{alias}={verb.name}" for verb in read_verbs(source) for alias in verb.aliases)


def read_architectures(source: Path) -> frozenset[str]:
    """The model architectures that the engine has code for, from `src/llama-arch.cpp`; empty where that is absent."""
    return frozenset(_ARCHITECTURE.findall(_text(source / "src" / "llama-arch.cpp")))


def _flags_in(texts: Iterable[str]) -> Iterable[str]:
    return (flag for text in texts for flag in _FLAG.findall(text))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
