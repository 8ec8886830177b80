"""Runs the signing commands of a recipe on files that are not final yet.

A command signs in place; `{file}` in it is the file's path. It is started without a shell, in the recipe's folder, with
the environment of whoever called lfbuild, as keys and their passwords are found there.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.archive.reader import Reader
from lfbuild.errors import LfbuildError, ToolError
from lfbuild.formats.executable import MOST_SIGNATURE_BYTES, PROBE_BYTES, certificate_table
from lfbuild.host.process import run
from lfbuild.manifest.verify import load_manifest, verify_structure

if TYPE_CHECKING:
    from lfbuild.commands.settings import Settings

_TAIL_LINES = 5


def sign(command: str, file: Path, *, folder: Path, settings: Settings) -> None:
    """Run `command` on `file`.

    Raises:
        ToolError: there is no such program, or it failed; the lines behind the first are what it said last.
    """
    words = [word.replace("{file}", str(file.absolute())) for word in shlex.split(command)]
    program = _find(words[0], folder, settings)
    finished = run([program, *words[1:]], cwd=folder.absolute(), env=settings.environment)
    if finished.returncode != 0:
        failed = f"signing failed with exit code {finished.returncode}: {command}"
        raise ToolError(words[0], "\n".join((failed, *finished.tail[-_TAIL_LINES:])))


def sign_finished(command: str, file: Path, *, folder: Path, settings: Settings) -> None:
    """Run `command` on a whole file, which has to be as true as before.

    Raises:
        ToolError: it failed, the signature is too long, or what it left is no file of ours any more.
    """
    sign(command, file, folder=folder, settings=settings)
    with file.open("rb") as signed:
        table = certificate_table(signed.read(PROBE_BYTES))
    # Said here, as of a file with a long one no reader finds the end records, whose fault would be told instead.
    if table is not None and table[1] > MOST_SIGNATURE_BYTES:
        what = f"its signature has {table[1]} bytes, and at most {MOST_SIGNATURE_BYTES} leave the end to be found"
        raise ToolError(shlex.split(command)[0], what, hint="sign with fewer certificates")
    try:
        with Reader.open(file) as reader:
            ours = load_manifest(reader)
            faults = [f"{it.subject}: {it.what}" for it in verify_structure(reader, *ours)] if ours else ["no manifest"]
    except LfbuildError as error:
        faults = [error.what]
    if faults:
        raise ToolError(shlex.split(command)[0], f"signing left a file that does not verify: {faults[0]}")


def _find(name: str, folder: Path, settings: Settings) -> Path:
    """The program of that name: by its path, from the recipe's folder, or on the search path."""
    if "/" in name:
        return (folder / Path(name).expanduser()).absolute()
    found = settings.machine.find_program(name)
    if found is None:
        raise ToolError(name, "there is no such program to sign with", hint="install it, or give its path")
    return found
