"""Text that is to stand in what is written: formats have UTF-8, and a file's name may be any bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.errors import Problem, RecipeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def refuse_odd_name(path: Path, text: str = "", *, place: str) -> None:
    """Refuse a file whose name, or what `text` has of its path, cannot stand in `place`.

    Raises:
        RecipeError: it is not UTF-8.
    """
    try:
        (text or path.name).encode()
    except UnicodeEncodeError:
        what = f"its name is not UTF-8, as all text in {place} is"
        raise RecipeError(path, [Problem(where=str(path), key="", what=what)], hint="rename it") from None


def refuse_shared_names(paths: Sequence[Path]) -> None:
    """Refuse files that are to lie in one folder and have one name there: only one of them would.

    Raises:
        RecipeError: two have.
    """
    seen: dict[str, Path] = {}
    for path in paths:
        if path.name in seen:
            what = f"is to lie beside {seen[path.name]}, which has the same name"
            raise RecipeError(path, [Problem(where=str(path), key="", what=what)], hint="rename one of them")
        seen[path.name] = path
