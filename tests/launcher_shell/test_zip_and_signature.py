"""What stands behind a head: a ZIP that every reader opens, and a signature that ends the file."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.launcher_shell.world import needs
from tests.world.files import MODEL_NAME, verified, write_tiny_file
from tests.world.programs import tiny_launchers, unix_launchers

from lfbuild.archive.reader import Reader
from lfbuild.formats.executable import PROBE_BYTES, certificate_table
from lfbuild.formats.head import HeadForm, make_head
from lfbuild.formats.pe import HEADER_OFFSET
from lfbuild.formats.resources import WindowsFacts

if TYPE_CHECKING:
    from pathlib import Path

FACTS = WindowsFacts(product="Acme", description="Acme chat", version="1.2.3", filename="acme.exe")
SIGNATURE_BYTES = 48 << 10
"""Behind the end records, so that they stay within the last 64 KiB."""


def write_file(path: Path, form: HeadForm) -> Path:
    """A head with a packed file behind it."""
    machines = {"elf": ["linux-x86_64"], "script": list(unix_launchers()), "polyglot": list(tiny_launchers())}
    launchers = {target: tiny_launchers()[target] for target in machines[form]}
    head = make_head(form, launchers, facts=FACTS if form == "polyglot" else None)
    return write_tiny_file(path.parent, head=head, name=path.name, align_bytes=65536)


@pytest.mark.parametrize("form", ["elf", "script", "polyglot"])
@pytest.mark.parametrize("reader", ["zipfile", "unzip", "bsdtar", "busybox", "7z"])
def test_each_form_opens_as_a_zip(tmp_path: Path, form: HeadForm, reader: str) -> None:
    file = write_file(tmp_path / "chat.zip", form)
    if reader == "zipfile":
        with zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None
            assert archive.read(MODEL_NAME).startswith(b"GGUF")
        return
    needs(reader)
    commands = {
        "unzip": ["unzip", "-tq", str(file)],
        "bsdtar": ["bsdtar", "-tf", str(file)],
        "busybox": ["busybox", "unzip", "-t", str(file)],
        "7z": ["7z", "t", "-tzip", str(file)],
    }
    finished = subprocess.run(commands[reader], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A polyglot, signed by a key made for the occasion."""
    needs("osslsigncode")
    needs("openssl")
    file = write_file(tmp_path / "chat.exe", "polyglot")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    extensions = ["-subj", "/CN=Acme", "-days", "30", "-addext", "extendedKeyUsage=codeSigning"]
    subprocess.run([*make, *extensions], capture_output=True, check=True)
    target = tmp_path / "signed.exe"
    sign = ["osslsigncode", "sign", "-certs", str(certificate), "-key", str(key), "-h", "sha256"]
    said = subprocess.run([*sign, "-in", str(file), "-out", str(target)], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    return target


def test_a_signed_polyglot_verifies_and_stays_a_zip(signed: Path, tmp_path: Path) -> None:
    command = ["osslsigncode", "verify", "-CAfile", str(tmp_path / "certificate.pem"), "-in", str(signed)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Signature verification: ok" in said.stdout, said.stdout + said.stderr

    assert verified(signed) == []
    with Reader.open(signed) as reader:
        found = certificate_table(reader.read_at(0, PROBE_BYTES))
        assert found is not None
        offset, size = found
        assert offset + size == reader.size_bytes
        assert size <= SIGNATURE_BYTES
    if shutil.which("unzip"):
        tested = subprocess.run(["unzip", "-tq", str(signed)], capture_output=True, text=True, check=False)
        assert "No errors detected" in tested.stdout


def test_signing_changes_nothing_but_its_places(signed: Path, tmp_path: Path) -> None:
    before, after = (tmp_path / "chat.exe").read_bytes(), signed.read_bytes()

    changed = {offset for offset in range(4096) if before[offset] != after[offset]}
    optional = HEADER_OFFSET + 24
    assert changed <= {*range(optional + 64, optional + 68), *range(optional + 144, optional + 152)}
    assert after[4096 : len(before)] == before[4096:]


def test_a_byte_that_changes_after_signing_is_noticed(signed: Path, tmp_path: Path) -> None:
    data = bytearray(signed.read_bytes())
    data[0x100] ^= 1  # inside the script
    signed.write_bytes(data)

    command = ["osslsigncode", "verify", "-CAfile", str(tmp_path / "certificate.pem"), "-in", str(signed)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)

    assert said.returncode != 0
