"""Stored arguments under another engine: what is changed by rule, what is only told, and how sure that is."""

from __future__ import annotations

import pytest

from lfbuild.formats.flags import KnownFlags, absent, asked_for, find_texts, flags_of, migrate_args, naming

NEWER = KnownFlags(present=frozenset({"-m", "-c", "--load-mode"}), sure=True)


def migrated(*tokens: str, known: KnownFlags = NEWER, members: tuple[str, ...] = ()) -> tuple[str, tuple[str, ...]]:
    data = "".join(f"{token}\n" for token in tokens).encode()
    result = migrate_args(data, known, members=members, member=".args")
    return " ".join(result.data.decode().split("\n")[:-1]), result.notes


def test_flags_are_found_in_arguments() -> None:
    assert flags_of(b"cli\n-m\n/zip/a.gguf\n--temp=0.5\n-5\n-\n...\n") == {"-m", "--temp"}
    assert flags_of(b"'never closed") == frozenset()


def test_what_migrations_need_is_asked_for_too() -> None:
    assert asked_for(["-m"]) == {"-m", "--load-mode"}


def test_a_flag_that_the_engine_has_stays() -> None:
    assert migrated("-m", "/zip/a.gguf", "...") == ("-m /zip/a.gguf ...", ())


def test_a_flag_that_is_gone_is_dropped() -> None:
    assert migrated("-m", "/zip/a.gguf", "--nobrowser", "...") == (
        "-m /zip/a.gguf ...",
        (".args: --nobrowser is dropped: newer engines open no browser",),
    )


def test_a_flag_that_has_another_name_gets_it() -> None:
    assert migrated("--no-mmap", "...") == (
        "--load-mode none ...",
        (".args: --no-mmap becomes --load-mode none: --load-mode has taken its place",),
    )


def test_a_flag_is_not_renamed_to_one_that_the_engine_has_not_either() -> None:
    known = KnownFlags(present=frozenset({"-m"}), sure=True)

    assert migrated("--no-mmap", "...", known=known) == (
        "--no-mmap ...",
        (".args: --no-mmap may be refused: the engine has no such flag",),
    )


def test_what_was_searched_for_in_bytes_is_told_as_such() -> None:
    known = KnownFlags(present=frozenset(), sure=False)

    assert migrated("--foo", known=known)[1] == (".args: --foo may be refused: the engine's bytes have no such text",)


def test_a_bare_name_of_a_member_becomes_a_path_in_the_file() -> None:
    assert migrated("-m", "a.gguf", "...", members=("a.gguf",)) == (
        "-m /zip/a.gguf ...",
        (".args: -m a.gguf becomes -m /zip/a.gguf: engines look for a bare name outside of the file",),
    )
    assert migrated("-m", "b.gguf", "...", members=("a.gguf",)) == ("-m b.gguf ...", ())


def test_an_engine_that_looks_for_bare_names_in_its_file_keeps_them() -> None:
    known = KnownFlags(present=frozenset({"-m"}), sure=False, bare_names=True)

    assert migrated("-m", "a.gguf", "...", known=known, members=("a.gguf",)) == ("-m a.gguf ...", ())


def test_a_text_in_one_line_is_changed_as_one_in_lines_is() -> None:
    result = migrate_args(b"-m /zip/a.gguf  --nobrowser --no-mmap\n", NEWER, members=(), member=".args")

    assert result.data == b"-m\n/zip/a.gguf\n--load-mode\nnone\n"
    assert result.told == "arguments are changed for the engine"
    assert result.notes == (
        ".args: --nobrowser is dropped: newer engines open no browser",
        ".args: --no-mmap becomes --load-mode none: --load-mode has taken its place",
    )


@pytest.mark.parametrize(
    "text",
    [
        b"# mine\n-m a.gguf --nobrowser\n...\n",
        b"--nobrowser\n-m\n'a.gguf'\n...\n",
        b"--nobrowser\n-m\na.gguf\n-c\n$HEAT\n...\n",
        b"--nobrowser -m a.gguf \\\n ...\n",
    ],
)
def test_a_text_that_somebody_wrote_by_hand_stays_and_what_it_needs_is_told(text: bytes) -> None:
    result = migrate_args(text, NEWER, members=("a.gguf",), member=".args")

    assert (result.data, result.told) == (text, "")
    assert result.notes == (
        ".args: --nobrowser should be dropped: newer engines open no browser",
        ".args: -m a.gguf should become -m /zip/a.gguf: engines look for a bare name outside of the file",
        ".args: is written by hand and stays so, so the file may not start: set it with --args '…'",
    )


