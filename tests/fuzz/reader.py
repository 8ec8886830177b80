"""Damages files at random and reads them with everything that reads: `python -m tests.fuzz.reader SECONDS [SEED]`.

Whatever the bytes are, a reader answers or refuses with an `LfbuildError`, in bounded time and memory. Needs no
coverage feedback: the corpus is small files of every kind, and the mutations know the fields that lie best.
"""

from __future__ import annotations

import contextlib
import random
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3
from tests.world.deltas import applied
from tests.world.files import verified, write_tiny_file
from tests.world.models import tiny_gguf
from tests.world.programs import tiny_ape, tiny_elf
from tests.world.slices import tiny_launcher
from tests.world.zips import Stored, zip_of

from lfbuild.archive.check import check_members
from lfbuild.archive.extract import extract_member, target_of
from lfbuild.archive.reader import Reader
from lfbuild.channel.describe import describe_release
from lfbuild.channel.index import ReleaseIndex
from lfbuild.channel.leaves import known_leaves, missing_leaves
from lfbuild.errors import LfbuildError
from lfbuild.formats.args import expand_args, parse_args
from lfbuild.formats.blocks import BlockIndex
from lfbuild.formats.executable import identify_program, signature_holes
from lfbuild.formats.gguf import cut_gguf, read_gguf
from lfbuild.formats.model import model_facts
from lfbuild.formats.slices import Slice, parse_slices, slices_to_bytes
from lfbuild.manifest.mapping import map_file
from lfbuild.manifest.model import parse_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

DELTAS = Path(__file__).parent.parent / "vectors" / "delta"
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_SLOWEST_SECONDS = 5.0


def corpus(folder: Path) -> list[bytes]:
    """Small files of every kind."""
    files = [
        write_tiny_file(folder, head=head, align_bytes=64, room_bytes=70).read_bytes()
        for head in (tiny_elf(), tiny_ape(), tiny_launcher())
    ]
    members = (Stored("a", b"text" * 99, method=8), Stored("b", b"x"), Stored("dir/", mode=0o40755))
    table = slices_to_bytes(
        (Slice(target="a", cpus=("b",), member="c", method=0, stored_size=1, decoded_size=2, digest="ab" * 32),)
    )
    delta = (DELTAS / "every.lfdelta").read_bytes()
    found = map_file(folder / "tiny.llamafile", threads=1)
    index = describe_release(found, name="t", url="t", manifest=None).index.to_bytes()
    return [
        *files,
        delta,
        index,
        zip_of(*members),
        zip_of(*members, start=tiny_ape()),
        tiny_gguf(),
        table,
        b"'a' \"b\" $HOME ...\n",
    ]


