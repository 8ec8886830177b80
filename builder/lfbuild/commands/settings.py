"""What a command is told of its surroundings: folders, network, jobs, the epoch and the time.

A front door makes these once, from the environment, its options and the clock; no command reads those itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.errors import HostError, Problem, RecipeError
from lfbuild.formats.zip import FIRST_EPOCH
from lfbuild.host.machine import Machine, look_at_machine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lfbuild.fetch import Network
    from lfbuild.store import Store

LAST_EPOCH = 4_354_819_198
"""2107-12-31 23:59:58 UTC, the last moment that a ZIP file can hold."""

CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")
"""Where other tools are told of a company's own certificates; the first that is set counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """This machine and this run, as a command may know them."""

    cache_folder: Path
    cosmocc: Path | None = None
    """Where LFBUILD_COSMOCC says that a cosmocc is."""
    proxies: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Scheme and address, as from HTTP_PROXY and HTTPS_PROXY; `no` holds the hosts that are reached without one."""
    ca_file: Path | None = None
    """Certificates that are trusted instead of the system's own."""
    pypi_index: str | None = field(default=None, repr=False)
    """Another index than PyPI's own; it may hold a password, so it is never shown."""
    hf_endpoint: str | None = None
    hf_token: str | None = field(default=None, repr=False)
    offline: bool = False
    machine: Machine
    jobs: int
    """How many compilers may run at once."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment as the front door found it; compilers and git are handed what they need of it."""
    now: float
    """Seconds since 1970, when this run began."""

    @property
    def epoch(self) -> int:
        """Seconds since 1970 that every member of a built file is dated with.

        Looked up only by who dates something: a wrong SOURCE_DATE_EPOCH keeps nobody from anything else.

        Raises:
            RecipeError: SOURCE_DATE_EPOCH cannot be understood.
        """
        return _read_epoch(self.environment.get("SOURCE_DATE_EPOCH", ""))

    def store(self) -> Store:
        """The cache on this machine."""
        from lfbuild.store import Store

        return Store(self.cache_folder)

    def network(self) -> Network:
        """How the network is reached."""
        from lfbuild.fetch import Network

        return Network(
            proxies=dict(self.proxies),
            offline=self.offline,
            ca_file=self.ca_file,
            pypi_index=self.pypi_index,
            hf_endpoint=self.hf_endpoint,
            hf_token=self.hf_token,
            environment=self.environment,
        )


def read_settings(
    environment: Mapping[str, str],
    *,
    proxies: Mapping[str, str],
    cache_folder: Path | None,
    offline: bool,
    now: float,
) -> Settings:
    """The settings that the environment describes; `cache_folder`, when given, was asked for in so many words.

    Raises:
        HostError: the cache folder is a file.
    """
    machine = look_at_machine(search_path=environment.get("PATH", os.defpath))
    return Settings(
        cache_folder=_read_cache_folder(environment, cache_folder),
        cosmocc=_read_path(environment.get("LFBUILD_COSMOCC", "")),
        proxies=tuple(sorted(proxies.items())),
        ca_file=_read_path(next((environment[name] for name in CA_VARIABLES if environment.get(name)), "")),
        pypi_index=environment.get("LFBUILD_PYPI_INDEX") or environment.get("PIP_INDEX_URL") or None,
        hf_endpoint=environment.get("HF_ENDPOINT") or None,
        hf_token=environment.get("HF_TOKEN") or None,
        offline=offline,
        machine=machine,
        jobs=machine.cores,
        environment=dict(environment),
        now=now,
    )


def _read_cache_folder(environment: Mapping[str, str], asked_for: Path | None) -> Path:
    named = asked_for.expanduser() if asked_for else _read_path(environment.get("LFBUILD_CACHE", ""))
    if not named:
        from platformdirs import user_cache_path

        return user_cache_path("lfbuild", appauthor=False)
    if named.exists() and not named.is_dir():
        raise HostError(
            named, "is not a folder, so no cache can be there", hint="look at --cache-dir and LFBUILD_CACHE"
        )
    return named.absolute()


def _read_path(text: str) -> Path | None:
    return Path(text).expanduser() if text else None


def _read_epoch(text: str) -> int:
    if not text:
        return FIRST_EPOCH
    if not text.isascii() or not text.isdigit():
        raise _bad_epoch(f"'{text}' is not a whole number of seconds since 1970")
    if not FIRST_EPOCH <= int(text) <= LAST_EPOCH:
        raise _bad_epoch(f"{text} is outside of 1980 to 2107, which is what a ZIP file can hold")
    return int(text)


def _bad_epoch(what: str) -> RecipeError:
    problem = Problem(where="SOURCE_DATE_EPOCH", key="", what=what)
    return RecipeError("SOURCE_DATE_EPOCH", [problem], hint=f"unset it, or set {FIRST_EPOCH} for 1980-01-01")