def test_of_another_verbs_text_it_is_told_how_to_set_it() -> None:
    text = b"--nobrowser # not here\n"

    notes = migrate_args(text, NEWER, members=(), member=".lfbuild/args/serve").notes

    assert notes[-1].endswith("so the file may not start: set it with --args serve='…'")


VERBS = KnownFlags(present=frozenset({"-m", "-c", "--host", "--port"}), sure=True, verbs=True)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ("-m /zip/a.gguf ...", "cli -m /zip/a.gguf ..."),
        ("-m /zip/a.gguf --server ...", "serve -m /zip/a.gguf ..."),
        ("--cli -m /zip/a.gguf ...", "completion -m /zip/a.gguf ..."),
        ("--chat --host 0.0.0.0 ...", "cli --host 0.0.0.0 ..."),
        ("-m /zip/a.gguf --host 0.0.0.0 ...", "serve -m /zip/a.gguf --host 0.0.0.0 ..."),
        ("--v2 -m /zip/a.gguf ...", "serve -m /zip/a.gguf ..."),
        ("...", "cli ..."),
        ("serve -m /zip/a.gguf ...", "serve -m /zip/a.gguf ..."),
    ],
)
def test_an_engine_with_verbs_is_told_by_one_what_mozillas_would_do(tokens: str, expected: str) -> None:
    assert migrated(*tokens.split(), known=VERBS)[0] == expected


def test_the_verb_and_what_it_stands_for_are_told() -> None:
    assert migrated("-m", "/zip/a.gguf", "--server", "...", known=VERBS)[1] == (
        ".args: begins with the verb serve from now on: the engine starts nothing without one",
        ".args: --server is dropped: the verb says so",
    )


def test_a_verb_is_put_before_a_text_that_somebody_wrote_by_hand() -> None:
    text = b"# mine\n-m /zip/a.gguf -c $SIZE\n"

    result = migrate_args(text, VERBS, members=(), member=".args")

    assert (result.data, result.told) == (b"cli\n" + text, "arguments begin with a verb")


def test_arguments_of_another_verb_get_none() -> None:
    text = b"-c\n9\n...\n"

    assert migrate_args(text, VERBS, members=(), member=".lfbuild/args/serve").data == text


def test_a_verb_that_the_engine_may_not_know_is_told() -> None:
    assert migrated("cli", "-m", "/zip/a.gguf", "...") == (
        "cli -m /zip/a.gguf ...",
        (".args: begins with the verb cli, and the engine may know no verbs",),
    )


def test_a_text_that_cannot_be_read_is_told() -> None:
    result = migrate_args(b"'open", NEWER, members=(), member=".args")

    assert result.data == b"'open"
    assert result.notes == (".args: a ' is opened and never closed, so its flags were not checked",)


def test_a_member_is_named_as_a_path_or_bare_behind_a_flag_of_models() -> None:
    tokens = ["-m", "a.gguf", "-p", "a.gguf", "--mmproj", "/zip/a.gguf", "-md", "b.gguf"]

    assert naming(tokens, "a.gguf") == [1, 5]
    assert naming(["a.gguf"], "a.gguf") == []


def test_what_is_named_in_the_file_and_is_neither_member_nor_folder_is_absent() -> None:
    tokens = ["-m", "/zip/a.gguf", "--path", "/zip/www/", "--mmproj", "/zip/b.gguf", "/zip/ww", "c.gguf", "/zip/"]

    assert list(absent(tokens, ["a.gguf", "www/index.html"])) == ["/zip/b.gguf", "/zip/ww"]


def test_texts_are_found_whole_across_pieces_and_at_the_end_of_longer_ones() -> None:
    pieces = [b"xx--no-m", b"map\0 -c\0 --temperature\0 --ctx"]

    assert find_texts(pieces, ["--no-mmap", "-c", "--temp", "--ctx", "map"]) == {"--no-mmap", "-c", "map"}
    assert find_texts(pieces, []) == frozenset()
