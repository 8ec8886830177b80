"""Whether a package index takes a wheel of this size: told as early as its size is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lfbuild.errors import Problem, RecipeError

if TYPE_CHECKING:
    from lfbuild.backend.order import Order

MIB: Final = 1 << 20
PYPI_LIMIT_BYTES: Final = 100 * MIB
"""What PyPI takes without being asked; other indexes have other limits, or none."""


def refuse_over_limit(order: Order, least_bytes: int) -> None:
    """Refuse a wheel of at least so many bytes; over PyPI's own limit, tell it."""
    limit = order.limit_bytes
    if limit is None and least_bytes > PYPI_LIMIT_BYTES:
        order.report.note(
            f"the wheel has {_mib(least_bytes)} MiB; PyPI takes {_mib(PYPI_LIMIT_BYTES)} MiB unless asked for more"
        )
    if limit is not None and least_bytes > limit:
        what = f"the wheel would have {_mib(least_bytes)} MiB at least, and the index takes {_mib(limit)} MiB"
        raise RecipeError("wheel", [Problem(where="wheel", key="", what=what)])


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.1f}"
