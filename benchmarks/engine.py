"""The engine in a packed file: time to the first token, and speed against llama.cpp that was compiled for this machine.

The packed files are arguments. Peers of the same source are named by variables: LFBUILD_BENCH_NATIVE the program
`llama` that gcc compiled with -march=native, LFBUILD_BENCH_APE a file that cosmocc made, LFBUILD_BENCH_WHEEL a Python
that has the package llama-cpp-python.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from benchmarks import caches
from benchmarks.front import MIB, main
from benchmarks.measure import CHECKOUT, Contender, Sample, interleaved, median
from benchmarks.tables import Goal, Table, seconds
from lfbuild.archive.reader import Reader
from lfbuild.manifest.model import ENGINE_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.front import Setting

THREADS = ("-t", "2")
PROMPT_TOKENS, NEW_TOKENS = 256, 64
QUESTION = "The capital of France is"
_PIECE_BYTES = 8 << 20
_PROMPT_SHARE = 1.0
_PROMPT_SHARES = {"gemma-3": 0.97}
"""Of gcc's speed with a prompt: the goal, and a lower one for models whose name begins so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """A packed file, and where its weights are."""

    path: Path
    member: str
    data_offset: int
    size_bytes: int
    plain: Path
    """The same weights as a file of their own."""
    engine: Path
    """The engine for this machine as a file of its own; the packed file itself where its head is the engine."""
    cpu: str
    """The CPU level that it takes here."""

    @property
    def start(self) -> list[str]:
        """The words that start it: a shell starts what begins with a script or `MZ`, the system all else."""
        with self.path.open("rb") as file:
            return [str(self.path)] if file.read(4) == b"\x7fELF" else ["sh", str(self.path)]

    @property
    def inside(self) -> str:
        """The weights as the engine opens them in its own file."""
        return f"/zip/{self.member}"


def measure(setting: Setting) -> Iterator[Table]:
    """Tables for each packed file."""
    if not setting.packed:
        yield Table(title="Engine", columns=("not measured here", "why"), rows=[("engine", "no packed file was named")])
    for path in setting.packed:
        with tempfile.TemporaryDirectory(dir=setting.folder) as folder:
            packed = _unpack(path.absolute(), Path(folder))
            _read_anew(packed.path, packed.plain)
            yield _first_token(packed, setting)
            yield _speed(packed, setting)


def _read_anew(*paths: Path) -> None:
    """Have files in memory as reading leaves them there: how a file was written decides how its pages lie."""
    for path in paths:
        caches.cold(path, whole_machine=False)
        caches.warm(path)


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
    engine = _unpack_engine(path, folder)
    return Packed(
        path=path,
        member=names[0],
        data_offset=offset,
        size_bytes=size,
        plain=plain,
        engine=engine,
        cpu=_cpu_level(engine, plain),
    )


def _unpack_engine(path: Path, folder: Path) -> Path:
    name = f"{ENGINE_FOLDER}linux-{platform.machine()}"
    with zipfile.ZipFile(path) as archive:
        if name not in archive.namelist():
            return path
        with archive.open(name) as member, (folder / "engine").open("wb") as target:
            shutil.copyfileobj(member, target)
    (folder / "engine").chmod(0o755)
    return folder / "engine"


