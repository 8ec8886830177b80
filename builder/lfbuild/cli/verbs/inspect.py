"""`lfbuild inspect FILE`: what a file is and holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.render import Block, Table
    from lfbuild.cli.words import Parser, Subparsers
    from lfbuild.commands.inspect import Inspection
    from lfbuild.manifest.model import EngineRecord

EXAMPLES = """\
  lfbuild inspect chat.llamafile
  lfbuild inspect model.gguf             a model by itself
  lfbuild inspect chat.llamafile --json | jq .models"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `inspect`."""
    parser = subparsers.add(
        "inspect",
        summary="tell what a file is: engine, models, how it was made",
        description="Tells what a file is and holds, without running it: a file of ours, Mozilla's llamafile,\n"
        "a plain GGUF, a bare program (APE, ELF, PE or Mach-O), or a delta.\n"
        "An edit in place that was interrupted and counts already is finished first, and nothing else is written.",
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a llamafile, a GGUF, a program or a delta")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Inspect, and show what was found."""
    from lfbuild.commands.inspect import inspect, inspection_document

    inspection = inspect(context.settled(arguments.file))
    context.output.show(inspection_document(inspection), *_blocks(inspection))
    return 0


def _blocks(inspection: Inspection) -> list[Block]:
    """What the file is, its engines and models as tables, and what to know of it."""
    from lfbuild.cli.render import Cell, Column, Facts, Table
    from lfbuild.report import size_words

    blocks: list[Block] = [
        Facts([("file", str(inspection.path)), ("what", _kind_words(inspection)), *_facts(inspection)])
    ]
    if inspection.slices:
        blocks += ["", _engines(inspection)]
    if inspection.models:
        columns = [
            Column(title="model"),
            Column(title="architecture"),
            Column(title="parameters", right=True),
            Column(title="quantization"),
            Column(title="context", right=True),
            Column(title="size", right=True),
            Column(title="at", right=True),
        ]
        rows = [
            [
                model.member or model.facts.name,
                model.facts.architecture,
                _count_words(model.facts.parameters),
                model.facts.quantization,
                str(model.facts.context_length or ""),
                size_words(model.size_bytes),
                str(model.data_offset),
            ]
            for model in inspection.models
        ]
        blocks += ["", Table(columns=columns, rows=rows)]
    return [*blocks, *(Cell(f"note: {note}", "warn") for note in inspection.notes)]


def _head_words(inspection: Inspection) -> str:
    if inspection.manifest is not None and inspection.manifest.head.kind == "engine":
        return "the engine itself"
    if not inspection.slices:
        return "a note that another file starts it"
    return "a launcher, which starts the engine for its machine"


def _engines(inspection: Inspection) -> Table:
    """What a launcher chooses from: the first line of its own target."""
    from lfbuild.cli.render import Column, Table, method_words
    from lfbuild.report import size_words

    columns = [
        Column(title="engine for"),
        Column(title="kept"),
        Column(title="stored", right=True),
        Column(title="size", right=True),
        Column(title="digest"),
        Column(title="levels"),  # thirteen of them make a long line
    ]
    rows = [
        [
            item.target,
            method_words(item.method),
            size_words(item.stored_size),
            size_words(item.decoded_size),
            item.digest,
            ", ".join(item.cpus),
        ]
        for item in inspection.slices
    ]
    return Table(columns=columns, rows=rows)


def _kind_words(inspection: Inspection) -> str:
    words = {
        "lfbuild": "a file of lfbuild",
        "llamafile": "Mozilla's llamafile, or one made in its manner",
        "zip": "a ZIP file",
        "gguf": "a GGUF model",
        "program": "a program",
        "delta": "a difference between two files, for `lfbuild apply`",
    }
    return words[inspection.kind]


def _facts(inspection: Inspection) -> list[tuple[str, str]]:
    from lfbuild.report import size_words

    program = inspection.program
    facts = [("size", size_words(inspection.size_bytes))]
    if program.kind != "none":
        facts.append(
            ("program", f"{program.kind} for {', '.join(program.machines)}" if program.machines else program.kind)
        )
    if delta := inspection.delta:
        facts += [
            ("for", f"{delta.old_name}, {size_words(delta.old_bytes)}"),
            ("makes", f"{delta.new_name}, {size_words(delta.new_bytes)}"),
            ("needs", ", ".join(delta.encoders)),
        ]
    if inspection.members:
        facts.append(("members", str(inspection.members)))
    if inspection.engine_version:
        facts.append(("engine", f"llamafile {inspection.engine_version}"))
    if inspection.arguments:
        facts.append(("starts as", " ".join(inspection.arguments)))
    manifest = inspection.manifest
    if manifest is None:
        return facts
    release, engine = manifest.release, manifest.engine
    facts[:0] = [
        ("name", release.name),
        ("version", release.version),
        ("about", release.description),
        ("license", release.license),
        ("homepage", release.homepage),
    ]
    if engine is not None:
        facts += [
            ("engine", _engine_words(engine)),
            ("runs on", ", ".join(engine.targets)),
            ("levels", ", ".join(engine.cpus)),
        ]
    facts.append(("begins with", _head_words(inspection)))
    facts.append(("needs beside it", inspection.beside))
    return [*facts, ("generation", str(inspection.generation)), ("updates", manifest.update_url)]


def _engine_words(engine: EngineRecord) -> str:
    """What it is and what compiled it, as far as that is known."""
    if engine.toolchain.kind == "unknown":
        named = f"{engine.name} {engine.version}" if engine.version else "of an unknown version"
        return f"{named}, not compiled by lfbuild"
    return f"{engine.name} {engine.version} by {engine.toolchain.kind} {engine.toolchain.version}"


def _count_words(count: int) -> str:
    """A number of parameters as people say it: 134.5 M."""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return str(count)
