"""CPU levels have one name each, and every option of upstream's that they decide is set on or off."""

from __future__ import annotations

import pytest

from lfbuild.engine.cpu import DEFAULT_CPUS, best_cpu, common_level, parse_cpu, shipped_levels, sorted_levels
from lfbuild.errors import RecipeError

ZEN4 = "sse4.2 avx avx2 bmi2 f16c fma avx512f avx512bw avx512cd avx512dq avx512vl avx512vbmi avx512vnni avx512bf16"
HASWELL = "sse4.2 avx avx2 bmi2 f16c fma"


def switched_on(name: str) -> set[str]:
    return {option.removeprefix("GGML_") for option, value in parse_cpu(name).options if value == "ON"}


def test_the_default_is_avx2_and_what_came_with_it() -> None:
    assert switched_on(DEFAULT_CPUS["x86_64"]) == {"SSE42", "AVX", "AVX2", "BMI2", "F16C", "FMA"}
    assert parse_cpu(DEFAULT_CPUS["aarch64"]).options == (("GGML_CPU_ARM_ARCH", "armv8.2-a+dotprod"),)


def test_every_x86_option_is_set_so_that_no_default_decides() -> None:
    assert dict(parse_cpu("x86-64-v2").options) == {
        "GGML_SSE42": "ON",
        "GGML_AVX": "OFF",
        "GGML_AVX2": "OFF",
        "GGML_BMI2": "OFF",
        "GGML_F16C": "OFF",
        "GGML_FMA": "OFF",
        "GGML_AVX_VNNI": "OFF",
        "GGML_AVX512": "OFF",
        "GGML_AVX512_VBMI": "OFF",
        "GGML_AVX512_VNNI": "OFF",
        "GGML_AVX512_BF16": "OFF",
        "GGML_AMX_TILE": "OFF",
        "GGML_AMX_INT8": "OFF",
        "GGML_AMX_BF16": "OFF",
    }


def test_a_feature_brings_what_it_needs_and_one_level_has_one_name() -> None:
    assert switched_on("x86-64-v3+avx512vnni") == switched_on("x86-64-v4") | {"AVX512_VNNI"}
    assert parse_cpu("x86-64-v3+avx512vnni").name == "x86-64-v4+avx512vnni"
    assert parse_cpu("x86-64-v2+fma+avx").name == parse_cpu("x86-64-v2+fma").name == "x86-64-v2+avx+fma"
    assert parse_cpu("x86-64-v2+avx2+bmi2+f16c+fma").name == "x86-64-v3"
    assert parse_cpu("armv8.2-a+i8mm+dotprod+dotprod").name == "armv8.2-a+dotprod+i8mm"


def test_zig_is_told_an_arm_level_in_llvms_names() -> None:
    assert parse_cpu("armv8.2-a+dotprod+fp16").llvm_name == "generic+v8_2a+dotprod+fullfp16"
    assert parse_cpu("armv8-a").llvm_name == "generic+v8a"
    assert parse_cpu("armv9-a+sve2").llvm_name == "generic+v9a+sve2"