def _cpu_level(engine: Path, plain: Path) -> str:
    """What the engine says of itself when it is asked; an engine with one level has nothing to say."""
    words = ["bench", "-m", str(plain), "-p", "1", "-n", "0", "-r", "1", *THREADS]
    environment = os.environ | {"LFBUILD_CPU": "best"}
    told = subprocess.run(
        [str(engine), *words], env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    levels = [line.rpartition(": CPU level ")[2] for line in told.stderr.splitlines() if ": CPU level " in line]
    return levels[0] if levels else "not told"


def _first_token(packed: Packed, setting: Setting) -> Table:
    again, first = "packed file, started before", "packed file, first start"
    bare, beside = "its engine alone, plain GGUF", "packed file, plain GGUF beside it"
    cache = packed.plain.parent / "cache"
    contenders = [
        Contender(name=bare, run=lambda: _time_to_answer([packed.engine], str(packed.plain))),
        Contender(name=again, run=lambda: _time_to_answer(packed.start, packed.inside)),
        Contender(name=beside, run=lambda: _time_to_answer(packed.start, str(packed.plain))),
        Contender(name=first, run=lambda: _time_of_a_first_start(packed, cache)),
    ]
    samples = interleaved(contenders, rounds=setting.rounds)
    mapped = _mapped_bytes(packed)
    note = (
        f"From the start of the process to the first letter of its answer, `completion {' '.join(THREADS)}`, files in "
        f"the page cache. A first start has an empty cache folder. /proc/PID/maps shows {mapped // MIB} MiB of "
        f"{packed.size_bytes // MIB} MiB mapped from {packed.path.name} itself, at the member's offset."
    )
    wall = {name: median(samples, name, "wall") for name in samples}
    return Table(
        title=f"{packed.path.name}: start to first token",
        columns=("how", "first token after", "CPU until then"),
        rows=[(name, seconds(wall[name]), seconds(median(samples, name, "cpu"))) for name in samples],
        goals=[
            Goal(what="× the plain GGUF, same program", limit=1.05, found=wall[again] / wall[beside]),
            Goal(what="second start over the engine alone", limit=0.03, found=wall[again] - wall[bare], unit="s"),
            Goal(what="first start over the engine alone", limit=0.5, found=wall[first] - wall[bare], unit="s"),
            Goal(
                what="weights mapped from the packed file", limit=0.9, found=mapped / packed.size_bytes, at_least=True
            ),
        ],
        notes=(note,),
    )


def _speed(packed: Packed, setting: Setting) -> Table:
    ours, native, ape = "packed file", "llama.cpp by gcc -march=native", "file by cosmocc"
    wheel = "llama-cpp-python, built here"
    contenders = [Contender(name=ours, run=lambda: _bench(packed.start, None))]
    if path := os.environ.get("LFBUILD_BENCH_NATIVE"):
        contenders.append(Contender(name=native, run=lambda: _bench([path], str(packed.plain))))
    if file := os.environ.get("LFBUILD_BENCH_APE"):
        contenders.append(Contender(name=ape, run=lambda: _bench(["sh", file], str(packed.plain))))
    if python := os.environ.get("LFBUILD_BENCH_WHEEL"):
        contenders.append(Contender(name=wheel, run=lambda: _bench_wheel(python, packed.plain)))
    samples = interleaved(contenders, rounds=setting.rounds)
    rows = [(name, *(f"{median(samples, name, what):.1f}" for what in ("prompt", "new"))) for name in samples]
    rows += [(name, "not at hand", "not at hand") for name in (native, ape, wheel) if name not in samples]

    def share(name: str, of: str, what: str) -> float | None:
        return median(samples, name, what) / median(samples, of, what) if {name, of} <= samples.keys() else None

    prompt = next((share for name, share in _PROMPT_SHARES.items() if packed.member.startswith(name)), _PROMPT_SHARE)
    compared = (
        ("", ours, native, {"prompt": prompt, "new": 0.98}),
        ("cosmocc's ", ape, native, {"prompt": 0.9, "new": 0.9}),
        ("", ours, wheel, {"prompt": 1.0, "new": 1.0}),
    )
    goals = [
        Goal(
            what=f"{whose}{what} tokens/s, share of {'gcc' if of == native else 'llama-cpp-python'}'s",
            limit=limit,
            found=share(name, of, what),
            at_least=True,
        )
        for whose, name, of, limits in compared
        for what, limit in limits.items()
    ]
    tests = f"`bench -p {PROMPT_TOKENS} -n {NEW_TOKENS} {' '.join(THREADS)}`"
    note = (
        f"{tests}, medians of {setting.rounds} interleaved runs; {packed.member}, {packed.size_bytes // MIB} MiB; the "
        f"packed file ran at CPU level {packed.cpu}."
    )
    return Table(
        title=f"{packed.path.name}: speed against gcc -march=native",
        columns=("engine", "prompt tokens/s", "new tokens/s"),
        rows=rows,
        goals=goals,
        notes=(note,),
    )


def _bench(program: Sequence[str | Path], weights: str | None) -> Sample:
    """A packed file names its weights by itself: `bench` runs once for every `-m`."""
    chosen = ("-m", weights) if weights else ()
    words = ("bench", *chosen, "-p", PROMPT_TOKENS, "-n", NEW_TOKENS, *THREADS, "-r", "1", "-o", "json")
    start = time.perf_counter()
    finished = subprocess.run([str(word) for word in (*program, *words)], capture_output=True, check=False)
    if finished.returncode:
        raise SystemExit(f"{program[0]} bench: {finished.stderr.decode('utf-8', 'replace')[-2000:]}")
    return Sample(wall_s=time.perf_counter() - start, cpu_s=0, parts=read_bench(finished.stdout.decode()))


def _bench_wheel(python: str, weights: Path) -> Sample:
    words = [python, CHECKOUT / "benchmarks" / "wheel.py", weights, PROMPT_TOKENS, NEW_TOKENS, THREADS[1]]
    start = time.perf_counter()
    finished = subprocess.run([str(word) for word in words], capture_output=True, check=False)
    if finished.returncode:
        raise SystemExit(f"{python}: {finished.stderr.decode('utf-8', 'replace')[-2000:]}")
    return Sample(wall_s=time.perf_counter() - start, cpu_s=0, parts=read_bench(finished.stdout.decode()))


def read_bench(text: str) -> dict[str, float]:
    """Tokens a second for the prompt and for new tokens, out of what `bench -o json` prints."""
    tests = json.loads(text[text.index("[") :])
    found = {"prompt" if test["n_prompt"] else "new": float(test["avg_ts"]) for test in tests}
    return {what: found[what] for what in ("prompt", "new")}


def _time_of_a_first_start(packed: Packed, cache: Path) -> Sample:
    """With a cache folder that has nothing in it yet."""
    shutil.rmtree(cache, ignore_errors=True)
    return _time_to_answer(packed.start, packed.inside, LFBUILD_CACHE_DIR=str(cache))


def _time_to_answer(program: Sequence[str | Path], weights: str, **variables: str) -> Sample:
    start = time.perf_counter()
    with _answering(program, weights, tokens=1, **variables) as process:
        _first_letter(process)
        wall_s = time.perf_counter() - start
        cpu_s = _cpu_seconds(process.pid)
        process.kill()
    return Sample(wall_s=wall_s, cpu_s=cpu_s)


def _mapped_bytes(packed: Packed) -> int:
    """How much of the weights the engine has mapped from the packed file while it answers."""
    with _answering(packed.start, packed.inside, tokens=2000) as process:
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


def _answering(
    program: Sequence[str | Path], weights: str, *, tokens: int, **variables: str
) -> subprocess.Popen[bytes]:
    words = ["completion", "-m", weights, "-p", QUESTION, "-n", str(tokens), "--no-display-prompt", "-no-cnv"]
    return subprocess.Popen(
        [*map(str, program), *words, "--no-warmup", "--temp", "0", *THREADS],
        env=os.environ | variables,
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
