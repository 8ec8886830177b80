"""What a verb is given besides its own words: where results go, who hears of progress, and this machine's settings."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.cli.render import Output
from lfbuild.cli.reports import choose_report

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

    from lfbuild.commands.settings import Settings
    from lfbuild.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """Made once, at the door, from the environment, the clock and the options that hold everywhere."""

    environment: Mapping[str, str]
    now: float
    """Seconds since 1970, when this run began."""
    output: Output
    report: Report
    cache_folder: Path | None
    offline: bool

    def cores(self) -> int:
        """How many threads may work at once."""
        from lfbuild.host.machine import usable_cores

        return usable_cores()

    def settled(self, path: Path) -> Path:
        """`path` again, once an edit of that file that was interrupted is finished, and it can be read."""
        from lfbuild.host.files import real_path
        from lfbuild.host.inplace import has_journal

        if has_journal(real_path(path)):  # seldom: `list` need not pay for the import
            from lfbuild.commands.recover import settled

            settled(path, report=self.report, for_reading=True)
        return path

    def settings(self) -> Settings:
        """The settings that a command takes; only asked for by verbs that use them, as `list` need not pay for the
        imports."""
        from urllib.request import getproxies

        from lfbuild.commands.settings import read_settings

        return read_settings(
            self.environment,
            proxies=getproxies(),
            cache_folder=self.cache_folder,
            offline=self.offline,
            now=self.now,
        )


def make_context(arguments: argparse.Namespace, *, environment: Mapping[str, str], now: float) -> Context:
    """The context of one run."""
    return Context(
        environment=environment,
        now=now,
        output=Output(stream=sys.stdout, json=arguments.json),
        report=choose_report(
            sys.stderr, json=arguments.json, quiet=arguments.quiet, plain=_wants_plain_lines(environment)
        ),
        cache_folder=arguments.cache_dir,
        offline=arguments.offline or environment.get("LFBUILD_OFFLINE", "") not in ("", "0"),
    )


def _wants_plain_lines(environment: Mapping[str, str]) -> bool:
    """Bars that repaint themselves turn into noise in the log of a CI and on a terminal that cannot move its cursor."""
    return bool(environment.get("CI")) or environment.get("TERM", "dumb") in ("", "dumb")
