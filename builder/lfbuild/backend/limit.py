"""Whether a package index takes a wheel of this size: told as early as its size is known, with the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lfbuild.errors import Problem, RecipeError
from lfbuild.fetch.network import without_secrets

if TYPE_CHECKING:
    from lfbuild.backend.order import Order

MIB: Final = 1 << 20
PYPI_LIMIT_BYTES: Final = 100 * MIB
"""What PyPI takes without being asked; other indexes have other limits, or none."""


def tell_size(order: Order, size_bytes: int) -> None:
    """Tell that PyPI does not take a wheel of so many bytes unasked, where the project names no limit of its own."""
    if order.limit_bytes is None and size_bytes > PYPI_LIMIT_BYTES:
        taken = f"PyPI takes {_mib(PYPI_LIMIT_BYTES)} MiB unless asked for more"
        order.report.note(f"the wheel has {_mib(size_bytes)} MiB, and {taken}; {_split(order, size_bytes)}")


def refuse_over_limit(order: Order, least_bytes: int) -> None:
    """Refuse a wheel of at least so many bytes.

    Raises:
        RecipeError: it is over the limit that the project has.
    """
    limit = order.limit_bytes
    if limit is not None and least_bytes > limit:
        what = f"the wheel would have {_mib(least_bytes)} MiB at least, and the index takes {_mib(limit)} MiB"
        hint = _split(order, least_bytes)
        raise RecipeError("wheel", [Problem(where="wheel", key="", what=what)], hint=hint)


def _split(order: Order, size_bytes: int) -> str:
    """How the same can be had in wheels that are small enough."""
    if order.is_of_engines:
        return "make a wheel of some of its systems: -C target=TARGET"
    thin = f"-C embed=no makes a wheel of some KiB, whose program fetches the {_mib(size_bytes)} MiB at its first start"
    if order.project.recipe.update:
        return f"{thin} from {without_secrets(str(order.project.recipe.update.url))}"
    return f"{thin}, from the address that [update] url of the recipe then names"


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.1f}"
