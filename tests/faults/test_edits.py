"""Every way in which an edit writes, with every fault at every call."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.faults.walk import Act, versions, walk
from tests.world.edits import (
    LARGER_ENGINE,
    NEW_ARGS,
    args_member,
    edit_in_place,
    edit_to_new_file,
    engine_file,
    launcher_file,
    new_slice,
)
from tests.world.faults import Disk, Fault
from tests.world.files import plain, verified
from tests.world.programs import tiny_elf

from lfbuild.errors import HostError
from lfbuild.host.inplace import used
from lfbuild.manifest.edit import Changes
from lfbuild.manifest.settle import settle

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path

SWAP = Changes(slices=(new_slice(),), put=(args_member(NEW_ARGS),))
LARGER = Changes(slices=(new_slice(LARGER_ENGINE),))
LONG = Changes(put=(plain("long.txt", b"x" * 60_000),), remove=("prompts/hello.txt",))


def act(folder: Path, make: Callable[[Path], Path], do: Callable[[Path], object]) -> Act:
    made = make(folder)
    start = folder / "start"
    start.mkdir()
    shutil.copyfile(made, start / made.name)
    return Act(folder=start, name=made.name, do=do)


def other_head(folder: Path) -> Path:
    path = folder / "other"
    path.write_bytes(tiny_elf(900))
    return path


@pytest.mark.parametrize("changes", [SWAP, LARGER, LONG], ids=["room", "engine behind the weights", "long tail"])
@pytest.mark.parametrize("edit", [edit_to_new_file, edit_in_place], ids=["new file", "in place"])
def test_a_file_with_launchers_is_the_old_or_the_new_one(
    tmp_path: Path, tried: Counter[str], changes: Changes, edit: Callable[[Path, Changes], object]
) -> None:
    walk(act(tmp_path, launcher_file, lambda path: edit(path, changes)), tmp_path, tried)

    assert set(tried) >= {"old", "new"}


@pytest.mark.parametrize("edit", [edit_to_new_file, edit_in_place], ids=["new file", "in place"])
def test_a_file_that_begins_with_its_engine_is_the_old_or_the_new_one(
    tmp_path: Path, tried: Counter[str], edit: Callable[[Path, Changes], object]
) -> None:
    changes = Changes(head=other_head(tmp_path))

    walk(act(tmp_path, engine_file, lambda path: edit(path, changes)), tmp_path, tried)

    assert set(tried) >= {"old", "new"}


def test_an_interrupted_recovery_is_recovered(tmp_path: Path, tried: Counter[str]) -> None:
    changes = Changes(head=other_head(tmp_path))
    edit = act(tmp_path, engine_file, lambda path: edit_in_place(path, changes))
    both = versions(edit, tmp_path / "scratch")
    for number in range(200):
        path = edit.fresh(tmp_path / f"stopped{number}")
        (tmp_path / "stash").mkdir(exist_ok=True)
        disk = Disk(Fault(kind="kill", number=number), tmp_path / "stash")
        with disk.failing():
            edit.do(path)
        if not disk.happened:
            break
        walk_recovery(path, both.new, tmp_path, tried)
    assert number > 10


def walk_recovery(path: Path, new: bytes, tmp_path: Path, tried: Counter[str]) -> None:
    """Have a recovery fail at every call; the one after it must succeed."""
    for number in range(200):
        folder = tmp_path / "recovering"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(path.parent, folder)
        disk = Disk(Fault(kind="power", number=number, seed=number), tmp_path / "stash")
        with disk.failing():
            settle(folder / path.name)
        if not disk.happened:
            break
        tried["recovering"] += 1
        settle(folder / path.name)
        assert verified(folder / path.name) == []
        assert [item.name for item in folder.iterdir()] == [path.name]
        if (path.parent / f".{path.name}.lfbuild-redo").exists() and len(path.read_bytes()) > len(new):
            assert (folder / path.name).read_bytes() == new


@pytest.mark.parametrize("edit", [edit_to_new_file, edit_in_place], ids=["new file", "in place"])
def test_a_folder_that_cannot_be_written_leaves_the_file_alone(
    tmp_path: Path, tried: Counter[str], edit: Callable[[Path, Changes], object]
) -> None:
    path = launcher_file(tmp_path)
    old = path.read_bytes()
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    path.chmod(0o400)
    try:
        with pytest.raises(HostError):
            edit(path, LARGER)
    finally:
        tmp_path.chmod(0o700)
    tried["read-only"] += 1
    assert path.read_bytes() == old


def test_of_two_processes_one_is_refused(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)
    old = path.read_bytes()

    with used(path), pytest.raises(HostError) as caught:
        edit_in_place(path, SWAP)

    assert str(caught.value) == f"{path}: is in use, or another lfbuild is changing it"
    assert path.read_bytes() == old


def test_a_file_that_another_process_has_replaced_meanwhile_stays(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)
    other = launcher_file(tmp_path, name="other.llamafile")
    whole = other.read_bytes()

    def exchange(_path: Path) -> None:
        other.replace(path)

    with pytest.raises(HostError) as caught:
        edit_to_new_file(path, SWAP, change=exchange)

    assert str(caught.value) == f"{path}: was changed by another process meanwhile"
    assert path.read_bytes() == whole


def test_ten_processes_at_once_make_one_version_after_another(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from lfbuild.errors import HostError\nfrom lfbuild.manifest.edit import Changes\n"
        "from lfbuild.manifest.model import Release\nfrom tests.world.edits import edit_in_place, edit_to_new_file\n"
        "number = int(sys.argv[2])\nedit = edit_in_place if number % 2 else edit_to_new_file\n"
        "try:\n    edit(Path(sys.argv[1]), Changes(release=Release(name='tiny', version=str(number))))\n"
        "except HostError:\n    sys.exit(8)\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(path), str(number)]) for number in range(10)]
    codes = [process.wait() for process in running]

    assert set(codes) <= {0, 8}
    settle(path)
    assert verified(path) == []
