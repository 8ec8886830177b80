"""A machine of another processor: a root folder with arm64's busybox and bash alone, and qemu as its interpreter.

Both last as long as one command: `binfmt_misc` is mounted in a namespace of its own (Linux 6.7), so this machine's own
settings stay as they are.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# The first 20 bytes of an ELF program for aarch64, and which of their bits count (as Debian's qemu-user-binfmt has it).
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
ENTER = """
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc || exit 77
printf '%s' "$1" > /proc/sys/fs/binfmt_misc/register || exit 77
root=$2
shift 2
mount --rbind /proc "$root/proc" || exit 77  # an emulator is handed a program that is open as /dev/fd/N
exec chroot "$root" /bin/sh -c '"$@"' sh "$@"
"""


def emulator() -> str:
    """The program that runs those of arm64."""
    found = shutil.which("qemu-aarch64-static")
    if found is None:
        pytest.skip("qemu-aarch64-static is not installed (Debian: qemu-user-static)")
    return found


def make_root(folder: Path) -> Path:
    """A root folder with static programs of arm64, brought by apt without a word in this machine's own settings."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        pytest.skip("apt-get, which brings arm64's programs, is not here")
    for name in ("state/lists/partial", "cache/archives/partial", "root/bin", "root/tmp", "root/dev", "root/proc"):
        (folder / name).mkdir(parents=True)
    (folder / "state" / "status").touch()
    options = ("APT::Architecture=arm64", "APT::Architectures=arm64", f"Dir::State={folder / 'state'}")
    words = [
        word for option in (*options, f"Dir::Cache={folder / 'cache'}", "Debug::NoLocking=1") for word in ("-o", option)
    ]
    for act in (["update"], ["download", "busybox-static", "bash-static"]):
        brought = subprocess.run(["apt-get", "-qq", *words, *act], cwd=folder, capture_output=True, check=False)
        if brought.returncode:
            pytest.skip("apt-get brings no busybox-static and bash-static for arm64 here")
    for package in folder.glob("*_arm64.deb"):
        subprocess.run(["dpkg", "-x", package, folder / "unpacked"], check=True)
    root = folder / "root"
    shutil.copy2(folder / "unpacked" / "bin" / "busybox", root / "bin" / "busybox")
    shutil.copy2(folder / "unpacked" / "bin" / "bash-static", root / "bin" / "bash")
    listed = subprocess.run(
        [emulator(), root / "bin" / "busybox", "--list"], capture_output=True, text=True, check=True
    )
    for applet in set(listed.stdout.split()) - {"busybox"}:
        (root / "bin" / applet).symlink_to("busybox")
    (root / "dev" / "fd").symlink_to("/proc/self/fd")
    os.mknod(root / "dev" / "urandom", stat.S_IFCHR | 0o666, os.makedev(1, 9))  # every container has it
    return root


def run_in_root(root: Path, *words: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a command there; skipped by name where the system refuses the namespace."""
    interpreter = f":lfbuild-test:M::{MAGIC}:{MASK}:{emulator()}:F"
    command = ["unshare", "-Urm", "sh", "-c", ENTER, "enter", interpreter, str(root), *words]
    ran = subprocess.run(command, env={}, capture_output=True, text=True, check=False, timeout=timeout)
    if ran.returncode == 77:
        pytest.skip("binfmt_misc cannot be mounted in a namespace here (Linux 6.7 and later can)")
    return ran
