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
    from collections.abc import Iterator, Mapping, Sequence

ARGS_NAME: Final = ".args"
VERB_ARGS_FOLDER: Final = ".lfbuild/args/"
USERS_OWN: Final = "..."
EVERYDAY_VERBS: Final = ("cli", "completion", "serve", "bench")
"""Verbs that know the file's model whatever else is said of arguments."""
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-][A-Za-z0-9_@%+=:,./#~-]*")
_SPACE = " \t\r\n\f\v"
_PLACEHOLDER = re.compile(r"\.\.\.(?=[ \t\r\n\f\v]|\Z)")
_CONTINUATION = re.compile(r"\\\r*\n")
_NUMBER = re.compile(r"([0-9]{1,3})|x([0-9a-fA-F]{0,2})")
_VARIABLE = re.compile(r"\{([^}]*)\}|([A-Za-z_0-9]+)")
_ESCAPES = {"a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class _AsTheyStand(dict[str, str]):
    """An environment in which every variable has its own name as value."""

    def get(self, key: str, default: object = None) -> str:
        del default
        return f"${key}"


AS_THEY_STAND: Final[Mapping[str, str]] = _AsTheyStand()
"""For who wants to know what is written, not what it means today: variables stay as they are."""


def verb_member(verb: str) -> str:
    """The member that holds the default arguments of a verb that is not the default one."""
    return f"{VERB_ARGS_FOLDER}{verb}"


def verb_of(tokens: Sequence[str]) -> str:
    """The default verb, with which `.args` begins; empty if it begins with an argument, as in Mozilla's files."""
    return tokens[0] if tokens and tokens[0] != USERS_OWN and not tokens[0].startswith("-") else ""


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
    tokens = _Tokens(data, environment)
    arguments = [USERS_OWN if token is None else _decoded(token, where) for token in tokens]
    if tokens.unclosed:
        raise FormatError(where, f"a {tokens.unclosed} is opened and never closed")
    return arguments


def expand_args(
    data: bytes, own: Sequence[str], *, environment: Mapping[str, str], where: str = ARGS_NAME
) -> list[str]:
    """What the program is given: the `cosmo` grammar read as cosmopolitan does, with the user's own arguments in it.

    A quoted `'...'` is an ordinary argument, only the first bare one counts, and an unclosed quote ends with the text.

    Raises:
        FormatError: an argument is not UTF-8.
    """
    arguments: list[str] = []
    left = list(own)
    for token in _Tokens(data, environment):
        if token is None:
            arguments += left
            left = []
        else:
            arguments.append(_decoded(token, where))
    return arguments + left


def is_plain(data: bytes, tokens: Sequence[str]) -> bool:
    """Whether `tokens`, read from `data`, can be written anew and only white space gets lost.

    A comment, a quote that was not needed, a variable: that is how somebody wanted it, and it would not come back.
    """
    return args_to_bytes(tokens).split() == data.split()


def parse_args_lines(data: bytes) -> list[str]:
    """Read the `lines` grammar: blank lines are skipped, `\\n` is a newline, nothing else means anything."""
    lines = data.decode("utf-8", "replace").replace("\r", "\n").split("\n")
    return [line.replace("\\n", "\n") for line in lines if line]


def _quote(argument: str) -> str:
    if argument == USERS_OWN or _PLAIN.fullmatch(argument):
        return argument
    if "'" not in argument:
        return f"'{argument}'"
    escaped = re.sub(r'(["\\$])', r"\\\1", argument)
    return '"' + escaped.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + '"'


def _decoded(token: str, where: str) -> str:
    try:
        return token.partition("\0")[0].encode("latin-1").decode()  # no program can be given a NUL
    except UnicodeDecodeError as error:
        raise FormatError(where, "the default arguments are not UTF-8") from error


class _Tokens:
    """One pass over the text; a token is the sum of its plain, quoted and escaped pieces.

    The text is taken as bytes (each a character below 256), since an escape such as `\xc3` is a byte of UTF-8.
    """

    def __init__(self, data: bytes, environment: Mapping[str, str]) -> None:
        self._text, self._environment = data.decode("latin-1"), environment
        self._at = 0
        self.unclosed = ""
        """The quote that was still open at the end."""

    def __iter__(self) -> Iterator[str | None]:
        """Every token; None for a bare `...`."""
        text, token, inside = self._text, "", False
        while self._at < len(text):
            if text[self._at] in _SPACE:
                self._at += 1
                if inside:
                    yield token
                    token, inside = "", False
            elif match := _CONTINUATION.match(text, self._at):
                self._at, inside = match.end(), False  # the token goes on behind the white space of the next line
            elif not inside and text[self._at] == "#":
                end = text.find("\n", self._at)
                self._at = len(text) if end < 0 else end
            elif not inside and (match := _PLACEHOLDER.match(text, self._at)):
                self._at = match.end()
                yield None
            else:
                token, inside = token + self._piece(), True
        if token:  # an empty one that the end of the text cuts off is dropped
            yield token

    def _piece(self) -> str:
        char = self._text[self._at]
        if char == "'":
            return self._literal()
        if char == '"':
            return self._quoted()
        if char == "\\":
            return self._escape()
        if char == "$":
            return self._variable()
        self._at += 1
        return char

    def _literal(self) -> str:
        start = self._at + 1
        end = self._text.find("'", start)
        if end < 0:
            self.unclosed, end = "'", len(self._text)
        self._at = end + 1
        return self._text[start:end]

    def _quoted(self) -> str:
        self._at += 1
        piece = ""
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == '"':
                self._at += 1
                return piece
            if char == "\\":
                piece += self._quoted_escape()
            elif char == "$" and self._at + 1 == len(self._text):
                self._at += 1  # dropped, as nothing follows that would tell what it is
            elif char == "$":
                piece += self._variable()
            else:
                piece += char
                self._at += 1
        self.unclosed = '"'
        return piece

    def _escape(self) -> str:
        """Behind a backslash outside quotes: a letter of C's, or the character itself."""
        self._at += 1
        while self._text[self._at : self._at + 1] == "\r":
            self._at += 1
        char = self._text[self._at : self._at + 1]
        self._at += 1
        return _ESCAPES.get(char, char)

    def _quoted_escape(self) -> str:
        """Behind a backslash inside double quotes: also numbers, and the end of a line.

        A number that the end of the text cuts off is dropped.
        """
        if match := _CONTINUATION.match(self._text, self._at):
            self._at = match.end()
            return ""
        start = self._at
        while self._text[start + 1 : start + 2] == "\r":
            start += 1
        match = _NUMBER.match(self._text, start + 1)
        if match is None:
            return self._escape()
        self._at = match.end()
        octal, hexadecimal = match[1], match[2]
        whole = len(octal or "") == 3 or len(hexadecimal or "") == 2
        if not whole and self._at >= len(self._text):
            return ""
        return _octal(octal) if octal else chr(int(hexadecimal, 16)) if hexadecimal else "x"

    def _variable(self) -> str:
        match = _VARIABLE.match(self._text, self._at + 1)
        if match is None:
            start, brace = self._at, self._text[self._at + 1 : self._at + 2] == "{"
            self._at = len(self._text) if brace else start + 1  # an unclosed brace stands for itself
            return self._text[start : self._at]
        self._at = match.end()
        name = (match[1] if match[2] is None else match[2]).partition("\0")[0]
        value = self._environment.get(name.encode("latin-1").decode("utf-8", "surrogateescape"), "")
        return value.encode("utf-8", "surrogateescape").decode("latin-1")


def _octal(digits: str) -> str:
    """A byte by its number; cosmopolitan takes 8 and 9 for digits, too."""
    value = 0
    for digit in digits:
        value = 8 * value + int(digit)
    return chr(value & 0xFF)