@pytest.mark.parametrize(
    ("name", "what", "hint"),
    [
        (
            "x86-64",
            (
                "there is no CPU level 'x86-64', only x86-64-v2, x86-64-v3, x86-64-v4, armv8-a, armv8.1-a, armv8.2-a, "
                "armv8.3-a, armv8.4-a, armv8.5-a, armv8.6-a, armv8.7-a, armv9-a"
            ),
            "a feature is added with '+'",
        ),
        (
            "x86-64-v3+avx512_vnni",
            (
                "there is no CPU feature 'avx512_vnni' to add to x86-64-v3, only amx-bf16, amx-int8, amx-tile, avx, "
                "avx2, avx512bf16, avx512vbmi, avx512vnni, avxvnni, bmi2, f16c, fma"
            ),
            "gcc's name of it is 'avx512vnni'",
        ),
        (
            "armv8.2-a+asimddp",
            "there is no CPU feature 'asimddp' to add to armv8.2-a, only bf16, dotprod, fp16, i8mm, sme, sve, sve2",
            "",
        ),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones(name: str, what: str, hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_cpu(name)

    assert str(caught.value) == f"targets.cpus: {what}"
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("architecture", "features", "name"),
    [
        ("x86_64", ZEN4, "x86-64-v4+avx512bf16+avx512vbmi+avx512vnni"),
        ("x86_64", HASWELL, "x86-64-v3"),
        ("x86_64", f"{HASWELL} avxvnni", "x86-64-v3+avxvnni"),
        ("x86_64", "sse4.2 avx", "x86-64-v2+avx"),
        ("aarch64", "dotprod fp16 asimd", "armv8.2-a+dotprod+fp16"),
        ("aarch64", "asimd", "armv8-a"),
    ],
)
def test_the_best_level_of_a_cpu_is_named(architecture: str, features: str, name: str) -> None:
    best = best_cpu(architecture, features.split())

    assert best is not None
    assert best.name == name
    assert parse_cpu(name) == best


def test_a_cpu_below_every_level_has_none() -> None:
    assert best_cpu("x86_64", ["sse2"]) is None
    assert best_cpu("riscv64", ["v"]) is None


def test_levels_sort_as_upstreams_scores_do() -> None:
    names = ("x86-64-v3", "x86-64-v4+avx512vnni", "x86-64-v2", "x86-64-v3+avxvnni", "x86-64-v4")

    assert [level.name for level in sorted_levels(map(parse_cpu, names))] == [
        *("x86-64-v4+avx512vnni", "x86-64-v4", "x86-64-v3+avxvnni", "x86-64-v3", "x86-64-v2")
    ]


@pytest.mark.parametrize(
    ("names", "order"),
    [
        ("armv9-a armv8.2-a+dotprod", "armv9-a armv8.2-a+dotprod"),
        ("armv8.2-a+dotprod armv8.6-a", "armv8.6-a armv8.2-a+dotprod"),
        ("armv8.2-a+dotprod armv8.4-a armv8-a", "armv8.4-a armv8.2-a+dotprod armv8-a"),
        ("armv8.2-a+fp16 armv8.2-a+sve2", "armv8.2-a+sve2 armv8.2-a+fp16"),
        ("armv8.2-a+dotprod armv8.2-a+bf16+dotprod", "armv8.2-a+bf16+dotprod armv8.2-a+dotprod"),
        (
            "x86-64-v4+amx-int8 x86-64-v4+amx-bf16+amx-int8",
            "x86-64-v4+amx-bf16+amx-int8+amx-tile x86-64-v4+amx-int8+amx-tile",
        ),
    ],
)
def test_a_level_counts_with_all_that_it_brings_along(names: str, order: str) -> None:
    assert [level.name for level in sorted_levels(map(parse_cpu, names.split()))] == order.split()


def test_upstreams_score_is_asked_for_what_an_arm_base_brings_along() -> None:
    assert parse_cpu("armv8.6-a").scored == ("GGML_USE_DOTPROD", "GGML_USE_MATMUL_INT8")
    assert parse_cpu("armv8.6-a").scored == parse_cpu("armv8.6-a+dotprod+i8mm").scored


def test_the_order_of_what_upstream_ships_for_arm_stays() -> None:
    assert shipped_levels("linux-aarch64") == (
        "armv8.6-a+dotprod+fp16+i8mm+sve+sve2",
        "armv8.6-a+dotprod+fp16+i8mm+sve",
        "armv8.2-a+dotprod+fp16+sve",
        "armv8.2-a+dotprod+fp16",
        "armv8.2-a+dotprod",
        "armv8-a",
    )


@pytest.mark.parametrize(
    ("names", "common"),
    [
        ("x86-64-v4 x86-64-v3+avxvnni", "x86-64-v3"),
        ("x86-64-v4 x86-64-v2+avx2+fma", "x86-64-v2+avx+avx2+fma"),
        ("armv8.2-a+fp16 armv8.2-a+dotprod", "armv8.2-a"),
        ("armv8.2-a+dotprod+fp16 armv8.2-a+dotprod+i8mm", "armv8.2-a+dotprod"),
        ("armv9-a armv8.6-a", "armv8.5-a"),
    ],
)
def test_what_levels_have_in_common_is_a_level(names: str, common: str) -> None:
    assert common_level(map(parse_cpu, names.split())) == parse_cpu(common)


def test_what_upstream_ships_has_no_plain_sse2() -> None:
    assert shipped_levels("windows-x86_64")[-1] == "x86-64-v2"
    assert len(shipped_levels("linux-x86_64")) == 13
    assert shipped_levels("linux-aarch64")[-1] == "armv8-a"
    assert shipped_levels("macos-aarch64") == ("armv8.6-a+dotprod+i8mm", "armv8.2-a+dotprod")


def test_a_levels_tag_is_part_of_a_c_identifier() -> None:
    assert parse_cpu("armv8.2-a+dotprod").tag == "armv8_2_a_dotprod"
