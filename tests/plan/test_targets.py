"""Which targets a file has, their levels, and the head that starts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.plan.world import COSMOCC, RECIPE, TARGETS_TABLE, plan_of, recipe_of, supplies, targeting

from lfbuild.engine.cpu import shipped_levels
from lfbuild.errors import RecipeError
from lfbuild.formats.head import TARGETS

if TYPE_CHECKING:
    from pathlib import Path

ALL_TARGETS = "linux-x86_64, linux-aarch64, windows-x86_64, macos-aarch64, macos-x86_64"


def levels(folder: Path, targets: str) -> dict[str, tuple[str, ...]]:
    return {job.target: job.cpus for job in plan_of(targeting(folder, targets)).engine_jobs}


def refusal(folder: Path, targets: str, *, more: str = "") -> list[str]:
    with pytest.raises(RecipeError) as caught:
        plan_of(targeting(folder, targets, more=more))
    return [line.removeprefix(f"{folder}/chat.toml:") for line in str(caught.value).splitlines()]


def test_without_a_word_zig_makes_every_target_with_the_levels_that_upstream_ships(tmp_path: Path) -> None:
    assert levels(tmp_path, "") == {name: shipped_levels(name) for name in TARGETS}


def test_host_is_the_machine_that_builds(tmp_path: Path) -> None:
    assert levels(tmp_path, 'systems = ["host"]\ncpus = ["x86-64-v3", "armv8.2-a+dotprod"]\n') == {
        "linux-x86_64": ("x86-64-v3",)
    }


def test_a_list_is_for_every_target_of_its_architecture_and_is_sorted_best_first(tmp_path: Path) -> None:
    targets = """\
systems = ["macos-aarch64", "linux-x86_64"]
cpus = ["x86-64-v2", "armv8-a", "x86-64-v4+avx512vnni", "armv8.2-a+dotprod", "x86-64-v3+avx512vnni+avx512bf16"]
"""
    assert levels(tmp_path, targets) == {
        "macos-aarch64": ("armv8.2-a+dotprod", "armv8-a"),
        "linux-x86_64": ("x86-64-v4+avx512bf16+avx512vnni", "x86-64-v4+avx512vnni", "x86-64-v2"),
    }


def test_a_table_has_levels_of_single_targets_and_leaves_the_others_all(tmp_path: Path) -> None:
    targets = 'systems = ["linux-x86_64", "macos-x86_64"]\ncpus = { linux-x86_64 = ["x86-64-v3"] }\n'

    assert levels(tmp_path, targets) == {
        "linux-x86_64": ("x86-64-v3",),
        "macos-x86_64": shipped_levels("macos-x86_64"),
    }


@pytest.mark.parametrize(
    ("systems", "head"),
    [
        ('["linux-x86_64"]', "elf"),
        ('["linux-x86_64", "linux-aarch64"]', "script"),
        ('["macos-aarch64"]', "script"),
        ('["windows-x86_64"]', "polyglot"),
        ('["linux-x86_64", "windows-x86_64"]', "polyglot"),
    ],
)
def test_the_head_is_the_one_that_starts_everywhere(systems: str, head: str, tmp_path: Path) -> None:
    (file,) = plan_of(targeting(tmp_path, f"systems = {systems}\n")).files

    assert file.head == head


@pytest.mark.parametrize("head", ["elf", "script", "engine"])
def test_one_linux_target_may_begin_with_what_it_likes(head: str, tmp_path: Path) -> None:
    (file,) = plan_of(targeting(tmp_path, f'systems = ["linux-x86_64"]\nhead = "{head}"\n')).files

    assert file.head == head


def test_everything_that_does_not_fit_together_is_told_at_once(tmp_path: Path) -> None:
    targets = """\
