"""All benchmarks, one after the other: `python -m benchmarks [--quick] [--write] [FILE…]`."""

from __future__ import annotations

import sys

from benchmarks import delta, engine, lines, pack, start, swap, verify
from benchmarks.front import main

ALL = {
    "delta": delta.measure,
    "pack": pack.measure,
    "verify": verify.measure,
    "start": start.measure,
    "swap": swap.measure,
    "engine": engine.measure,
    "lines": lines.measure,
}

if __name__ == "__main__":
    # A benchmark raises the load itself, so each waits for the machine to come to rest.
    sys.exit(max(main(name, measure, ["--wait", "600", *sys.argv[1:]]) for name, measure in ALL.items()))
