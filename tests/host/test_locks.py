"""One lfbuild at a time, also where the lock file goes away while another one waits for it."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

import pytest

from lfbuild.errors import HostError
from lfbuild.host.locks import locked

if TYPE_CHECKING:
    from pathlib import Path


class HeldError(Exception):
    """Somebody else holds the lock."""


def refuse() -> None:
    raise HeldError


def test_a_lock_file_that_lost_its_name_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, take = tmp_path / "lock", fcntl.flock

    def take_as_its_holder_removes_it(descriptor: int, operation: int) -> None:
        path.unlink(missing_ok=True)
        take(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", take_as_its_holder_removes_it)

    with pytest.raises(HeldError), locked(path, waiting=refuse):
        pytest.fail("another one may make a new lock file now")


def test_a_link_in_the_place_of_a_lock_file_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"kept")
    (tmp_path / "lock").symlink_to(other)

    with pytest.raises(HostError), locked(tmp_path / "lock"):
        pytest.fail("it was followed")

    assert other.read_bytes() == b"kept"
