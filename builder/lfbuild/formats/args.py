"""Default arguments in a file: the member `.args`, in both grammars that llamafile has had (docs/formats/args.md).

* `cosmo`: tokens separated by white space; `#` at the start of a token is a comment to the end of the line; `'…'` is
  literal, `"…"` and backslashes take C escapes; `$NAME` and `${NAME}` are replaced from the environment. Since
  llamafile 0.8.17, and ours.
* `lines`: one argument a line, nothing quoted. Up to llamafile 0.8.16.

A bare `...` stands for the arguments of the user; where there is none they come last. What lfbuild writes reads the
same in both wherever the arguments have nothing to quote.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from lfbuild.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ARGS_NAME: Final = ".args"
USERS_OWN: Final = "..."
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-][A-Za-z0-9_@%+=:,./#~-]*")
_SPACE = " \t\r\n\f\v"
_ESCAPES = {"a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def verb_member(verb: str) -> str:
    """The member that holds the default arguments of a verb that is not the default one."""
    return f".lfbuild/args/{verb}"


def args_to_bytes(arguments: Sequence[str]) -> bytes:
    """Write arguments one a line; `...` stays bare, everything else that needs it is quoted.

    Raises:
        FormatError: an argument has a NUL, which no program can be given.
    """
    for argument in arguments:
        if "\0" in argument:
            raise FormatError(ARGS_NAME, f"the argument {argument!r} contains a NUL byte")
    return "".join(f"{_quote(argument)}\n" for argument in arguments).encode()


def parse_args(data: bytes, *, environment: Mapping[str, str], where: str = ARGS_NAME) -> list[str]:
    """Read the `cosmo` grammar; `...` is returned as it stands.

    Raises:
        FormatError: a quote is never closed, or the text is not UTF-8.
    """
    try:
        return _Tokens(data.decode(), environment, where).all()
    except UnicodeDecodeError as error:
        raise FormatError(where, "the default arguments are not UTF-8") from error


def parse_args_lines(data: bytes) -> list[str]:
    """Read the `lines` grammar: blank lines are skipped, nothing else means anything."""
    return [line for line in data.decode("utf-8", "replace").replace("\r", "\n").split("\n") if line]


def with_users_own(arguments: Sequence[str], own: Sequence[str]) -> list[str]:
    """Put the user's arguments where the first `...` stands, or at the end."""
    if USERS_OWN not in arguments:
        return [*arguments, *own]
    place = arguments.index(USERS_OWN)
    return [*arguments[:place], *own, *arguments[place + 1 :]]


def _quote(argument: str) -> str:
    if argument == USERS_OWN or _PLAIN.fullmatch(argument):
        return argument
    if "'" not in argument:
        return f"'{argument}'"
    escaped = re.sub(r'(["\\$])', r"\\\1", argument)
    return '"' + escaped.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + '"'


class _Tokens:
    """One pass over the text; a token is the sum of its plain, quoted and escaped pieces."""

    def __init__(self, text: str, environment: Mapping[str, str], where: str) -> None:
        self._text, self._environment, self._where = text, environment, where
        self._at = 0

    def all(self) -> list[str]:
        """Every token."""
        tokens = []
        while self._skip_to_token():
            tokens.append(self._token())
        return tokens

    def _skip_to_token(self) -> bool:
        text = self._text
        while self._at < len(text):
            if text[self._at] == "#":
                end = text.find("\n", self._at)
                self._at = len(text) if end < 0 else end
            elif text[self._at] in _SPACE:
                self._at += 1
            else:
                return True
        return False

    def _token(self) -> str:
        text, token = self._text, ""
        while self._at < len(text) and (char := text[self._at]) not in _SPACE:
            self._at += 1
            if char == "'":
                token += self._literal()
            elif char == '"':
                token += self._quoted()
            elif char == "\\":
                token += self._escape()
            elif char == "$":
                token += self._variable()
            else:
                token += char
        return token

    def _literal(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise self._unclosed("'")
        piece = self._text[self._at : end]
        self._at = end + 1
        return piece

    def _quoted(self) -> str:
        piece = ""
        while self._at < len(self._text):
            char = self._text[self._at]
            self._at += 1
            if char == '"':
                return piece
            piece += self._escape() if char == "\\" else self._variable() if char == "$" else char
        raise self._unclosed('"')

    def _escape(self) -> str:
        if self._at >= len(self._text):
            return "\\"
        char = self._text[self._at]
        self._at += 1
        if char == "\n":
            return ""  # a continued line
        if char == "x" and (match := re.compile(r"[0-9a-fA-F]{1,2}").match(self._text, self._at)):
            self._at = match.end()
            return chr(int(match[0], 16))
        if match := re.compile(r"[0-7]{1,3}").match(self._text, self._at - 1):
            self._at = match.end()
            return chr(int(match[0], 8) & 0xFF)
        return _ESCAPES.get(char, char)

    def _variable(self) -> str:
        match = re.compile(r"\{([A-Za-z_0-9]+)\}|([A-Za-z_0-9]+)").match(self._text, self._at)
        if match is None:
            return "$"
        self._at = match.end()
        return self._environment.get(match[1] or match[2], "")

    def _unclosed(self, quote: str) -> FormatError:
        return FormatError(self._where, f"a {quote} is opened and never closed")
