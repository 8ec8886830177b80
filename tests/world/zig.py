"""The libraries that zig compiles for each target: minutes of work, always the same, so all tests share them."""

from __future__ import annotations

import importlib.metadata
import os
import time
from typing import TYPE_CHECKING

from lfbuild.commands.settings import read_settings

if TYPE_CHECKING:
    from pathlib import Path


def libraries_folder() -> Path:
    """Where lfbuild keeps them for the one who runs the tests: what stands in `toolchains` of the user's cache.

    Raises:
        importlib.metadata.PackageNotFoundError: ziglang is not installed.
    """
    settings = read_settings(os.environ, proxies={}, cache_folder=None, offline=True, now=time.time())
    version = importlib.metadata.version("ziglang")
    folder = settings.store().entry_path("toolchains", f"zig-{version}-libraries").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def share_libraries() -> None:
    """Let every `python -m ziglang` of the tests use them too."""
    try:
        version, folder = importlib.metadata.version("ziglang"), libraries_folder()
    except importlib.metadata.PackageNotFoundError:
        return
    os.environ["ZIG_GLOBAL_CACHE_DIR"] = str(folder / f"zig-{version}")
