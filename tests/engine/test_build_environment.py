"""A build sees a small world: its own, and the settings of launchers, npm and proxies."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.tiny import tiny_job

from lfbuild.engine.cpu import Goal, parse_cpu
from lfbuild.engine.environment import build_environment, launcher_environment, passed_variables
from lfbuild.engine.render import templates_sha256
from lfbuild.engine.zig import Zig

ZIG = Zig(program=Path("/opt/zig"), version="0.17.1")
GOAL = Goal(target="windows-x86_64", architecture="x86_64", levels=(parse_cpu("x86-64-v3"),))
FRONT_DOOR = {
    "HOME": "/home/anna",
    "CFLAGS": "-march=native",
    "LANG": "de_DE.UTF-8",
    "PATH": "/home/anna/bin",
    "CCACHE_DIR": "/fast/ccache",
    "DISTCC_HOSTS": "farm1 farm2",
    "https_proxy": "http://proxy:3128",
    "npm_config_cache": "/fast/npm",
    "AWS_SECRET_ACCESS_KEY": "secret",
}


def test_only_settings_of_launchers_npm_and_proxies_pass() -> None:
    assert set(passed_variables(FRONT_DOOR)) == {
        *("HOME", "CCACHE_DIR", "DISTCC_HOSTS", "https_proxy", "npm_config_cache"),
    }


def test_the_environment_is_the_same_on_every_machine() -> None:
    environment = build_environment(Path("/store/x"), programs=[Path("/opt/node/bin/npm")], passed={"LC_ALL": "de_DE"})

    assert environment == {
        "HOME": "/store/x/home",
        "PATH": "/opt/node/bin:/usr/local/bin:/usr/bin:/bin",
        "LC_ALL": "C",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": "0",
        "NINJA_STATUS": "[%f/%t] ",
        "LFBUILD_FOLDER": "/store/x",
        "npm_config_ignore_scripts": "true",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
        "npm_config_update_notifier": "false",
    }


@pytest.mark.parametrize("launcher", [None, "distcc"])
def test_other_launchers_are_told_nothing(source: Path, launcher: str | None) -> None:
    job = tiny_job(source, ZIG, launcher=launcher)

    assert launcher_environment(job, goal=GOAL, folder=Path("/store/x")) == {}


def test_ccache_is_told_what_a_script_in_a_changing_folder_hides(source: Path) -> None:
    job = tiny_job(source, ZIG, launcher="ccache", target="windows-x86_64")

    assert launcher_environment(job, goal=GOAL, folder=Path("/store/x")) == {
        "CCACHE_COMPILERTYPE": "clang",
        "CCACHE_COMPILERCHECK": f"string:zig 0.17.1 x86_64-windows-gnu {templates_sha256()}",
        "CCACHE_BASEDIR": "/store/x",
        "CCACHE_NOHASHDIR": "1",
    }
