"""The engine in a packed file: time to the first token, and speed against llama.cpp that gcc compiled for this machine.

The packed files are arguments; LFBUILD_BENCH_NATIVE names the peer, the program `llama` of the same source.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from benchmarks.front import MIB, main
from benchmarks.measure import Contender, Sample, interleaved, median
from benchmarks.tables import Goal, Table, mebibytes, seconds
from lfbuild.archive.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.front import Setting

THREADS = ("-t", "2")
PROMPT_TOKENS, NEW_TOKENS = 256, 64
QUESTION = "The capital of France is"
_PIECE_BYTES = 8 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """A packed file, and where its weights are."""

    path: Path
    member: str
    data_offset: int
    size_bytes: int
    plain: Path
    """The same weights as a file of their own."""

    @property
    def inside(self) -> str:
        """The weights as the engine opens them in its own file."""
        return f"/zip/{self.member}"


def measure(setting: Setting) -> Iterator[Table]:
    """Tables for each packed file."""
    if not setting.packed:
        yield Table(title="Engine", columns=("not measured here", "why"), rows=[("engine", "no packed file was named")])
    for path in setting.packed:
        packed = _unpack(path, setting.folder)
        yield _first_token(packed, setting)
        yield _speed(packed, setting)
        packed.plain.unlink()


def _unpack(path: Path, folder: Path) -> Packed:
    """Copy the weights out, so that both ways of opening them can be measured."""
    with Reader.open(path) as reader:
        names = [name for name in reader.records if name.endswith(".gguf") and "/" not in name]
        if not names:
            raise SystemExit(f"{path}: has no weights")
        record = reader.records[names[0]]
        offset, size = reader.data_offset(record), record.stored_size
    plain = folder / names[0]
    with path.open("rb") as source, plain.open("wb") as target:
        source.seek(offset)
        for start in range(0, size, _PIECE_BYTES):
            target.write(source.read(min(_PIECE_BYTES, size - start)))
    return Packed(path=path, member=names[0], data_offset=offset, size_bytes=size, plain=plain)


def _first_token(packed: Packed, setting: Setting) -> Table:
    inside, beside = "weights in the packed file", "same engine, plain GGUF beside it"
    contenders = [
        Contender(name=inside, run=lambda: _time_to_answer(packed.path, packed.inside)),
        Contender(name=beside, run=lambda: _time_to_answer(packed.path, str(packed.plain))),
    ]
    samples = interleaved(contenders, rounds=max(setting.rounds, 1))
    mapped = _mapped_bytes(packed)
    note = (
        f"From the start of the process to the first letter of its answer, `completion {' '.join(THREADS)}`, files in "
        f"the page cache. /proc/PID/maps shows {mebibytes(mapped)} of {mebibytes(packed.size_bytes)} mapped from "
        f"{packed.path.name} itself, at the member's offset."
    )
    return Table(
        title=f"{packed.path.name}: load to first token",
        columns=("weights", "first token after", "CPU until then"),
        rows=[
            (name, seconds(median(samples, name, "wall")), seconds(median(samples, name, "cpu"))) for name in samples
        ],
        goals=[
            Goal(
                what="× the plain GGUF",
                limit=1.05,
                found=median(samples, inside, "wall") / median(samples, beside, "wall"),
            ),
            Goal(
                what="weights mapped from the packed file", limit=0.9, found=mapped / packed.size_bytes, at_least=True
            ),
        ],
        notes=(note,),
    )


def _speed(packed: Packed, setting: Setting) -> Table:
    title = f"{packed.path.name}: speed against gcc -march=native"
    columns = ("engine", "prompt tokens/s", "new tokens/s")
    native = os.environ.get("LFBUILD_BENCH_NATIVE")
    ours, peer = "packed file", "llama.cpp by gcc -march=native"
    contenders = [Contender(name=ours, run=lambda: _bench([packed.path], packed.inside))]
    if native:
        contenders.append(Contender(name=peer, run=lambda: _bench([native], str(packed.plain))))
    samples = interleaved(contenders, rounds=setting.rounds)
    rows = [(name, *(f"{median(samples, name, what):.1f}" for what in ("prompt", "new"))) for name in samples]
    if not native:
        rows.append((peer, "not at hand", "not at hand"))
    goals = [
        Goal(
            what=f"{what} tokens/s, share of gcc's",
            limit=0.95,
            found=median(samples, ours, what) / median(samples, peer, what) if native else None,
            at_least=True,
        )
        for what in ("prompt", "new")
    ]
    tests = f"`bench -p {PROMPT_TOKENS} -n {NEW_TOKENS} {' '.join(THREADS)}`"
    note = f"{tests}, medians of {setting.rounds} interleaved runs; {packed.member}, {packed.size_bytes // MIB} MiB."
    return Table(title=title, columns=columns, rows=rows, goals=goals, notes=(note,))


def _bench(program: Sequence[str | Path], weights: str) -> Sample:
    words = ("bench", "-m", weights, "-p", PROMPT_TOKENS, "-n", NEW_TOKENS, *THREADS, "-r", "1", "-o", "json")
    start = time.perf_counter()
    finished = subprocess.run([str(word) for word in (*program, *words)], capture_output=True, check=False)
    if finished.returncode:
        raise SystemExit(f"{program[0]} bench: {finished.stderr.decode('utf-8', 'replace')[-2000:]}")
    return Sample(wall_s=time.perf_counter() - start, cpu_s=0, parts=read_bench(finished.stdout.decode()))


def read_bench(text: str) -> dict[str, float]:
    """Tokens a second for the prompt and for new tokens, out of what `bench -o json` prints."""
    tests = json.loads(text[text.index("[") :])
    found = {"prompt" if test["n_prompt"] else "new": float(test["avg_ts"]) for test in tests}
    return {what: found[what] for what in ("prompt", "new")}


def _time_to_answer(program: Path, weights: str) -> Sample:
    start = time.perf_counter()
    with _answering(program, weights, tokens=1) as process:
        _first_letter(process)
        wall_s = time.perf_counter() - start
        cpu_s = _cpu_seconds(process.pid)
        process.kill()
    return Sample(wall_s=wall_s, cpu_s=cpu_s)


def _mapped_bytes(packed: Packed) -> int:
    """How much of the weights the engine has mapped from the packed file while it answers."""
    with _answering(packed.path, packed.inside, tokens=2000) as process:
        _first_letter(process)
        maps = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")
        process.kill()
    return mapped_from(maps, packed.path.resolve(), start=packed.data_offset, size=packed.size_bytes)


def mapped_from(maps: str, path: Path, *, start: int, size: int) -> int:
    """Bytes of the stretch `start`, `size` of a file that are mapped, out of the text of /proc/PID/maps."""
    total = 0
    for line in maps.splitlines():
        addresses, _, offset, _, _, *name = line.split(maxsplit=5)
        if name != [str(path)]:
            continue
        low, high = (int(part, 16) for part in addresses.split("-"))
        begin = int(offset, 16)
        total += max(0, min(begin + high - low, start + size) - max(begin, start))
    return total


def _answering(program: Path, weights: str, *, tokens: int) -> subprocess.Popen[bytes]:
    words = ["completion", "-m", weights, "-p", QUESTION, "-n", str(tokens), "--no-display-prompt", "-no-cnv"]
    return subprocess.Popen(
        [str(program), *words, "--no-warmup", "--temp", "0", *THREADS],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
    )


def _first_letter(process: subprocess.Popen[bytes]) -> None:
    """Wait for the first byte of the answer that is no white space."""
    stream: BinaryIO = process.stdout  # type: ignore[assignment]
    while letter := stream.read(1):
        if letter.strip():
            return
    raise SystemExit(f"{process.args!r}: ended without an answer")


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main("engine", measure))
