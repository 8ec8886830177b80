"""The seal: the one fixed-length ASCII line that is the comment of a file's ZIP end record.

    lfbuild 1 0000000000000001 clean 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\\n

offset size field
0      7    `lfbuild`, so that `file` and people know what this is
8      1    version of the file format
10     16   generation, decimal with leading zeros: 1 for a new file, one more for each later commit
27     5    `clean`, or `redo ` while a journal has to be finished before the file may be used
33     64   BLAKE3 of the manifest member, hexadecimal: what the whole chain of digests hangs on
97     1    a newline, so that tools that print the comment end their line

The length never changes, so the last 98 bytes of a file of ours are its seal, wherever its directory is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, Self

from lfbuild.errors import FormatError

FORMAT_VERSION: Final = 1
SEAL_BYTES: Final = 98
LAST_GENERATION: Final = 10**16 - 1
State = Literal["clean", "redo"]

_LINE = re.compile(rb"lfbuild ([0-9]) ([0-9]{16}) (clean|redo ) ([0-9a-f]{64})\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class Seal:
    """Generation, state and manifest digest (64 hexadecimal digits) of a file."""

    generation: int
    state: State
    manifest_digest: str

    def to_bytes(self) -> bytes:
        """The 98 bytes of the line.

        Raises:
            FormatError: the generation has more digits than there is room for.
        """
        if not 0 <= self.generation <= LAST_GENERATION:
            raise FormatError("seal", f"cannot hold the generation {self.generation}, only 0 to {LAST_GENERATION}")
        return f"lfbuild {FORMAT_VERSION} {self.generation:016d} {self.state:<5} {self.manifest_digest}\n".encode()

    @classmethod
    def parse(cls, comment: bytes, *, where: str) -> Self | None:
        """Read the line; None if the comment is somebody else's.

        Raises:
            FormatError: the line is damaged, or of a version that this lfbuild does not know.
        """
        if not comment.startswith(b"lfbuild "):
            return None
        match = _LINE.fullmatch(comment)
        if match is None:
            raise FormatError(where, "the seal in the comment of the ZIP end record is damaged")
        version, generation, state, digest = match.groups()
        if int(version) != FORMAT_VERSION:
            raise FormatError(
                where,
                f"file format {int(version)} is not known, only {FORMAT_VERSION}",
                hint="update lfbuild: pip install -U lfbuild",
            )
        return cls(
            generation=int(generation),
            state="clean" if state == b"clean" else "redo",
            manifest_digest=digest.decode(),
        )
