"""Makes docs/run.svg: a real run of the main job, as a terminal shows it. Run it by hand when the output changes."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
QUESTION = "./smollm2.llamafile completion -p 'The capital of France is' -n 8 2>/dev/null"
COMMANDS = ("lfbuild smollm2.toml", QUESTION, "lfbuild verify smollm2.llamafile", "lfbuild inspect smollm2.llamafile")


def main() -> None:
    """Run each command in a folder of its own and draw what it says."""
    console = Console(record=True, width=110, file=io.StringIO())
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "smollm2.toml").write_bytes((ROOT / "recipes" / "smollm2.toml").read_bytes())
        for command in COMMANDS:
            console.print(Text(f"$ {command}", style="bold green"))
            words = command.replace("lfbuild ", f"{shlex.quote(sys.executable)} -m lfbuild ", 1)
            finished = subprocess.run(words, shell=True, cwd=folder, capture_output=True, text=True, check=True)  # noqa: S602  # our own words
            console.print(Text((finished.stderr + finished.stdout).strip()))
            console.print()
    # Without the fonts that rich would have a browser fetch from elsewhere.
    drawing = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="lfbuild"), flags=re.DOTALL)
    (ROOT / "docs" / "run.svg").write_text(drawing, encoding="utf-8")


main()
