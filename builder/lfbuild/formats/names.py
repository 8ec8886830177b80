"""What a release may be called, and where newer ones may be: one rule for recipes and for verbs that change a file.

Each check returns its value, or says in a `ValueError` what is wrong with it.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

UPDATE_ADDRESS_PATTERN: Final = r"(?:https?|s3|oci)://[^/\s]+"
"""How an address begins that `update` reads from the network."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_file_name(name: str) -> str:
    """Refuse what some system takes for no name of a file: a release gives the file its name."""
    if re.search(r'[\x00-\x1f\x7f/\\:*?"<>|]', name) or name.startswith((".", "-")) or name != name.strip():
        raise ValueError("must be usable as a file name: no slash, colon, quote, or '.', '-' at its start")
    if not name or len(name.encode()) > 200:
        raise ValueError("must have 1 to 200 bytes")
    return name


def check_version(version: str) -> str:
    """Refuse a version that is none, or not told in one line."""
    if not version.strip():
        raise ValueError("must not be empty")
    if _CONTROL.search(version):
        raise ValueError("must be one line, without control characters")
    return version


def check_update_address(url: str) -> str:
    """Refuse an address that no machine but this one could update from."""
    if not re.match(UPDATE_ADDRESS_PATTERN, url) or re.search(r"\s", url) or not can_be_taken_apart(url):
        raise ValueError("must be an http://, https://, s3:// or oci:// address")
    return url


def can_be_taken_apart(url: str) -> bool:
    """Whether an address has brackets only around a host that is a number (RFC 3986, 3.2.2)."""
    try:
        urlsplit(url)
    except ValueError:
        return False
    return True


def check_file_address(url: str) -> str:
    """Refuse a place in a control file that nobody can read: neither a name seen from there nor a whole address."""
    if _CONTROL.search(url):
        raise ValueError("must be one line, without control characters")
    return url if "://" not in url or url.startswith("file://") else check_update_address(url)
