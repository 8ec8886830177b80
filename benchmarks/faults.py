"""How many faults the suite of edits tries, and how many files it loses: its own count, run here as a test would be.

A count does not depend on how idle the machine is.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.front import main
from benchmarks.measure import CHECKOUT
from benchmarks.tables import Goal, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.front import Setting

_TOLD = re.compile(r"faults tried: ([\d,]+) \(then seen: (.*)\); files lost: (\d+)")

_NOTE = """\
Each write, flush, cut, link, rename, reservation and read of `swap` (each way), `apply` (to a new file and in place),
`compact` and `import` fails once in each way: killed there, killed in mid-write, a short write, ENOSPC, EIO, EIO on
read, power lost with mixtures of unflushed sectors of 512 bytes. An edit in place that was killed at any call is
recovered, and power is lost at each call of that. `update` (to a new file, in place, by a published difference) is
killed at each change, also in mid-write, or finds the disk full from there on, or gets EIO, and runs again to its end;
and each of its writes takes only a part. Afterwards the file is byte for byte the old or the new one, and nothing else
is in its folder. A walk ends at the first file that is lost."""


def measure(setting: Setting) -> Iterator[Table]:
    """The one table: with `--quick` a few mixtures of what a power loss leaves, else a hundred at each call."""
    chosen = ["-m", "not full"] if setting.quick else []
    words = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "-p", "no:cacheprovider", "tests/faults", *chosen]
    said = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout
    match = _TOLD.search(said)
    if match is None:
        raise SystemExit(f"the suite of faults did not tell its count:\n{said[-2000:]}")
    tried, seen, lost = match.groups()
    yield Table(
        title="Faults while a file is edited",
        columns=("faults tried", "seen of the file before anything repaired it", "files lost"),
        rows=[(tried, seen, lost)],
        goals=[Goal(what="files lost", limit=0, found=float(lost))],
        notes=(_NOTE,),
    )


if __name__ == "__main__":
    sys.exit(main("faults", measure, wants_idle=False))
