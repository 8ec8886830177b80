"""What a build's programs see of the world: a small environment, the same on every machine and for every user.

Only what has to pass goes through: settings of compiler launchers and npm, proxies, and the home folder that these
read their own settings from. None of it may decide a byte of the program.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lfbuild.engine.ninja import STATUS
from lfbuild.engine.render import templates_sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from lfbuild.engine.cpu import Goal
    from lfbuild.engine.job import EngineJob

_SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")

_PASSED_PREFIXES = ("CCACHE_", "SCCACHE_", "DISTCC_", "ICECC_", "npm_config_", "NPM_CONFIG_")
_PASSED_NAMES = {
    *("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"),
    *("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"),
}


def passed_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Of a front door's environment, what a build's programs may see."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if name in _PASSED_NAMES or name.startswith(_PASSED_PREFIXES)
    }


def build_environment(folder: Path, *, programs: Iterable[Path], passed: Mapping[str, str]) -> dict[str, str]:
    """The environment of CMake, Ninja and all they start; `programs` are found on its PATH by name."""
    folders = dict.fromkeys([*(str(program.parent) for program in programs), *_SYSTEM_PATH])
    own = {
        "PATH": os.pathsep.join(folders),
        "LC_ALL": "C",
        "TZ": "UTC",
        # For `__DATE__` in a source, and for upstream's compressed web page.
        "SOURCE_DATE_EPOCH": "0",
        "NINJA_STATUS": STATUS,
        # The wrappers make this folder's name vanish from the program.
        "LFBUILD_FOLDER": str(folder),
        # A package's own scripts may fetch from anywhere; npm itself only asks its registry, and for nothing more.
        "npm_config_ignore_scripts": "true",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
        "npm_config_update_notifier": "false",
    }
    return {"HOME": str(folder / "home")} | passed_variables(passed) | own


def launcher_environment(job: EngineJob, *, goal: Goal, folder: Path) -> dict[str, str]:
    """What a compiler launcher has to be told about a compiler that is a script, in a folder that changes each time."""
    if job.launcher != "ccache":
        return {}
    return {
        "CCACHE_COMPILERTYPE": job.toolchain.compiler_type,
        # The wrapper's date and size say nothing; this says all, what a wrapper does with its words included.
        "CCACHE_COMPILERCHECK": f"string:{job.toolchain.identity(goal)} {templates_sha256()}",
        # Paths below the build's folder become relative, and the folder itself is not part of the hash.
        "CCACHE_BASEDIR": str(folder),
        "CCACHE_NOHASHDIR": "1",
    }
