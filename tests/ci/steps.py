"""The steps of the composite action, run here as a runner would."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import yaml

CI = Path(__file__).parents[2] / "ci"


class Steps:
    """The steps of the action, with its inputs put in as the runner does."""

    def __init__(self, world: Path, **given: str) -> None:
        document = yaml.safe_load((CI / "action" / "action.yml").read_text(encoding="utf-8"))
        self._inputs = {name: str(it.get("default", "")) for name, it in document["inputs"].items()} | given
        self._steps = {step["name"]: step for step in document["runs"]["steps"] if "run" in step}
        self._world = world
        self.names = list(self._steps)

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        step = self._steps[name]
        given = {key: self._filled(value) for key, value in step.get("env", {}).items()}
        files = {key: str(self._world / key) for key in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        # As the runner starts `shell: bash`.
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        environment = os.environ | given | files
        return subprocess.run(words, cwd=self._world, env=environment, capture_output=True, text=True, check=False)

    def _filled(self, text: str) -> str:
        return re.sub(r"\$\{\{ inputs\.([a-z]+) \}\}", lambda found: self._inputs[found[1]], text)
