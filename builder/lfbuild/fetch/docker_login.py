"""What `docker login` keeps: who asks a registry. Only what stands in docker's own file, not what a helper keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def basic_login(host: str, environment: Mapping[str, str]) -> str | None:
    """The value of an Authorization header (RFC 7617) for a registry, or None where nobody signed in to it.

    `environment` says where the file is: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
    """
    folder = environment.get("DOCKER_CONFIG")
    path = Path(folder) if folder else Path(environment.get("HOME", "")) / ".docker"
    try:
        logins = json.loads((path / "config.json").read_text(encoding="utf-8"))["auths"]
        kept = logins.get(host) or logins.get(f"https://{host}") or {}
        secret = kept.get("auth")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return f"Basic {secret}" if isinstance(secret, str) and secret.isascii() and secret.isprintable() else None
