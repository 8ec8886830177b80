"""`SHA256SUMS`: a digest and a name a line, as `sha256sum -c` reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SUMS_NAME: Final = "SHA256SUMS"


def sums_text(digests: Mapping[str, str]) -> str:
    """The sums of files by name. A name never has a newline or a backslash here, so none has to be escaped."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
