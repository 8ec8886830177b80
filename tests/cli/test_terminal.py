"""The same command line as a process of its own: on a terminal, in a pipe, in a CI, and timed."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LFBUILD = [sys.executable, "-m", "lfbuild"]

# A step and a note, told as the real front door would choose to.
WORK = """
import argparse, os, sys, time
from lfbuild.cli.context import make_context
arguments = argparse.Namespace(json="--json" in sys.argv, quiet="-q" in sys.argv, cache_dir=None, offline=False)
report = make_context(arguments, environment=os.environ, now=0.0).report
with report.step("pack", total=2048) as step:
    step.advance(2048)
    time.sleep(0.3)  # long enough to be painted
report.note("packed")
"""

# The real front door, with a verb that works until it is stopped.
ENDLESS = """
import sys, time
from lfbuild.cli import main
from lfbuild.cli.verbs import doctor
def run(arguments, context):
    with context.report.step("endless", total=9):
        time.sleep(60)
doctor.run = run
sys.exit(main(["doctor"]))
"""


def _on_a_terminal(argv: list[str], **variables: str) -> str:
    """What the program writes when stdout and stderr are one terminal."""
    master, slave = pty.openpty()
    with subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=_environment(variables)) as process:
        os.close(slave)
        written = _rest(master)
    os.close(master)
    assert process.returncode == 0, written.decode()
    return written.decode()


def _rest(terminal: int) -> bytes:
    """Everything until the last writer has gone."""
    written = b""
    while True:
        try:
            block = os.read(terminal, 65536)
        except OSError:  # how Linux tells it
            return written
        if not block:
            return written
        written += block


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "LFBUILD_DEBUG")}
    return {**kept, "TERM": "xterm-256color", "COLUMNS": "100", **variables}


def test_on_a_terminal_there_are_bars_that_vanish() -> None:
    told = _on_a_terminal([sys.executable, "-c", WORK])

    assert "pack" in told
    assert "2.0 of 2.0 KiB" in told
    assert "\x1b[2K" in told  # the line of the bar is cleared
    assert told.rstrip().endswith("packed")


@pytest.mark.parametrize("variables", [{"CI": "true"}, {"TERM": "dumb"}])
def test_in_a_ci_and_on_a_dumb_terminal_there_are_plain_lines(variables: dict[str, str]) -> None:
    told = _on_a_terminal([sys.executable, "-c", WORK], **variables)

    assert "\x1b" not in told
    assert told.startswith("pack (2.0 KiB)\r\npack: done, 2.0 KiB in ")


def test_quiet_says_nothing() -> None:
    assert _on_a_terminal([sys.executable, "-c", WORK, "-q"]) == ""


def test_with_json_every_line_of_progress_parses() -> None:
    told = _on_a_terminal([sys.executable, "-c", WORK, "--json"])

    assert [json.loads(line)["event"] for line in told.splitlines()] == ["start", "end", "note"]


def test_a_table_has_colour_on_a_terminal_and_none_in_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "engines" / "abc").mkdir(parents=True)
    listing = [*LFBUILD, "cache", "list", "--cache-dir", str(tmp_path)]

    on_a_terminal = _on_a_terminal(listing)
    piped = subprocess.run(listing, capture_output=True, text=True, check=True, env=_environment({}))

    assert "\x1b[1mkind" in on_a_terminal
    assert "\x1b" not in piped.stdout
    assert piped.stdout.splitlines()[0].split() == ["kind", "size", "last", "used", "key", "what"]


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)

    ended = subprocess.run([*LFBUILD, "completion", "bash"], stdout=writing, stderr=subprocess.PIPE, check=False)

    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("number", "code", "told"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_the_work_with_one_line_and_gives_the_cursor_back(
    number: signal.Signals, code: int, told: str
) -> None:
    master, slave = pty.openpty()
    # Where the tests themselves run in the background, SIGINT is ignored, and children would inherit that.
    with subprocess.Popen(
        [sys.executable, "-c", f"import signal; signal.signal(2, signal.default_int_handler)\n{ENDLESS}"],
        stdout=slave,
        stderr=slave,
        env=_environment({}),
    ) as process:
        os.close(slave)
        written = b""
        while b"endless" not in written:
            written += os.read(master, 65536)
        process.send_signal(number)
        written += _rest(master)
    os.close(master)

    after = written.decode().rpartition("\x1b[?25h")[2]  # what follows the cursor's return
    assert process.returncode == code
    assert after.endswith(f"lfbuild: {told}: the work was stopped, and what was unfinished is removed\r\n")
    assert "Traceback" not in written.decode()


def test_a_name_that_the_encoding_lacks_is_escaped_instead_of_failing(tmp_path: Path) -> None:
    folder = tmp_path / "käse"

    ended = subprocess.run(
        [*LFBUILD, "cache", "list", "--cache-dir", str(folder)],
        capture_output=True,
        check=True,
        env={**_environment({}), "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"},
    )

    assert ended.stdout.startswith(str(folder).encode("ascii", "backslashreplace"))


def test_the_help_imports_nothing_slow() -> None:
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "lfbuild", "--help"], capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip() for line in told.stderr.splitlines()}
    slow = {"rich", "msgspec", "pydantic", "platformdirs", "shtab", "jinja2", "numpy", "urllib.request"}

    assert imported & slow == set()
    assert not {name for name in imported if name.startswith("lfbuild.commands")}


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_who_has_closed_its_streams_is_served_all_the_same(tmp_path: Path, closed: str) -> None:
    (tmp_path / "file").write_bytes(b"GGUF")

    def code_of(words: str) -> int:
        command = ["sh", "-c", f'"$0" -m lfbuild {words} {closed}', sys.executable]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode

    assert code_of("inspect file") == 4
    assert code_of("schema -o schema.json") == 0
    assert json.loads((tmp_path / "schema.json").read_text())


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_the_completion_script_is_accepted_by_its_shell(shell: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(subprocess.run([*LFBUILD, "completion", shell], capture_output=True, check=True).stdout)

    try:
        subprocess.run([shell, "-n", str(script)], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip(f"{shell} is not installed here")


def test_bash_completes_verbs_options_and_recipes(tmp_path: Path) -> None:
    (tmp_path / "chat.toml").write_text("")
    (tmp_path / "notes.txt").write_text("")
    script = subprocess.run([*LFBUILD, "completion", "bash"], capture_output=True, text=True, check=True).stdout

    def completed(*line: str) -> list[str]:
        words = " ".join(f"'{word}'" for word in ["lfbuild", *line])
        asked = f"COMP_WORDS=({words}); COMP_CWORD={len(line)}; _shtab_lfbuild; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        told = subprocess.run(
            ["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        return told.stdout.split()

    assert completed("ver") == ["verify"]
    assert "--locked" in completed("build", "--")
    assert completed("build", "") == ["chat.toml"]
    assert completed("swap", "-o", "n") == ["notes.txt"]
    assert completed("swap", "--engine", "") == ["chat.toml", "notes.txt"]
    assert completed("cache", "p") == ["prune"]
