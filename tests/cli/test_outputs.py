"""Where the words of `-o` and `--depfile` lead: through links, but never to an open file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.world.edits import launcher_file

from lfbuild.cli.values import output
from lfbuild.cli.words import make_parser

if TYPE_CHECKING:
    from conftest import Lfbuild

OPEN_FILE = "'{}' names an open file, which is never replaced; name a file"


def test_a_link_is_followed_whether_there_is_something_where_it_leads_or_not(lfbuild: Lfbuild, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/schema.json")

    for _ in range(2):
        lfbuild("schema", "-o", "link")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "folder" / "schema.json").is_file()
        (tmp_path / "folder" / "schema.json").write_bytes(b"")


def test_a_name_that_is_no_link_stays_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")

    assert output("link/../new") == Path("link/../new")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not name open files so")
def test_an_open_file_is_not_replaced_by_whatever_name(lfbuild: Lfbuild, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"what was logged before")
    with (tmp_path / "log").open() as log:
        (tmp_path / "link").symlink_to(f"/dev/fd/{log.fileno()}")
        for word in (f"/dev/fd/{log.fileno()}", f"/proc/{os.getpid()}/fd/{log.fileno()}", "link"):
            told = lfbuild("schema", "-o", word)
            assert (told.code, told.err.splitlines()[0][-len(OPEN_FILE.format(word)) :]) == (2, OPEN_FILE.format(word))

    assert (tmp_path / "log").read_bytes() == b"what was logged before"


def test_a_link_that_leads_to_itself_is_told_so(lfbuild: Lfbuild, tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")

    told = lfbuild("schema", "-o", "one")

    assert told.code == 2
    assert "'one' is a link that leads to itself\n" in told.err


def test_every_file_that_is_written_by_name_is_found_through_links() -> None:
    _, subparsers = make_parser()
    options = {
        (verb, option)
        for verb, parser in subparsers.parsers.items()
        for action in parser._actions
        for option in {"-o", "--depfile"} & set(action.option_strings)
        if action.metavar != "FOLDER" and action.type is not output
    }

    assert options == {("new", "-o")}, "which refuses links, as it does whatever else is there"


@pytest.mark.parametrize(
    "words",
    [
        ["diff", "old", "new"],
        ["squash", "old", "delta", "delta"],
        ["import", "old"],
        ["convert-back", "old"],
        ["swap", "old", "--name", "x"],
    ],
    ids=lambda words: words[0],
)
def test_a_folder_that_is_absent_is_told_before_anything_is_read(lfbuild: Lfbuild, words: list[str]) -> None:
    told = lfbuild(*words, "-o", "none/x")

    assert (told.code, told.err.splitlines()[0]) == (8, "lfbuild: none: is no folder, so nothing can be written there")


@pytest.mark.parametrize(
    "words",
    [
        ["compact", "tiny.llamafile"],
        ["convert-back", "tiny.llamafile", "--target", "linux-x86_64"],
        ["swap", "tiny.llamafile", "--name", "x"],
    ],
    ids=lambda words: words[0],
)
def test_room_is_looked_for_where_a_link_leads(
    lfbuild: Lfbuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    launcher_file(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "link").symlink_to("full/new")
    monkeypatch.setattr("lfbuild.host.room._free_bytes", lambda folder: 10 if folder.name == "full" else 1 << 40)
    for module in ("host.room", "commands.swap"):
        monkeypatch.setattr(f"lfbuild.{module}.can_share", lambda *_: False)

    told = lfbuild(*words, "-o", "link", "--quiet")

    assert told.code == 8
    assert told.err.startswith(f"lfbuild: {tmp_path / 'full'}: the new file needs ")
    assert list((tmp_path / "full").iterdir()) == []
