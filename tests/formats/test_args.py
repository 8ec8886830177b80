"""Default arguments: both grammars as llamafile reads them, and what is written reads the same in both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbuild.errors import FormatError
from lfbuild.formats.args import (
    AS_THEY_STAND,
    args_to_bytes,
    expand_args,
    is_plain,
    parse_args,
    parse_args_lines,
    verb_member,
)

ENVIRONMENT = {"HOME": "/home/ada", "EMPTY": "", "TWO": "a b", "É": "è"}
VECTORS = Path(__file__).parents[1] / "vectors" / "args.json"
ARGUMENTS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=6)


def parsed(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return parse_args(data, environment=ENVIRONMENT)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", []),
        (" \t\r\n\f\v", []),
        ("-m\n/zip/a.gguf\n...\n", ["-m", "/zip/a.gguf", "..."]),
        ("-m a  -c\t512", ["-m", "a", "-c", "512"]),
        ("# a comment\n-m a # another\n#end", ["-m", "a"]),
        ("a#b", ["a#b"]),
        ("'a b' 'c\\n' '$HOME' '#'", ["a b", "c\\n", "$HOME", "#"]),
        ('"a b" "c\\n" "$HOME"', ["a b", "c\n", "/home/ada"]),
        ("this\\ is' a single arg'\"ok\"# # comment", ["this is a single argok#"]),
        ('"\\x41\\x4a\\x" "\\101\\7" "\\q\\"\\\\\\$"', ["AJx", "A\x07", 'q"\\$']),
        ('"\\xc3\\xa9"', ["é"]),
        ('"a\\\nb\\\r\nc"', ["abc"]),
        ("a\\nb\\te\\e", ["a\nb\te\x1b"]),
        ("\\x41 \\101", ["x41", "101"]),
        ("C:\\\\new", ["C:\\new"]),
        ("-m \\\n  a \\\r\n b", ["-m", "a", "b"]),
        ("one\\\n  word", ["oneword"]),
        ("a\\", ["a"]),
        ("a\\\rn", ["a\n"]),
        ("$HOME/x ${HOME}/y $NONE- ${NONE}", ["/home/ada/x", "/home/ada/y", "-", ]),
        ("$TWO", ["a b"]),
        ("$ $5 $$HOME a$", ["$", "", "$/home/ada", "a$"]),
        ("${HOME", ["${HOME"]),
        ('"${HOME', None),
        ("${É}", ["è"]),
        ("'' x", ["", "x"]),
        ('x ""\n', ["x", ""]),
        ("x ''", ["x"]),
        (".. .... ...x a...", ["..", "....", "...x", "a..."]),
        ("...", ["..."]),
    ],
)  # fmt: skip
def test_the_grammar_of_cosmopolitan(text: str, arguments: list[str] | None) -> None:
    if arguments is None:
        with pytest.raises(FormatError):
            parsed(text)
    else:
        assert parsed(text) == arguments


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_quote_that_is_never_closed_is_refused(quote: str) -> None:
    with pytest.raises(FormatError) as caught:
        parsed(f"-p {quote}hello")

    assert str(caught.value) == f".args: a {quote} is opened and never closed"


def test_arguments_that_are_no_utf_8_are_refused() -> None:
    with pytest.raises(FormatError) as caught:
        parsed(b"-p \xff")

    assert str(caught.value) == ".args: the default arguments are not UTF-8"


def test_an_argument_with_nul_cannot_be_written() -> None:
    with pytest.raises(FormatError) as caught:
        args_to_bytes(["a\0b"])

    assert str(caught.value) == r".args: the argument 'a\x00b' contains a NUL byte"


def test_arguments_are_written_one_a_line_and_quoted_where_they_must() -> None:
    arguments = ["cli", "-m", "/zip/a.gguf", "-p", "two words", "it's $5\n", "#", "", "..."]

    assert args_to_bytes(arguments).decode().splitlines() == [
        "cli", "-m", "/zip/a.gguf", "-p", "'two words'", r'"it' + r"'s \$5\n" + '"', "'#'", "''", "...",
    ]  # fmt: skip


@given(ARGUMENTS)
def test_whatever_is_written_is_read_again(arguments: list[str]) -> None:
    assert parse_args(args_to_bytes(arguments), environment=ENVIRONMENT) == arguments


@given(st.lists(st.from_regex(r"[A-Za-z0-9_@%+=:,./-]+", fullmatch=True)))
def test_what_needs_no_quotes_reads_the_same_in_both_grammars(arguments: list[str]) -> None:
    data = args_to_bytes(arguments)

    assert parse_args(data, environment={}) == parse_args_lines(data) == arguments


@given(st.binary())
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        parse_args(data, environment=ENVIRONMENT)
        expand_args(data, ["own"], environment=ENVIRONMENT)
    except FormatError:
        pass


def test_the_older_grammar_takes_lines_as_they_are() -> None:
    assert parse_args_lines(b"-p\r\n\r\n two 'words' # $HOME\n\xff\n...") == ["-p", " two 'words' # $HOME", "�", "..."]
    assert parse_args_lines(b"User:\\nBot:\n") == ["User:\nBot:"]


def test_only_the_first_bare_dots_count_and_quoted_ones_are_an_argument() -> None:
    assert expand_args(b"'...' ... x ... \"...\"\n", ["own"], environment={}) == ["...", "own", "x", "..."]


def test_a_program_accepts_a_quote_that_the_end_closes() -> None:
    assert expand_args(b"-p 'hello", ["own"], environment={}) == ["-p", "hello", "own"]


def test_the_arguments_of_other_verbs_are_members_of_their_own() -> None:
    assert verb_member("serve") == ".lfbuild/args/serve"


def vectors() -> list[dict[str, object]]:
    return json.loads(VECTORS.read_text(encoding="utf-8")) if VECTORS.is_file() else []


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: str(vector.get("name", vector["text"]))[:40])
def test_python_and_c_read_the_same(vector: dict[str, object]) -> None:
    text, own, environment = vector["text"], vector.get("user", []), vector.get("env", {})
    assert isinstance(text, str)
    assert isinstance(own, list)
    assert isinstance(environment, dict)

    assert expand_args(text.encode(), own, environment=environment) == vector["argv"]


@pytest.mark.parametrize(
    ("arguments", "own", "expected"),
    [
        (["-c", "1", "..."], ["-p", "x"], ["-c", "1", "-p", "x"]),
        (["-c", "...", "1"], ["-p", "x"], ["-c", "-p", "x", "1"]),
        (["-c", "1"], ["-p"], ["-c", "1", "-p"]),
        (["..."], [], []),
    ],
)
def test_the_users_own_arguments_stand_where_the_dots_do(
    arguments: list[str], own: list[str], expected: list[str]
) -> None:
    assert expand_args(args_to_bytes(arguments), own, environment={}) == expected


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("-m /zip/a.gguf --server ...\n", True),
        ("-p\n'a  b'\n", True),
        ("-p 'a'", False),
        ("-p $WORDS", False),
        ("-p '$WORDS'", True),
        ("-p a # why", False),
        ("-p '...'", False),
        ("-p \\\n a", False),
    ],
)
def test_a_text_is_plain_where_writing_it_anew_loses_white_space_only(text: str, plain: bool) -> None:
    assert is_plain(text.encode(), parse_args(text.encode(), environment=AS_THEY_STAND)) is plain