systems = ["host", "linux-x86_64", "macos-aarch64"]
cpus = { macos-aarch64 = ["x86-64-v3"], linux-x86_64 = ["x86-64-v3", "x86-64-v2+sse9"], windows-x86_64 = "all" }
head = "elf"
"""
    assert refusal(tmp_path, targets, more='[sign]\nwindows = "sign {file}"\n') == [
        '9: targets.systems: "host" is linux-x86_64 here, which is named too',
        ("10: targets.cpus.windows-x86_64: is none of the systems, which are linux-x86_64, macos-aarch64"),
        (
            "10: targets.cpus.linux-x86_64: there is no CPU feature 'sse9' to add to x86-64-v2, only amx-bf16, "
            "amx-int8, amx-tile, avx, avx2, avx512bf16, avx512vbmi, avx512vnni, avxvnni, bmi2, f16c, fma"
        ),
        "10: targets.cpus.macos-aarch64: names x86-64-v3, but macos-aarch64 needs a level of aarch64",
        ('11: targets.head: "elf" is for one Linux target, and this file is for linux-x86_64, macos-aarch64'),
        ("26: sign.windows: has nothing to work on: none of the systems is a Windows, but linux-x86_64, macos-aarch64"),
    ]


def test_a_mistake_in_a_list_is_told_once_for_all_targets(tmp_path: Path) -> None:
    targets = 'systems = ["linux-x86_64", "macos-x86_64"]\ncpus = ["armv10.9-a"]\n'

    with pytest.raises(RecipeError) as caught:
        targeting(tmp_path, targets)

    assert len(caught.value.problems) == 1
    targets = 'systems = ["linux-x86_64", "macos-x86_64"]\ncpus = ["armv8.9-a"]\n'
    assert refusal(tmp_path, targets) == [
        (
            "10: targets.cpus: there is no CPU level 'armv8.9-a', only x86-64-v2, x86-64-v3, x86-64-v4, armv8-a, "
            "armv8.1-a, armv8.2-a, armv8.3-a, armv8.4-a, armv8.5-a, armv8.6-a, armv8.7-a, armv9-a"
        )
    ]


def test_two_spellings_of_one_level_are_told(tmp_path: Path) -> None:
    cpus = '["x86-64-v4+avx512vnni", "x86-64-v3+avx512vnni"]'

    assert refusal(tmp_path, f'systems = ["host"]\ncpus = {cpus}\n') == [
        "10: targets.cpus: 'x86-64-v4+avx512vnni' and 'x86-64-v3+avx512vnni' are the same level"
    ]


@pytest.mark.parametrize(
    ("system", "cpus", "what"),
    [
        (
            "linux-x86_64",
            ("x86-64-v4", "x86-64-v3+avxvnni"),
            "the lowest level, x86-64-v3+avxvnni, and one with x86-64-v4 need not; add their common base, x86-64-v3",
        ),
        (
            "linux-aarch64",
            ("armv8.2-a+dotprod", "armv8.2-a+fp16"),
            (
                "the lowest level, armv8.2-a+dotprod, and one with armv8.2-a+fp16 need not; "
                "add their common base, armv8.2-a"
            ),
        ),
    ],
)
def test_levels_of_which_none_is_in_all_others_are_refused(
    system: str, cpus: tuple[str, ...], what: str, tmp_path: Path
) -> None:
    named = ", ".join(f'"{name}"' for name in cpus)

    assert refusal(tmp_path, f'systems = ["{system}", "macos-x86_64"]\ncpus = {{ {system} = [{named}] }}\n') == [
        f"10: targets.cpus.{system}: every machine must have {what}"
    ]


def test_levels_with_their_common_base_are_not_refused(tmp_path: Path) -> None:
    cpus = '["x86-64-v4", "x86-64-v3+avxvnni", "x86-64-v3"]'

    assert levels(tmp_path, f'systems = ["host"]\ncpus = {cpus}\n') == {
        "linux-x86_64": ("x86-64-v4", "x86-64-v3+avxvnni", "x86-64-v3")
    }


def test_levels_that_a_target_has_no_use_for_are_told_in_a_table_only(tmp_path: Path) -> None:
    table = 'systems = ["host"]\ncpus = { linux-x86_64 = ["x86-64-v3", "armv8-a"] }\n'

    assert refusal(tmp_path, table) == [
        "10: targets.cpus.linux-x86_64: names armv8-a, which linux-x86_64 has no use for"
    ]


@pytest.mark.parametrize(
    ("systems", "head", "what"),
    [
        ('"windows-x86_64"', "elf", '"elf" is for one Linux target, and this file is for windows-x86_64'),
        ('"windows-x86_64"', "script", '"script" starts on no Windows, and this file is for windows-x86_64'),
        (
            '"linux-x86_64"',
            "polyglot",
            '"polyglot" is for files that start on Windows too, and this file is for linux-x86_64',
        ),
        (
            '"linux-x86_64", "linux-aarch64"',
            "engine",
            '"engine" is for one target, and this file is for linux-x86_64, linux-aarch64',
        ),
    ],
)
def test_a_head_that_cannot_start_the_targets_is_told(systems: str, head: str, what: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, f'systems = [{systems}]\nhead = "{head}"\n') == [f"10: targets.head: {what}"]


def test_a_macos_file_cannot_begin_with_its_engine(tmp_path: Path) -> None:
    assert refusal(tmp_path, 'systems = ["macos-aarch64"]\nhead = "engine"\n') == [
        (
            '10: targets.head: "engine" does not start on macOS: what follows a program there breaks its signature; '
            "leave it out"
        )
    ]


def test_an_engine_that_begins_a_windows_file_has_no_place_for_an_icon(tmp_path: Path) -> None:
    text = RECIPE.replace(TARGETS_TABLE, 'systems = ["windows-x86_64"]\nhead = "engine"\n')

    with pytest.raises(RecipeError) as caught:
        plan_of(recipe_of(tmp_path, text.replace('name = "chat"', 'name = "chat"\nicon = "chat.ico"')))

    assert str(caught.value) == (
        f"{tmp_path}/chat.toml:3: llamafile.icon: has no place in a file that begins with its engine; leave it out, or "
        'targets.head = "engine"'
    )


def test_an_engine_that_begins_a_windows_file_has_no_place_for_name_and_version(tmp_path: Path) -> None:
    plan = plan_of(targeting(tmp_path, 'systems = ["windows-x86_64"]\nhead = "engine"\n'))

    assert plan.notes == ("the file begins with its engine, so Windows shows no name and no version of it",)


def test_icon_and_signing_without_their_systems_are_told(tmp_path: Path) -> None:
    more = '[sign]\nmacos = "sign {file}"\n'

    assert refusal(tmp_path, 'systems = ["linux-x86_64"]\n', more=more) == [
        "24: sign.macos: has nothing to work on: none of the systems is a macOS, but linux-x86_64"
    ]


def test_cosmocc_has_one_target_and_makes_the_head_itself(tmp_path: Path) -> None:
    plan = plan_of(targeting(tmp_path, "", kind="cosmocc"), supplies(toolchain=COSMOCC))

    assert [(job.target, job.cpus) for job in plan.engine_jobs] == [("cosmo", ("x86-64-v3", "armv8.2-a+dotprod"))]
    assert [file.head for file in plan.files] == ["engine"]


def test_cosmocc_makes_several_levels_of_each_architecture(tmp_path: Path) -> None:
    cpus = 'cpus = ["armv8-a", "x86-64-v2", "armv8.2-a+dotprod", "x86-64-v3"]\n'
    (job,) = plan_of(targeting(tmp_path, cpus, kind="cosmocc"), supplies(toolchain=COSMOCC)).engine_jobs

    assert job.cpus == ("x86-64-v3", "x86-64-v2", "armv8.2-a+dotprod", "armv8-a")

    (job,) = plan_of(targeting(tmp_path, 'cpus = "all"\n', kind="cosmocc"), supplies(toolchain=COSMOCC)).engine_jobs
    assert job.cpus == (*shipped_levels("linux-x86_64"), *shipped_levels("linux-aarch64"))


def test_a_toolchain_that_does_not_make_a_target_says_so(tmp_path: Path) -> None:
    recipe = targeting(tmp_path, 'systems = ["host"]\n')
    given = supplies()
    riscv = type(given)(**{name: getattr(given, name) for name in given.__slots__} | {"host": "linux-riscv64"})

    with pytest.raises(RecipeError) as caught:
        plan_of(recipe, riscv)

    assert str(caught.value) == (
        f"{tmp_path}/chat.toml:9: targets.systems: zig makes nothing for linux-riscv64, only for {ALL_TARGETS}"
    )
