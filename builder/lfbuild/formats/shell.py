"""The shell half of a head: text for any /bin/sh that places this machine's launcher and becomes it.

Owns the words and what they promise (docs/formats/head.md); where the launchers stand is told from outside. The text
keeps to what dash, bash, zsh, BusyBox and the sh of macOS have in common, calls coreutils only (and `cmp`, where there
is one), and every name it sets begins with `lf_`, so that no variable of the user's is changed for the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lfbuild.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCK_BYTES: Final = 4096
"""Launchers begin at multiples of this, which is also what `dd` reads at once."""

# What `uname -sm` says on a machine of the target, and where programs keep what they can make again, below HOME.
_SYSTEMS: Final = {
    "linux-x86_64": ("Linux x86_64", ".cache"),
    "linux-aarch64": ("Linux aarch64", ".cache"),
    "macos-aarch64": ("Darwin arm64", "Library/Caches"),
    "macos-x86_64": ("Darwin x86_64", "Library/Caches"),
}

_TARGETS_LINE = "lf_targets='"

_FIND_FILE = """\
lf_file=$0
case $lf_file in */*) ;; *) [ -f "$lf_file" ] || lf_file=$(command -v -- "$lf_file") ;; esac
case $lf_file in /*) ;; *) lf_file=$PWD/${lf_file#./} ;; esac
lf_refuse() {
    printf '%s: %s\\n' "$lf_file" "$1" >&2
    exit 1
}
"""

_CHOOSE = """\
lf_machine=$(uname -sm)
{native}case $lf_machine in
{cases}*) lf_refuse "this file is for $lf_targets; this machine is $lf_machine" ;;
esac
"""

# What Rosetta runs is told that the machine is of Intel's kind, and starts programs of Apple's own kind all the same.
_NATIVE = """\
case $lf_machine in
'Darwin x86_64') [ "$(/usr/sbin/sysctl -in hw.optional.arm64)" != 1 ] || lf_machine='Darwin arm64' ;;
esac
"""

_CASE = "'{uname}') lf_block={block} lf_bytes={size} lf_name={sha256} lf_cache={cache} ;;\n"

# Nothing is silenced by /dev/null, as a bare chroot has none; what the tools say is caught in lf_said. The umask
# is that of the subshell alone; `mkdir -m` would leave the directories above to the user's.
_START = """\
lf_own() {
    dd if="$lf_file" bs=4096 skip="$lf_block" count=$(((lf_bytes + 4095) / 4096)) | head -c "$lf_bytes"
}
lf_sha256() {
    if command -v sha256sum >&2; then sha256sum; else shasum -a 256; fi
}
lf_mine() {
    [ ! -L "$1" ] && [ -O "$1" ] && case $(TIME_STYLE=iso ls -ld "$1") in ?????-??-*) ;; *) false ;; esac
}
lf_same() {
    [ -f "$1" ] && [ -x "$1" ] && [ -s "$1" ] && lf_mine "$1" || return 1
    if command -v cmp; then
        lf_own | cmp -s - "$1"
    else
        lf_digest=$(lf_sha256 <"$1") && [ "$lf_digest" = "$(lf_own | lf_sha256)" ]
    fi
}
lf_place() {
    [ "$(lf_own | lf_sha256)" = "$lf_name  -" ] || return 3
    [ ! -d "$1" ] && lf_new=$(mktemp "${1%/*}/.new-XXXXXX") || return 1
    printf '#!/bin/sh\\n' >|"$lf_new" && chmod 700 "$lf_new" && "$lf_new" &&
        lf_own >|"$lf_new" && lf_same "$lf_new" && mv -f "$lf_new" "$1" && return
    rm -f "$lf_new"
    return 1
}
lf_try() {
    case $1 in /*) ;; *) return 1 ;; esac
    lf_placed=$1/$lf_name
    lf_said=$({
        umask 077
        [ -d "$2" ] && { [ -d "$1" ] || mkdir -p "$1"; } && lf_mine "$1" &&
            { lf_same "$lf_placed" || lf_place "$lf_placed"; }
    } 2>&1)
    case $? in
    0) ;;
    3) lf_refuse 'its launcher is damaged, or there is no sha256sum to check it; get the file again' ;;
    *) return 1 ;;
    esac
}
if lf_try "${LFBUILD_CACHE_DIR-}" / ||
    lf_try "${XDG_CACHE_HOME:+$XDG_CACHE_HOME/lfbuild}" / ||
    { [ -O "${HOME-}" ] && lf_try "$HOME/$lf_cache/lfbuild" /; } ||
    lf_try "${TMPDIR:+$TMPDIR/lfbuild-$(id -u)}" "${TMPDIR-}" ||
    lf_try "${XDG_RUNTIME_DIR:+$XDG_RUNTIME_DIR/lfbuild}" "${XDG_RUNTIME_DIR-}" ||
    lf_try "/dev/shm/lfbuild-$(id -u)" /dev/shm ||
    lf_try "/tmp/lfbuild-$(id -u)" /tmp; then
    LFBUILD_FILE=$lf_file
    export LFBUILD_FILE
    exec "$lf_placed" "$@"
fi
lf_refuse 'no directory to start its launcher from; set LFBUILD_CACHE_DIR to one that only you can write'
"""

_NOT_HERE = """\
lf_refuse "this file is for $lf_targets; this machine is $(uname -sm)"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedLauncher:
    """A Unix launcher, and where it stands in the file."""

    target: str
    block: int
    """Its first byte, in units of `BLOCK_BYTES`."""
    size_bytes: int
    sha256: str
    """The placed copy's name, and what it must have to be placed: a digest that a shell can compute."""

    def case(self) -> str:
        """Its line in the script."""
        uname, cache = _SYSTEMS[self.target]
        return _CASE.format(
            uname=uname,
            block=self.block,
            size=self.size_bytes,
            sha256=self.sha256,
            cache=cache,
        )


def shell_text(targets: Sequence[str], launchers: Sequence[PlacedLauncher]) -> str:
    """The script without its first line; it never goes on past its end, so binary may follow.

    Raises:
        FormatError: a launcher is for a system that starts no shell script.
    """
    for launcher in launchers:
        if launcher.target not in _SYSTEMS:
            raise FormatError("head", f"a shell script cannot start the launcher of {launcher.target}")
    start = f"{_TARGETS_LINE}{' '.join(targets)}'\n{_FIND_FILE}"
    if not launchers:
        return start + _NOT_HERE
    native = _NATIVE if any(launcher.target == "macos-aarch64" for launcher in launchers) else ""
    return start + _CHOOSE.format(native=native, cases="".join(launcher.case() for launcher in launchers)) + _START


def named_targets(start: bytes) -> tuple[str, ...]:
    """The targets that the script of a head names; empty where there is no such script."""
    _, found, rest = start.partition(b"\n" + _TARGETS_LINE.encode())
    names, closed, _ = rest.partition(b"'\n")
    if not found or not closed:
        return ()
    return tuple(names.decode("ascii", errors="replace").split(" "))
