"""Every way in which an edit writes, with every fault at every call."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.faults.walk import MORE_POWER_LOSSES, Act, versions, walk
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

from lfbuild.archive.reader import Reader
from lfbuild.errors import HostError
from lfbuild.host.inplace import used
from lfbuild.manifest.carry import write_new_file
from lfbuild.manifest.edit import Changes, plan_new_file
from lfbuild.manifest.present import load_present
from lfbuild.manifest.settle import settle
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
SWAP = Changes(slices=(new_slice(),), put=(args_member(NEW_ARGS),))
LARGER = Changes(slices=(new_slice(LARGER_ENGINE),))
LONG = Changes(slices=SWAP.slices, put=(plain("long.txt", b"x" * 60_000),), remove=("prompts/hello.txt",))


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


@pytest.mark.parametrize(
    "changes", [SWAP, LARGER, LONG], ids=["room", "engine behind the weights", "room and long tail"]
)
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


@pytest.mark.full
@pytest.mark.parametrize("changes", [SWAP, LARGER], ids=["room", "engine behind the weights"])
def test_whatever_mixture_of_sectors_a_power_loss_leaves(tmp_path: Path, tried: Counter[str], changes: Changes) -> None:
    edit = act(tmp_path, launcher_file, lambda path: edit_in_place(path, changes))

    walk(edit, tmp_path, tried, faults=MORE_POWER_LOSSES)

    assert set(tried) >= {"old", "new"}


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.full)])
def test_an_interrupted_recovery_is_recovered(tmp_path: Path, tried: Counter[str], every: int) -> None:
    changes = Changes(head=other_head(tmp_path))
    edit = act(tmp_path, engine_file, lambda path: edit_in_place(path, changes))
    both = versions(edit, tmp_path / "scratch")
    (tmp_path / "stash").mkdir()
    for number in range(0, 200, every):
        path = edit.fresh(tmp_path / f"stopped{number}")
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


@pytest.mark.parametrize("edit", ["edit_to_new_file", "edit_in_place"])
def test_a_folder_that_cannot_be_written_leaves_the_file_alone(tried: Counter[str], edit: str) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        path = launcher_file(folder)
        old, names = path.read_bytes(), sorted(item.name for item in folder.iterdir())
        folder.chmod(0o555)
        path.chmod(0o444)
        finished = _as_nobody(f"{edit}(Path(sys.argv[1]), Changes(release=Release(name='x')))", path)
        folder.chmod(0o755)

        assert (finished.returncode, finished.stdout) == (8, f"{path}: permission denied\n"), finished.stderr
        assert path.read_bytes() == old
        assert sorted(item.name for item in folder.iterdir()) == names
    tried["read-only folder"] += 1


def _as_nobody(statement: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a statement in a process that may write nothing, not even if this one is root's."""
    script = (
        "import ctypes, fcntl, os, sys\nfrom pathlib import Path\n"
        "from lfbuild.errors import HostError\nfrom lfbuild.manifest.edit import Changes\n"
        "from lfbuild.manifest.model import Release\nfrom tests.world.edits import edit_in_place, edit_to_new_file\n"
        f"os.geteuid() or os.setuid(65534)\ntry:\n    {statement}\n"
        "except HostError as error:\n    print(error)\n    sys.exit(8)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_a_new_file_on_another_file_system_is_copied(tmp_path: Path) -> None:
    other = Path("/dev/shm")  # noqa: S108  # a file system that is never the one of the tests
    if not other.is_dir():
        pytest.skip("there is no second file system here")
    path = launcher_file(tmp_path)
    with tempfile.TemporaryDirectory(dir=other) as folder:
        output = Path(folder) / "new.llamafile"
        with used(path) as file, SilentReport().step("") as step:
            present = load_present(Reader(path, file), threads=1)
            assert present is not None
            write_new_file(plan_new_file(present, SWAP), output, mode=0o755, threads=1, step=step)

        assert verified(output) == []
        assert [item.name for item in output.parent.iterdir()] == ["new.llamafile"]


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
