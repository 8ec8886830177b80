"""The benchmarks run on tiny sizes and make tables. How long anything took is nobody's business here."""

from __future__ import annotations

import shutil
import sys
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import gguf
import numpy as np
import pytest
from benchmarks.delta import Trials, _applying, _making_goals
from benchmarks.delta import measure as measure_delta
from benchmarks.engine import mapped_from, read_bench
from benchmarks.engine import measure as measure_engine
from benchmarks.front import MIB, Setting, main
from benchmarks.kept import KeptTrials
from benchmarks.lines import Case
from benchmarks.lines import measure as measure_lines
from benchmarks.machine import Place
from benchmarks.measure import Contender, Sample, interleaved, median
from benchmarks.pack import measure as measure_pack
from benchmarks.pairs import Pair
from benchmarks.peers import OURS, PatchTool
from benchmarks.start import measure as measure_start
from benchmarks.tables import Goal, Table, replace_section
from benchmarks.verify import measure as measure_verify
from tests.world.files import default_members, plain, write_tiny_file
from tests.world.models import TinyTensor, tiny_gguf

from benchmarks import front, inputs, variants
from lfbuild.commands.inspect import inspect
from lfbuild.commands.list import list_members

if TYPE_CHECKING:
    from pathlib import Path

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="benchmarks are for Linux")


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setattr("benchmarks.pack.lacking", lambda: "no file system is made by a test")
    monkeypatch.delenv("LFBUILD_BENCH_ZIPALIGN", raising=False)
    monkeypatch.delenv("LFBUILD_BENCH_GEMMA", raising=False)
    return Setting(folder=tmp_path, size_bytes=2 * MIB, sparse_bytes=400 * MIB, rounds=1, quick=True, packed=())


def test_goals_tell_whether_they_are_kept() -> None:
    table = Table(
        title="Copy",
        columns=("program", "time"),
        rows=[("cp", "1 s")],
        goals=[
            Goal(what="× cp", limit=1.2, found=1.1),
            Goal(what="share", limit=0.9, found=0.5, at_least=True),
            Goal(what="memory", limit=150, found=None, unit=" MiB"),
        ],
        notes=("Medians.",),
    )

    assert table.markdown() == (
        "### Copy\n"
        "\n"
        "| program | time |\n"
        "| --- | ---: |\n"
        "| cp | 1 s |\n"
        "\n"
        "| goal | limit | found | kept |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| × cp | ≤ 1.2 | 1.1 | yes |\n"
        "| share | ≥ 0.9 | 0.5 | **no** |\n"
        "| memory | ≤ 150 MiB | not measured | – |\n"
        "\n"
        "Medians.\n"
    )


def test_only_the_section_of_a_benchmark_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- begin pack -->\nold\n<!-- end pack -->\n<!-- begin start -->\nx\n<!-- end start -->\n")

    replace_section(page, "pack", "new \\1\n")

    assert page.read_text() == (
        "a\n<!-- begin pack -->\nnew \\1\n<!-- end pack -->\n<!-- begin start -->\nx\n<!-- end start -->\n"
    )


