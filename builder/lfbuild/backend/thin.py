"""Makes a thin wheel: a program that gets its file at the first start, out of a release that is published elsewhere.

In the wheel is the release's control file, with the digest of every block; so what is fetched is what was built,
whoever serves it, and a later release at the same address changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.backend.contents import small_files, thin_files
from lfbuild.backend.order import dist_info
from lfbuild.backend.tags import program_name
from lfbuild.backend.wheel import write_wheel
from lfbuild.channel.describe import describe_release
from lfbuild.channel.index import reference_to
from lfbuild.channel.release import index_address
from lfbuild.commands.build import carry_out
from lfbuild.commands.engines import source_facts
from lfbuild.commands.index import manifest_of
from lfbuild.commands.prepare import prepare
from lfbuild.commands.publish import place_of
from lfbuild.errors import FormatError, Problem, RecipeError
from lfbuild.fetch.network import without_secrets
from lfbuild.manifest.mapping import map_file

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.backend.order import Order


def make_thin_wheel(order: Order, folder: Path) -> Path:
    """Build the file to know every byte of it, and write the wheel that will fetch it.

    Raises:
        RecipeError: the recipe has no address that the file could be had from.
        ToolError, FormatError, IntegrityError, FetchError, HostError: as the steps find.
    """
    project, names, info = order.project, order.project.names, dist_info(order)
    base, name = _address(order), project.recipe.output_name
    with order.settings.store().incoming() as scratch:
        plan = prepare(
            project.recipe.path,
            output=scratch / name,
            locked=order.locked,
            choice=order.choice,
            epoch=order.settings.epoch,
            settings=order.settings,
            report=order.report,
        )
        if len(plan.files) > 1:
            raise FormatError(name, "is two files, as Windows starts none of that size; a thin wheel fetches one")
        built = carry_out(plan, jobs=order.jobs, settings=order.settings, report=order.report)
        found = map_file(built.path, threads=order.settings.machine.cores)
        url = f"{base}/{place_of(found, name)}"
        described = describe_release(found, name=reference_to(name), url=url, manifest=manifest_of(built.path))
    package = thin_files(
        names,
        summary=project.summary,
        program=program_name(names.command, order.targets),
        index=described.index,
        engine_license=source_facts(plan.engine_jobs[0]).license,
    )
    files = [*small_files(package), *small_files(info.files(), folder=f"{names.dist_info}/")]
    target = folder / names.wheel(info.platforms)
    write_wheel(target, files, record=names.record, epoch=order.settings.epoch)
    shown, there = without_secrets(url), without_secrets(base)
    order.report.note(f"the program fetches {shown}; put the file there: lfbuild publish {name} {there}/")
    return target


def _address(order: Order) -> str:
    """The folder of the recipe's `[update] url`."""
    recipe = order.project.recipe
    if recipe.update is None:
        what = "has no [update] url, from which a thin wheel could fetch the file"
        raise RecipeError(recipe.path, [Problem(where=str(recipe.path), key="", what=what)])
    if not str(recipe.update.url).startswith("http"):
        what = f"is {without_secrets(str(recipe.update.url))}, and a thin wheel fetches its file from a web server"
        raise RecipeError(recipe.path, [recipe.problem(("update", "url"), what)])
    return index_address(str(recipe.update.url), recipe.output_name).rpartition("/")[0]
