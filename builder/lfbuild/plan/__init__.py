"""From a recipe and what was found for it to a plan: the engines' work orders and the files.

Pure: nothing is fetched, compiled or asked here. After it nothing is decided any more, only carried out.
"""

from lfbuild.plan.files import PlannedFile
from lfbuild.plan.lint import unknown_flags
from lfbuild.plan.make import Plan, SuppliedFile, Supplies, make_plan

__all__ = ["Plan", "PlannedFile", "SuppliedFile", "Supplies", "make_plan", "unknown_flags"]
