"""What every verb does with a file whose edit in place was interrupted."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from tests.world.edits import LARGER_ENGINE, edit_in_place, launcher_file, new_slice
from tests.world.faults import Disk, Fault
from tests.world.files import manifest_of, verified

from lfbuild.cli import main
from lfbuild.host.inplace import had_alone, has_journal, journal_path, used
from lfbuild.manifest.edit import Changes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

posix = pytest.mark.skipif(os.name != "posix", reason="elsewhere files have no owner that a number tells")
Captured = pytest.CaptureFixture[str]
FINISHED = "note: tiny.llamafile: an edit had been interrupted, and was finished"


def interrupted(world: Path, *, before: str) -> Path:
    """A file whose edit was killed before the first call of that kind that touches the file itself."""
    (world / "stash").mkdir()
    path, counting = launcher_file(world), Disk(Fault(kind="none", number=0), world / "stash")
    with counting.failing():
        edit_in_place(path, Changes(slices=(new_slice(LARGER_ENGINE),)))
    number = counting.told.index(before) + (1 if before == "reserve" else 0)
    path = launcher_file(world)
    with Disk(Fault(kind="kill", number=number), world / "stash").failing():
        edit_in_place(path, Changes(slices=(new_slice(LARGER_ENGINE),)))
    assert has_journal(path)
    return path


@pytest.mark.parametrize("before", ["reserve", "cut"], ids=["before the mark", "before the mark is cut off"])
@pytest.mark.parametrize(
    "words", [["list"], ["inspect"], ["verify"], ["swap", "--name", "x"], ["compact"], ["index"], ["publish", "www"]]
)
def test_every_verb_finishes_it_first_and_says_so(world: Path, capsys: Captured, before: str, words: list[str]) -> None:
    path = interrupted(world, before=before)
    capsys.readouterr()

    assert main([words[0], str(path), *words[1:]]) == 0

    assert capsys.readouterr().err.count(FINISHED) == 1
    assert not has_journal(path)
    assert verified(path) == []
    assert manifest_of(path).generation >= 2


@pytest.mark.parametrize("verb", ["import", "reproduce"])
def test_a_verb_that_is_of_no_use_for_the_file_says_so_of_the_finished_one(
    world: Path, capsys: Captured, verb: str
) -> None:
    path = interrupted(world, before="cut")
    capsys.readouterr()

    assert main([verb, str(path)]) == 4

    assert capsys.readouterr().err.count(FINISHED) == 1
    assert not has_journal(path)


@pytest.mark.parametrize(
    "words",
    [
        ["swap", "{torn}", "--name", "x", "-n"],
        ["update", "{torn}", "--check"],
        ["swap", "{whole}", "--engine", "{torn}"],
    ],
)
def test_what_only_looks_writes_nothing_and_says_who_finishes_it(
    world: Path, capsys: Captured, words: list[str]
) -> None:
    torn = interrupted(world, before="cut")
    whole = launcher_file(world, name="whole.llamafile")
    before, journal = torn.read_bytes(), journal_path(torn).read_bytes()
    capsys.readouterr()

    assert main([*(word.format(torn=torn, whole=whole) for word in words), "--quiet"]) == 5

    assert capsys.readouterr().err == (
        f"lfbuild: {torn}: seal: an edit of this file was interrupted\nlfbuild: hint: lfbuild recover {torn}\n"
    )
    assert (torn.read_bytes(), journal_path(torn).read_bytes()) == (before, journal)


def test_recover_tells_what_it_did(world: Path, capsys: Captured) -> None:
    path = interrupted(world, before="cut")
    capsys.readouterr()

    assert main(["recover", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(path), "outcome": "finished"}
    assert main(["recover", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(path), "outcome": "nothing"}


def test_who_cannot_write_reads_the_old_version_while_it_counts(world: Path, capsys: Captured) -> None:
    path = interrupted(world, before="reserve")
    capsys.readouterr()

    with used(path):  # as a running engine does: then it cannot be finished now
        assert main(["list", str(path), "--json"]) == 0

    assert has_journal(path)
    assert ".args" in {member["name"] for member in json.loads(capsys.readouterr().out)}


def made_writable(journal: Path) -> str:
    journal.chmod(0o666)
    return f"runs chmod g-w,o-w {journal}"


def made_a_link(journal: Path) -> str:
    journal.symlink_to(journal.rename(journal.with_name("elsewhere")))
    return "puts the file that it leads to in its place"


def made_somebody_elses(journal: Path) -> str:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    os.chown(journal, 12345, -1)
    return f"takes it over by chown, or has its owner run lfbuild recover {journal.with_name('tiny.llamafile')}"


@posix
@pytest.mark.parametrize("make", [made_writable, made_a_link, made_somebody_elses])
@pytest.mark.parametrize("before", ["reserve", "cut"], ids=["before the mark", "before the mark is cut off"])
def test_a_journal_that_others_may_have_written_is_not_carried_out_nor_removed_where_the_file_needs_it(
    world: Path, capsys: Captured, before: str, make: Callable[[Path], str]
) -> None:
    path = interrupted(world, before=before)
    trusting = make(journal_path(path))
    stood = path.read_bytes()
    capsys.readouterr()

    assert main(["list", str(path), "-q"]) == (0 if before == "reserve" else 8)
    assert main(["swap", str(path), "--name", "x", "-q"]) == 8

    what = "may have been written by somebody else than the owner of tiny.llamafile, so it is not carried out"
    lost = "it must not be removed, as without it tiny.llamafile is lost: "
    hint = f"{lost}who trusts it {trusting}" if before == "cut" else f"who trusts it {trusting}; or remove it"
    assert capsys.readouterr().err.endswith(f"lfbuild: {journal_path(path)}: {what}\nlfbuild: hint: {hint}\n")
    assert path.read_bytes() == stood
    assert has_journal(path)


@posix
def test_a_journal_that_leads_to_itself_is_none(world: Path) -> None:
    path = launcher_file(world)
    journal_path(path).symlink_to(journal_path(path))

    assert main(["recover", str(path), "-q"]) == 0


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize(("owner", "exit_code"), [(1000, 8), (0, 0)], ids=["another user's", "root's"])
def test_only_a_journal_of_the_owner_or_of_root_is_carried_out(world: Path, owner: int, exit_code: int) -> None:
    path = interrupted(world, before="cut")
    os.chown(path, 1001, -1)
    os.chown(journal_path(path), owner, -1)

    assert main(["recover", str(path), "-q"]) == exit_code


def test_who_cannot_finish_a_torn_file_is_refused(world: Path, capsys: Captured) -> None:
    path = interrupted(world, before="cut")
    capsys.readouterr()

    with used(path):
        assert main(["list", str(path), "-q"]) == 8

    assert capsys.readouterr().err == (
        f"lfbuild: {path}: is in use, or another lfbuild is changing it\nlfbuild: hint: stop it, and try again\n"
    )


def test_a_torn_file_without_its_journal_is_told_by_verify(world: Path, capsys: Captured) -> None:
    path = interrupted(world, before="cut")
    journal_path(path).unlink()
    capsys.readouterr()

    assert main(["verify", str(path), "-q"]) == 5

    what = "an edit of this file was interrupted, and the journal that would finish it is gone"
    assert capsys.readouterr().out == f"{path}: seal: {what}\n1 finding\n"
    assert main(["recover", str(path), "-q"]) == 5
    assert capsys.readouterr().err == f"lfbuild: {path}: seal: {what}\nlfbuild: hint: get the file again\n"


def test_a_link_to_the_file_will_do(world: Path) -> None:
    path = interrupted(world, before="cut")
    link = world / "elsewhere"
    link.mkdir()
    (link / "chat").symlink_to(os.path.relpath(path, link))

    assert main(["recover", str(link / "chat"), "-q"]) == 0

    assert verified(path) == []
    assert (link / "chat").is_symlink()


@posix
@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["verify"],
        ["recover"],
        ["extract"],
        ["import"],
        ["compact"],
        ["convert-back", "-o", "new"],
        ["swap", "--name", "x"],
        ["swap", "--name", "x", "-n"],
        ["apply", "tiny.llamafile", "--in-place"],
        ["diff", "tiny.llamafile", "-o", "new"],
        ["publish", "www"],
        ["update", "http://127.0.0.1:9/x"],
        ["update", "http://127.0.0.1:9/x", "--check"],
    ],
    ids=" ".join,
)
def test_a_link_that_leads_to_itself_is_one_sentence(world: Path, capsys: Captured, words: list[str]) -> None:
    launcher_file(world)
    loop = world / "loop"
    loop.symlink_to("loop")
    capsys.readouterr()

    assert main([words[0], str(loop), *words[1:], "-q"]) == 8

    assert capsys.readouterr().err == (
        f"lfbuild: {loop}: is a link that leads to itself\nlfbuild: hint: remove it, or name another file\n"
    )


def test_a_file_that_is_being_edited_by_another_process_is_refused(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)
    capsys.readouterr()

    with had_alone(path):
        assert main(["swap", str(path), "--name", "x", "-q"]) == 8

    assert capsys.readouterr().err == (
        f"lfbuild: {path}: an edit of this file is under way\nlfbuild: hint: try again when it has finished\n"
    )
