"""The machine's facts are read from the system's own words and named as gcc names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.host.machine import Machine, look_at_machine, read_cpu_facts

if TYPE_CHECKING:
    from pathlib import Path

ZEN4 = """processor\t: 0
model name\t: AMD EPYC 9R14
flags\t\t: fpu sse4_1 sse4_2 avx avx2 fma f16c bmi2 avx512f avx512_vnni avx512_bf16 avx512vbmi

processor\t: 1
model name\t: another one
flags\t\t: fpu
"""
GRAVITON = "processor\t: 0\nFeatures\t: fp asimd asimddp asimdhp i8mm sve bf16\n"


def test_features_have_the_names_that_gcc_gives_them() -> None:
    names = "fpu sse4.1 sse4.2 avx avx2 fma f16c bmi2 avx512f avx512vnni avx512bf16 avx512vbmi"
    assert read_cpu_facts(ZEN4) == ("AMD EPYC 9R14", frozenset(names.split(" ")))
    assert read_cpu_facts(GRAVITON) == ("", frozenset({"fp", "asimd", "dotprod", "fp16", "i8mm", "sve", "bf16"}))


def test_a_system_that_tells_nothing_has_no_features() -> None:
    assert read_cpu_facts("") == ("", frozenset())


def test_programs_are_found_on_the_given_path_alone(tmp_path: Path) -> None:
    program = tmp_path / "distcc"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)

    machine = look_at_machine(search_path=str(tmp_path))

    assert machine.find_program("distcc") == program
    assert machine.find_program("sh") is None


def test_this_machine_has_a_core_and_a_target() -> None:
    machine = look_at_machine(search_path="")

    assert machine.cores >= 1
    assert machine.target == f"{machine.system}-{machine.architecture}"


def test_a_target_is_system_and_architecture() -> None:
    machine = Machine(
        system="linux", architecture="aarch64", cpu_name="", cpu_features=frozenset(), cores=4, search_path=""
    )

    assert machine.target == "linux-aarch64"