def mutated(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """A damaged copy."""
    copy = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        position = chance.randrange(len(copy) + 1)
        if chance.random() < 0.4:  # the end is where a ZIP keeps what it says of itself
            position = max(0, len(copy) - chance.randrange(700))
        _damage(copy, position, chance, others)
    return bytes(copy)


def _damage(copy: bytearray, position: int, chance: random.Random, others: list[bytes]) -> None:
    act = chance.randrange(6)
    if act == 0 and position < len(copy):
        copy[position] = chance.randrange(256)
    elif act == 1:
        raw = struct.pack("<Q", chance.choice(_NUMBERS))[: chance.choice((1, 2, 4, 8))]
        copy[position : position + len(raw)] = raw
    elif act == 2:
        del copy[position : position + chance.randrange(1, 200)]
    elif act == 3:
        start = chance.randrange(len(copy) + 1)
        copy[position:position] = copy[start : start + chance.randrange(200)]
    elif act == 4:
        other = chance.choice(others)
        start = chance.randrange(len(other))
        piece = other[start : start + chance.randrange(400)]
        copy[position : position + len(piece)] = piece
    else:
        del copy[position:]


def read_everything(data: bytes, path: Path) -> None:
    """Hand the bytes to every reader; what they refuse is fine, anything else is a bug.

    Raises:
        Exception: a reader failed in a way that is no refusal.
    """
    path.write_bytes(data)
    verified(path)
    for read in (_read_zip, _extract, _read_model, _read_small, _map, _apply):
        with contextlib.suppress(LfbuildError):
            read(data, path)


def _read_zip(_data: bytes, path: Path) -> None:
    with Reader.open(path) as reader:
        list(check_members(reader))


def _extract(_data: bytes, path: Path) -> None:
    with Reader.open(path) as reader:
        for record in reader.records.values():
            with contextlib.suppress(LfbuildError), path.with_suffix(".member").open("w+b", buffering=0) as file:
                target = target_of(record, path.parent, where="x")
                if path.parent not in target.parents:
                    raise RuntimeError(f"{record.name!r} leads out of the folder")
                extract_member(reader, record, file, threads=1)


def _read_model(data: bytes, _path: Path) -> None:
    start = max(data.find(b"GGUF"), 0)
    model = data[start:]
    header = read_gguf(lambda offset, length: model[offset : offset + length], len(model), where="x")
    model_facts(header)
    if cut_gguf(header).size_bytes != len(model):
        raise RuntimeError("the cuts do not cover the model")


def _map(_data: bytes, path: Path) -> None:
    found = map_file(path, threads=1)
    if found.size_bytes != path.stat().st_size:
        raise RuntimeError("the map does not cover the file")


def _apply(data: bytes, path: Path) -> None:
    start = data.find(b"LFDELTA")
    if start >= 0:
        applied(DELTAS / "every.old", data[start:], folder=path.parent)


def _read_small(data: bytes, _path: Path) -> None:
    identify_program(data)
    signature_holes(data)
    readers: tuple[Callable[[bytes], object], ...] = (
        lambda piece: BlockIndex.parse(piece, where="x"),
        lambda piece: parse_slices(piece, where="x"),
        lambda piece: parse_manifest(piece, where="x"),
        _read_index,
        lambda piece: parse_args(piece, environment={}),
        lambda piece: expand_args(piece, ["own"], environment={}),
    )
    starts = {0, max(data.find(b"LFBLOCKS"), 0), max(data.find(b'{"'), 0)}
    for start in sorted(starts):
        for read in readers:
            with contextlib.suppress(LfbuildError):
                read(data[start:])


def _read_index(data: bytes) -> None:
    """Read a control file, as it is and with a digest that fits: the second is what somebody would write."""
    for whole in (data, data[:-32] + blake3(data[:-32]).digest()):
        with contextlib.suppress(LfbuildError):
            index = ReleaseIndex.parse(whole, where="x")
            known = known_leaves(index, [])
            missing_leaves(index, known, where="x")
            if sum(part.size_bytes for part in index.parts) != index.file.size_bytes:
                raise RuntimeError("the parts do not cover the file")


def fuzz(*, rounds: int | None, seconds: float, seed: int) -> int:
    """Read damaged files until `rounds` or `seconds` are over; returns how many.

    Raises:
        RuntimeError: a reader crashed or was slow; the message has the seed, the round and the bytes.
    """
    chance = random.Random(seed)  # noqa: S311  # nothing secret
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fuzzed"
        seeds = corpus(Path(folder))
        done = 0
        while time.monotonic() < deadline and (rounds is None or done < rounds):
            data = mutated(chance.choice(seeds), chance, seeds)
            began = time.monotonic()
            try:
                read_everything(data, path)
            except Exception as error:
                raise RuntimeError(f"seed {seed}, round {done}: {error!r} on {data!r}") from error
            if time.monotonic() - began > _SLOWEST_SECONDS:
                raise RuntimeError(f"seed {seed}, round {done}: slower than {_SLOWEST_SECONDS} s on {data!r}")
            done += 1
    return done


def main(words: list[str]) -> None:
    """Fuzz for as long as the first word says, in seconds, from the seed that the second one is."""
    seconds = float(words[0]) if words else 60.0
    seed = int(words[1]) if words[1:] else random.SystemRandom().randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    sys.stdout.write(f"{fuzz(rounds=None, seconds=seconds, seed=seed)} files, no crash\n")


if __name__ == "__main__":
    main(sys.argv[1:])
