"""Source trees out of git repositories, by commit.

Only one commit is fetched, without its history; git packs it into a tar file, which is then unpacked as any other
archive. No hook, filter or submodule of the repository is run.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.errors import FetchError, ToolError
from lfbuild.host.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lfbuild.fetch import Network
    from lfbuild.sources.origins import GitOrigin


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitArchive:
    """A commit's files as a tar file."""

    path: Path
    commit: str


def archive_commit(origin: GitOrigin, *, folder: Path, network: Network) -> CommitArchive:
    """Fetch the commit that `origin` names into `folder`, which is empty, and pack its files.

    Raises:
        ToolError: git is not installed.
        FetchError: the repository or the revision cannot be had.
    """
    if network.offline:
        hint = "run once without --offline"
        raise FetchError(origin.describe(), "is not in the cache, and --offline forbids to fetch it", hint=hint)
    git = shutil.which("git", path=network.environment.get("PATH"))
    if git is None:
        raise ToolError("git", "is not installed, but the engine's source is a git repository", hint="install git")
    repository = folder / "repository.git"
    _git(origin, git, folder, network, "init", "--quiet", "--bare", str(repository))
    _git(
        origin,
        git,
        repository,
        network,
        "fetch",
        "--quiet",
        "--depth=1",
        "--no-tags",
        "--",
        origin.url,
        origin.revision,
    )
    commit = _git(origin, git, repository, network, "rev-parse", "--verify", "FETCH_HEAD^{commit}")[-1]
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
        raise FetchError(origin.describe(), "git names no commit for it", hint="check the revision")
    path = folder / "tree.tar"
    # A top folder like that of other source archives, so that unpacking leaves out this one and none of the tree's own.
    _git(origin, git, repository, network, "archive", "--format=tar", "--prefix=tree/", f"--output={path}", commit)
    return CommitArchive(path=path, commit=commit)


def _git(origin: GitOrigin, git: str, folder: Path, network: Network, *words: str) -> tuple[str, ...]:
    # Nothing of the repository may run: no hooks, and no transport that is a command line of its own.
    safe = ("-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "-c", "core.attributesFile=/dev/null")
    finished = run([git, *safe, *words], cwd=folder, env=_environment(network.environment))
    if finished.returncode != 0:
        said = next((line for line in reversed(finished.tail) if line.startswith(("fatal:", "error:"))), "")
        what = f"git cannot fetch it ({said.partition(': ')[2] or f'exit code {finished.returncode}'})"
        raise FetchError(origin.describe(), what, hint="check the address, the revision and your access")
    return finished.tail


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The user's own, with which git finds proxies and keys; but it may not stop to ask for a password."""
    return {**environment, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
