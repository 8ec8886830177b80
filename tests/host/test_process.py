"""A program is heard line by line, sees only what it is given, and never outlives whoever started it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from lfbuild.errors import ToolError
from lfbuild.host.process import run

SHELL = Path("/bin/sh")
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}

# Ninja keeps each compiler in a process group of its own, so stopping one group is not enough.
COMPILER_IN_ITS_OWN_GROUP = "set -m; sleep 600 & echo $!; wait"


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def wait_until_gone(pid: int, *, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_running(pid)


def test_both_streams_are_heard_line_by_line_and_kept_whole(tmp_path: Path) -> None:
    heard: list[str] = []
    log = io.BytesIO()

    finished = run(
        [SHELL, "-c", "echo one; echo two >&2; printf 'three\\377'; exit 3"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        on_line=heard.append,
        log=log,
    )

    assert heard == ["one", "two", "three�"]
    assert log.getvalue() == b"one\ntwo\nthree\xff"
    assert (finished.returncode, finished.tail) == (3, ("one", "two", "three�"))


def test_a_program_sees_exactly_the_environment_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the front door")

    finished = run(["/usr/bin/env"], cwd=tmp_path, env={"NAME": "a value"})

    assert finished.tail == ("NAME=a value",)


def test_a_program_has_no_input(tmp_path: Path) -> None:
    assert run([SHELL, "-c", "cat; echo end"], cwd=tmp_path, env=ENVIRONMENT).tail == ("end",)


def test_a_missing_program_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        run([tmp_path / "cc"], cwd=tmp_path, env={})

    assert str(caught.value) == f"{tmp_path}/cc: there is no such program"
    assert caught.value.hint == "install it, or name the right folder"


def test_a_missing_folder_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        run([SHELL], cwd=tmp_path / "gone", env={})

    assert str(caught.value) == f"{tmp_path}/gone: there is no such folder to run a program in"


def test_a_program_that_may_not_be_run_says_so_in_its_output(tmp_path: Path) -> None:
    program = tmp_path / "plain.txt"
    program.write_text("#!/bin/sh\n", encoding="utf-8")

    finished = run([program], cwd=tmp_path, env={})

    assert (finished.returncode, finished.tail) == (1, (f"{program}: Permission denied",))


def test_a_script_without_an_interpreter_line_runs_as_in_a_shell(tmp_path: Path) -> None:
    """An APE is such a file: the kernel refuses it, every shell runs it."""
    program = tmp_path / "ape"
    program.write_bytes(b"MZqFpD='\n'\necho started with $1\nexit 0\n\x00\xff")
    program.chmod(0o755)

    assert run([program, "a word"], cwd=tmp_path, env=ENVIRONMENT).tail == ("started with a word",)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError])
def test_an_interruption_stops_the_whole_session(tmp_path: Path, interruption: type[BaseException]) -> None:
    pids: list[int] = []

    def interrupted(line: str) -> None:
        pids.append(int(line))
        raise interruption

    with pytest.raises(interruption):
        run(["/bin/bash", "-c", COMPILER_IN_ITS_OWN_GROUP], cwd=tmp_path, env=ENVIRONMENT, on_line=interrupted)

    assert wait_until_gone(pids[0])


def test_a_program_that_ignores_being_asked_is_killed(tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupted(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(
            [SHELL, "-c", "trap '' TERM; echo $$; while :; do sleep 1; done"], cwd=tmp_path, env={}, on_line=interrupted
        )

    assert wait_until_gone(pids[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")
def test_a_killed_lfbuild_leaves_no_program_behind(tmp_path: Path) -> None:
    caller = textwrap.dedent("""
        from pathlib import Path
        from lfbuild.host.process import run
        told = lambda line: print(line, flush=True)
        run(["/bin/sh", "-c", "echo $$; exec sleep 600"], cwd=Path(), env={}, on_line=told)
    """)
    lfbuild = subprocess.Popen([sys.executable, "-c", caller], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert lfbuild.stdout is not None
    with lfbuild.stdout as output:
        pid = int(output.readline())
        assert is_running(pid)

        os.kill(lfbuild.pid, signal.SIGKILL)
        lfbuild.wait()

    assert wait_until_gone(pid)
