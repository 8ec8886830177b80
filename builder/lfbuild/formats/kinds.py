"""What else a user of lfbuild has at hand, where a ZIP was meant: told by its first bytes."""

from __future__ import annotations

from typing import Final

from lfbuild.formats.delta import MAGIC as DELTA_MAGIC
from lfbuild.formats.gguf import MAGIC as GGUF_MAGIC

KIND_BYTES: Final = 8
"""So many first bytes tell."""
_KINDS: Final = {
    GGUF_MAGIC: ("is a GGUF, a model without an engine", "`lfbuild new` makes a recipe for it, and that a llamafile"),
    DELTA_MAGIC: ("is a difference between two files", "`lfbuild apply OLD DELTA` makes the newer one of the older"),
    b"LFRINDEX": ("is the control file of a release", "`lfbuild update FILE URL` reads it"),
}


def known_kind(start: bytes) -> tuple[str, str] | None:
    """What a file is that begins so, and what to do with it."""
    return next((told for magic, told in _KINDS.items() if start.startswith(magic)), None)
