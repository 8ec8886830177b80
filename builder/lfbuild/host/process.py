"""Starts other programs, hears them line by line, and never leaves one behind.

A child gets a session of its own and exactly the environment it is given. When the caller is interrupted, or
anything raises while the child runs, everything in that session is stopped: first asked (Ninja then stops its
compilers, which it keeps in process groups of their own), then killed. On Linux the child is also told to stop by
the kernel when lfbuild itself is killed. What a program's output means is not known here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from lfbuild.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

GRACE_SECONDS = 3.0
TAIL_LINES = 400

# Runs in a fresh interpreter between lfbuild and the program: prctl(PR_SET_PDEATHSIG) has to be called in the child,
# and Python's own hook for that (preexec_fn) may deadlock once threads exist. The order comes through stdin, so that
# neither the program's environment nor a proxy's password is seen in the process list. A file that is no ELF and has
# no `#!` line (an APE) is refused by the kernel and handed to the shell, as a shell would do.
_GUARD = """
import ctypes, json, os, signal, sys
order = json.load(sys.stdin)
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != order["parent"]:
    sys.exit(1)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
argv, env = order["argv"], order["env"]
try:
    os.execve(argv[0], argv, env)
except OSError as error:
    if error.errno == 8:
        os.execve("/bin/sh", ["sh", *argv], env)
    sys.exit(f"{argv[0]}: {error.strerror}")
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """How a program ended."""

    returncode: int
    tail: tuple[str, ...]
    """The last lines it wrote, standard output and error as one."""


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str],
    on_line: Callable[[str], None] | None = None,
    log: BinaryIO | None = None,
) -> Finished:
    """Run a program to its end; `on_line` hears every line of its output, `log` keeps all of it.

    `argv[0]` is the program's path: nothing is looked up here.

    Raises:
        ToolError: there is no such program, or no such folder to run it in.
    """
    words = [str(word) for word in argv]
    _refuse_what_cannot_start(words[0], cwd)
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    process = _start(words, cwd=cwd, env=env)
    with _stopped_on_failure(process):
        assert process.stdout is not None  # noqa: S101  # asked for with PIPE
        for line in _lines(process.stdout, log):
            tail.append(line)
            if on_line is not None:
                on_line(line)
        returncode = process.wait()
    return Finished(returncode=returncode, tail=tuple(tail))


def _refuse_what_cannot_start(program: str, cwd: Path) -> None:
    if not Path(program).is_file():
        raise ToolError(program, "there is no such program", hint="install it, or name the right folder")
    if not cwd.is_dir():
        raise ToolError(cwd, "there is no such folder to run a program in")


def _start(words: list[str], *, cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    guarded = sys.platform == "linux"
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _GUARD] if guarded else words,
        cwd=cwd,
        # The guard is this interpreter once more and lives in this environment; it hands over only `env`.
        env=None if guarded else dict(env),
        stdin=subprocess.PIPE if guarded else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    if process.stdin is not None:
        order = {"argv": words, "env": dict(env), "parent": os.getpid()}
        # The guard may be gone already; its exit status then tells.
        with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(json.dumps(order).encode())
    return process


def _lines(output: IO[bytes], log: BinaryIO | None) -> Iterator[str]:
    with output:
        for raw in output:
            if log is not None:
                log.write(raw)
            yield raw.decode("utf-8", errors="replace").rstrip("\r\n")


@contextlib.contextmanager
def _stopped_on_failure(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    except BaseException:  # KeyboardInterrupt too: the caller is gone, so must the program be
        _stop(process)
        raise


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask, wait a moment, then kill whatever is left of the session that `process` leads."""
    if os.name != "posix":
        process.kill()
        process.wait()
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=GRACE_SECONDS)
    for pid in [*_session_members(process.pid), *([process.pid] if process.poll() is None else [])]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _session_members(session: int) -> list[int]:
    """Every process of a session, whatever process group it moved to (Linux; elsewhere none is seen)."""
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        # A process may end while it is looked at.
        with contextlib.suppress(OSError, ValueError, IndexError):
            # After the name in parentheses, which may hold anything: state, parent, group, session.
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == session:
                members.append(int(folder.name))
    return members