def test_the_page_has_a_section_for_each_benchmark(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(front.PAGE.read_text(encoding="utf-8"), encoding="utf-8")

    for name in ("delta", "pack", "verify", "start", "engine"):
        replace_section(page, name, "x")


def test_contenders_take_turns_and_the_first_round_is_not_counted() -> None:
    order: list[str] = []

    def contender(name: str) -> Contender:
        def run() -> Sample:
            order.append(name)
            return Sample(wall_s=len(order), cpu_s=0)

        return Contender(name=name, run=run)

    samples = interleaved([contender("a"), contender("b")], rounds=3)

    assert "".join(order) == "abababab"
    assert median(samples, "a", "wall") == 5


def test_a_busy_machine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(cpu="c", cores=2, memory_gib=8, file_system="ext4", kernel="6", python="3", load=1.5)
    monkeypatch.setattr(front, "look", lambda _folder: place)

    assert main("pack", lambda _setting: pytest.fail("it must not measure"), ["--folder", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "the load is 1.50, over 0.5: wait, or say --busy and get a trial\n"


def test_a_trial_is_not_written_to_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = front.PAGE.read_bytes()

    assert main("pack", lambda _setting: [], ["--quick", "--write", "--folder", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "benchmarks.md is left alone: a trial is no result\n"
    assert front.PAGE.read_bytes() == before
    assert list(tmp_path.iterdir()) == []


@linux
def test_differences_make_their_tables_and_every_tool_makes_the_new_file_again(setting: Setting) -> None:
    sizes, scale = measure_delta(setting)

    assert sizes.columns == ("tool", "something new")
    assert sizes.rows[0][0] == "lfbuild"
    assert sizes.rows[-1] == ("the new file itself", "1,048,589")
    assert [row[0] for row in scale.rows] == ["sparse, 0 GB"]
    assert all(goal.met for goal in scale.goals if goal.unit != " s")


@linux
def test_what_another_tool_did_with_the_same_two_files_is_kept(tmp_path: Path) -> None:
    old, new, runs = tmp_path / "old", tmp_path / "new", tmp_path / "runs"
    old.write_bytes(b"old")
    new.write_bytes(b"new")
    copy = 'echo made >> "$3" && cp "$1" "$2"'
    tool = PatchTool(
        name="cp",
        program="sh",
        make=lambda _, new, patch: ["sh", "-c", copy, "sh", new, patch, runs],
        apply=lambda _, patch, made: ["cp", patch, made],
    )
    pair = Pair(name="a word", old=old, new=new)

    first = KeptTrials(tmp_path / "kept").trial(tool, pair, tmp_path)
    again = KeptTrials(tmp_path / "kept")

    assert again.trial(tool, pair, tmp_path) == first
    assert again.taken == 1
    assert runs.read_text() == "made\n"

    with (tmp_path / "kept").open("a") as file:
        file.write('{"key": "cut sh')
    new.write_bytes(b"newer")
    later = KeptTrials(tmp_path / "kept")

    assert later.trial(tool, pair, tmp_path) != first
    assert later.taken == 0
    assert runs.read_text() == "made\nmade\n"
    assert KeptTrials(tmp_path / "kept").trial(tool, pair, tmp_path) == later.trial(tool, pair, tmp_path)


@linux
def test_what_applying_costs_is_judged_for_files_of_ours(tmp_path: Path) -> None:
    (tmp_path / "trial").mkdir()
    old = write_tiny_file(tmp_path, name="old")
    new = write_tiny_file(tmp_path, name="new", members=(*default_members(), plain("more", b"and more" * 200)))
    pair = Pair(name="one member more", old=old, new=new, changed_bytes=1600)
    trials: Trials = {("lfbuild", pair.name): OURS.trial(pair, tmp_path / "trial")}

    table = _applying("Tiny", [pair], trials)

    assert [row[0] for row in table.rows] == [pair.name]
    assert [goal.what for goal in (*table.goals, *_making_goals([pair], trials))] == [
        "memory to apply it: one member more",
        "written in place, 2 × what changes: one member more",
        "CPU to make it, a changed MB: one member more",
    ]
    assert all(goal.met for goal in table.goals)


@linux
def test_a_model_is_tuned_from_a_base_that_has_no_grid(tmp_path: Path) -> None:
    """Without the dither, a small change would move next to no code, and flatter every tool."""
    source, base, tuned = tmp_path / "m.gguf", tmp_path / "base", tmp_path / "tuned"
    chance = np.random.default_rng(5)
    weights = gguf.quants.quantize(chance.standard_normal((64, 256), np.float32), gguf.GGMLQuantizationType.Q8_0)
    model = tiny_gguf(None, (TinyTensor("blk.0.ffn_up.weight", (256, 64), 8),))
    source.write_bytes(model[: len(model) - weights.nbytes] + weights.tobytes())

    variants.tuned(source, base, share=0)
    variants.tuned(source, tuned, share=0.003)
    variants.tuned(source, tmp_path / "other layer", share=0.003, layers={7})

    changed = sum(a != b for a, b in zip(base.read_bytes(), tuned.read_bytes(), strict=True))
    assert 0.01 < changed / tuned.stat().st_size < 0.5
    assert (tmp_path / "other layer").read_bytes() == base.read_bytes()


@linux
def test_packing_makes_its_tables(setting: Setting) -> None:
    against, memory, sharing = measure_pack(setting)

    assert [row[0] for row in against.rows][:2] == ["lfbuild", "lfbuild, with Python's start"]
    assert against.rows[-1][:2] == ("zipalign", "not at hand")
    assert [row[0] for row in memory.rows] == ["2 MiB", "0.25 MiB", "0.03125 MiB"]
    assert sharing.rows == [("not measured here", "no file system is made by a test", "", "")]


@linux
def test_verifying_makes_its_tables(setting: Setting) -> None:
    cold, warm, quick = measure_verify(setting)

    assert [row[0] for row in cold.rows] == ["lfbuild verify", "raw read, 8 MiB pieces", "dd bs=8M"]
    assert len(warm.goals) == 2
    assert [row[0] for row in quick.rows] == ["0.0 GiB, 262,144 words", "0.4 GiB, 262,144 words"]


@linux
def test_starts_make_their_table(setting: Setting) -> None:
    (table,) = measure_start(setting)

    assert [row[0] for row in table.rows] == [
        "--help",
        "list: packed, 0.0 GiB, 262,144 words",
        "inspect: packed, 0.0 GiB, 262,144 words",
        "list: packed, 0.4 GiB, 262,144 words",
        "inspect: packed, 0.4 GiB, 262,144 words",
    ]


@linux
def test_a_file_with_holes_for_weights_is_a_file_of_ours(tmp_path: Path) -> None:
    path = inputs.sparse_packed(tmp_path, 8 << 30)

    assert path.stat().st_blocks * 512 < 64 * MIB
    found = inspect(path)
    assert found.kind == "lfbuild"
    assert [(model.member, model.size_bytes) for model in found.models] == [("model.gguf", 8 << 30)]
    assert next(member.name for member in list_members(path)) == "model.gguf"


def test_without_a_packed_file_the_engine_is_not_measured(setting: Setting) -> None:
    (table,) = measure_engine(setting)

    assert table.rows == [("engine", "no packed file was named")]


ENGINE = b"""#!/bin/sh
case "$1" in
completion) echo; echo Paris; exec sleep 60 ;;
bench)
  echo "$0: CPU level x86-64-v3" >&2
  echo '[{"n_prompt": 256, "n_gen": 0, "avg_ts": 380}, {"n_prompt": 0, "n_gen": 64, "avg_ts": 150}]'
  ;;
esac
exit
"""


@linux
def test_an_engine_makes_its_tables(setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed, native = tmp_path / "tiny.llamafile", tmp_path / "native"
    for path in (packed, native):
        path.write_bytes(ENGINE)
        path.chmod(0o755)
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("tiny.gguf", bytes(1000))
    monkeypatch.setenv("LFBUILD_BENCH_NATIVE", str(native))

    first, speed = measure_engine(replace(setting, packed=(packed,)))

    assert [row[0] for row in first.rows] == [
        "its engine alone, plain GGUF",
        "packed file, started before",
        "packed file, plain GGUF beside it",
        "packed file, first start",
    ]
    assert [goal.found for goal in first.goals[3:]] == [0]
    assert speed.rows == [
        ("packed file", "380.0", "150.0"),
        ("llama.cpp by gcc -march=native", "380.0", "150.0"),
        ("file by cosmocc", "not at hand", "not at hand"),
        ("llama-cpp-python, built here", "not at hand", "not at hand"),
    ]
    assert [goal.met for goal in speed.goals] == [True, True, None, None, None, None]
    assert speed.notes[0].endswith("the packed file ran at CPU level x86-64-v3.")
    assert not (tmp_path / "tiny.gguf").exists()


def test_the_output_of_bench_is_read() -> None:
    text = 'warning\n[{"n_prompt": 256, "n_gen": 0, "avg_ts": 381.5}, {"n_prompt": 0, "n_gen": 64, "avg_ts": 150.2}]'

    assert read_bench(text) == {"prompt": 381.5, "new": 150.2}


def test_only_what_is_mapped_of_the_weights_counts(tmp_path: Path) -> None:
    maps = (
        f"00001000-00003000 r--p 00000000 fe:00 12   {tmp_path}/a file\n"
        f"00010000-00014000 r--s 00002000 fe:00 12   {tmp_path}/a file\n"
        f"00020000-00024000 r--s 00002000 fe:00 13   {tmp_path}/other\n"
        "00030000-00034000 rw-p 00000000 00:00 0 \n"
    )

    assert mapped_from(maps, tmp_path / "a file", start=0x3000, size=0x2800) == 0x2800
    assert mapped_from(maps, tmp_path / "a file", start=0x5000, size=0x8000) == 0x1000


@linux
@pytest.mark.skipif(shutil.which("nginx", path="/usr/sbin:/usr/bin") is None, reason="nginx is not installed")
def test_lines_are_measured_against_their_floor(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(name="near", round_trip_ms=1, megabits=1000, blocks=5, block_bytes=1000, limit=9)
    monkeypatch.setattr("benchmarks.lines.CASES", (case,))

    (table,) = measure_lines(setting)

    assert [row[0] for row in table.rows] == [
        "near: ranges",
        "near: ranges, 8 connections",
        "near: one object (published difference)",
    ]
    assert [goal.limit for goal in table.goals] == [9, 1.2]
    assert case.floor_s == 5000 / 125_000_000 + 0.002
