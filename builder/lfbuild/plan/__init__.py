"""From a recipe and what was found for it to a plan: an engine's work order and the members of the file.

Pure: nothing is fetched, compiled or asked here. After it nothing is decided any more, only carried out.
"""

from lfbuild.plan.lint import unknown_flags
from lfbuild.plan.make import Plan, SuppliedFile, Supplies, make_plan, targeted_cpus

__all__ = ["Plan", "SuppliedFile", "Supplies", "make_plan", "targeted_cpus", "unknown_flags"]
