"""A source tree is unpacked once, the same on every machine, and never outside of its folder."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fetch.webserver import Page, WebServer

from lfbuild.errors import FetchError, FormatError, IntegrityError, LfbuildError, ToolError
from lfbuild.report import SilentReport
from lfbuild.sources import (
    FetchedTree,
    GitOrigin,
    PathOrigin,
    TreeOrigin,
    UrlOrigin,
    digest_tree,
    fetch_tree,
    tree_key,
    unpack_tree,
)
from lfbuild.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from lfbuild.fetch import Network

FILE, FOLDER, LINK, HARD_LINK, DEVICE = (
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
)


def member(
    name: str, data: bytes = b"", *, kind: bytes = FILE, target: str = "", mode: int = 0o644
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, target, mode, len(data)
    return info, data


def tar_file(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return path


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def unpack(store: Store) -> Callable[..., Path]:
    def unpack(archive: Path, subfolder: str | None = None) -> Path:
        return unpack_tree(archive, sha256_of(archive), subfolder=subfolder, store=store, report=SilentReport())

    return unpack


@pytest.fixture
def fetch(store: Store, network: Network) -> Callable[..., FetchedTree]:
    def fetch(
        origin: TreeOrigin, *, folder: str | None = None, sha256: str | None = None, **changes: object
    ) -> FetchedTree:
        from dataclasses import replace

        return fetch_tree(
            origin,
            folder=folder,
            sha256=sha256,
            store=store,
            network=replace(network, **changes),  # type: ignore[arg-type]
            report=SilentReport(),
            now=1000,
        )

    return fetch


def listing(tree: Path) -> dict[str, str]:
    told = {}
    for path in sorted(tree.rglob("*")):
        if path.is_symlink():
            told[path.relative_to(tree).as_posix()] = f"-> {path.readlink()}"
        elif path.is_file():
            told[path.relative_to(tree).as_posix()] = f"{stat.S_IMODE(path.stat().st_mode):o} {path.read_text()}"
    return told


SDIST = (
    member("pkg-1.0", kind=FOLDER),
    member("pkg-1.0/setup.py", b"raise SystemExit"),
    member("pkg-1.0/vendor/llama.cpp/CMakeLists.txt", b"project(llama)", mode=0o664),
    member("pkg-1.0/vendor/llama.cpp/run.sh", b"#!/bin/sh", mode=0o700),
    member("pkg-1.0/vendor/llama.cpp/src/link", kind=LINK, target="../run.sh"),
    member("pkg-1.0/vendor/llama.cpp-extra/x", b""),
)


def test_only_the_folder_that_was_asked_for_is_unpacked(tmp_path: Path, unpack: Callable[..., Path]) -> None:
    archive = tar_file(tmp_path / "pkg.tar.gz", *SDIST)

    for folder in ("vendor/llama.cpp", "pkg-1.0/vendor/llama.cpp"):
        assert listing(unpack(archive, folder)) == {
            "CMakeLists.txt": "644 project(llama)",
            "run.sh": "755 #!/bin/sh",
            "src/link": "-> ../run.sh",
        }


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_whole_archive_is_unpacked_without_its_top_folder(
    tmp_path: Path, unpack: Callable[..., Path], mode: str
) -> None:
    archive = tar_file(tmp_path / "x", member("top/top", b"1"), member("./top/b/c", b"2"), mode=mode)

    assert listing(unpack(archive)) == {"top": "644 1", "b/c": "644 2"}


def test_a_zip_is_a_source_archive_too(tmp_path: Path, unpack: Callable[..., Path]) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("top/a.txt", "1")
        run = zipfile.ZipInfo("top/run.sh")
        run.external_attr = 0o755 << 16
        archive.writestr(run, "2")
        link = zipfile.ZipInfo("top/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "a.txt")

    assert listing(unpack(path)) == {"a.txt": "644 1", "link": "-> a.txt", "run.sh": "755 2"}


def test_an_archive_is_unpacked_once(tmp_path: Path, unpack: Callable[..., Path]) -> None:
    archive = tar_file(tmp_path / "pkg.tar.gz", *SDIST)
    first = unpack(archive, "vendor/llama.cpp")
    (first / "CMakeLists.txt").write_text("touched")

    assert unpack(archive, "vendor/llama.cpp") == first
    assert (first / "CMakeLists.txt").read_text() == "touched"


def test_an_archive_always_unpacks_to_the_same_tree(tmp_path: Path) -> None:
    archive = tar_file(tmp_path / "pkg.tar.gz", *SDIST)
    digests, dates = [], []
    for umask in (0o022, 0o077, 0o000):
        before = os.umask(umask)
        try:
            store = Store(tmp_path / f"cache {umask}")
            tree = unpack_tree(archive, sha256_of(archive), subfolder="vendor", store=store, report=SilentReport())
        finally:
            os.umask(before)
        digests.append(digest_tree(tree).sha256)
        dates.append((tree / "llama.cpp/run.sh").stat().st_mtime)

    assert len(set(digests)) == 1
    assert set(dates) == {315_532_800}


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, unpack: Callable[..., Path], store: Store) -> None:
    archive = tar_file(tmp_path / "pkg.tar.gz", *SDIST)

    with pytest.raises(FetchError) as caught:
        unpack(archive, "vendor/llama")

    assert str(caught.value) == f"{archive}: has no folder 'vendor/llama'"
    assert list((store.root / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ([member("../evil")], "has a member '../evil' that would be written outside of its folder"),
        ([member("a/../../evil")], "has a member 'a/../../evil' that would be written outside of its folder"),
        ([member("/etc/evil")], "has a member '/etc/evil' that would be written outside of its folder"),
        ([member("a\\..\\evil")], "has a member 'a\\..\\evil' that would be written outside of its folder"),
        ([member("l", kind=LINK, target="/etc/passwd")], "has a link 'l' that points outside of its folder"),
        ([member("l", kind=LINK, target="../evil")], "has a link 'l' that points outside of its folder"),
        ([member("d/l", kind=LINK, target="../../evil")], "has a link 'd/l' that points outside of its folder"),
        (
            [
                member("e", kind=FOLDER),
                member("l", kind=LINK, target="d/e/../../x"),
                member("d", kind=LINK, target="."),
            ],
            "has a link 'l' that points outside of its folder",
        ),
        (
            [member("d", kind=LINK, target="."), member("d/x", b"through a link")],
            "has 'd' twice, or as a file and as a folder",
        ),
        (
            [member("a", b"1"), member("h", kind=HARD_LINK, target="a")],
            "has a member 'h' that is a hard link or a device, not a file",
        ),
        ([member("tty", kind=DEVICE)], "has a member 'tty' that is a hard link or a device, not a file"),
        ([member("a", b"1"), member("a", b"2")], "has 'a' twice, or as a file and as a folder"),
        ([member("a", b"1"), member("a/b", b"2")], "has 'a/b' twice, or as a file and as a folder"),
        ([member("a/b", b"1"), member("a", b"2")], "has 'a' twice, or as a file and as a folder"),
    ],
)
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    tmp_path: Path,
    unpack: Callable[..., Path],
    store: Store,
    members: list[tuple[tarfile.TarInfo, bytes]],
    what: str,
) -> None:
    archive = tar_file(tmp_path / "evil.tar.gz", member("keep", b"two members, so no top folder"), *members)

    with pytest.raises(FormatError) as caught:
        unpack(archive)

    assert str(caught.value) == f"{archive}: {what}"
    assert list((store.root / "incoming").iterdir()) == []
    assert not list((store.root / "trees").glob("*"))
    assert not list(tmp_path.rglob("*evil")), "nothing was written elsewhere"


def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, unpack: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lfbuild.sources import trees

    monkeypatch.setattr(trees, "MAX_TREE_BYTES", 1000)
    archive = tar_file(tmp_path / "bomb.tar.gz", member("a", bytes(600)), member("b", bytes(600)))

    with pytest.raises(FormatError) as caught:
        unpack(archive)

    assert str(caught.value) == f"{archive}: unpacks to more than 1000 B"


def test_an_archive_with_too_many_members_is_refused(
    tmp_path: Path, unpack: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lfbuild.sources import archives

    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    archive = tar_file(tmp_path / "many.tar.gz", *(member(f"f{number}") for number in range(3)))

    with pytest.raises(FormatError) as caught:
        unpack(archive)

    assert str(caught.value) == f"{archive}: has more than 2 members"


NAMES = st.sampled_from(["a", "b", "a/b", "b/a", "a/b/c", "..", "../x", "/x", ".", "", "a/../b", "a\\b", "c", "c/d"])
MEMBERS = st.lists(
    st.builds(
        lambda name, kind, target, data: (name, kind, target, data),
        NAMES,
        st.sampled_from([FILE, FILE, FILE, FOLDER, LINK, LINK, HARD_LINK, DEVICE]),
        st.sampled_from(["a", "b", "../a", "../../x", "a/..", "/x", ".", "..", "c/d/../..", "b/../../c"]),
        st.binary(max_size=5),
    ),
    max_size=7,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(members=MEMBERS, subfolder=st.sampled_from([None, "a", "b"]))
def test_no_archive_whatever_it_holds_reaches_outside_of_its_tree(
    tmp_path: Path, members: list[tuple[str, bytes, str, bytes]], subfolder: str | None
) -> None:
    world = tmp_path / "world"
    shutil.rmtree(world, ignore_errors=True)
    world.mkdir()
    archive = tar_file(
        world / "x.tar",
        *(
            member(name, data if kind == FILE else b"", kind=kind, target=target)
            for name, kind, target, data in members
        ),
        mode="w",
    )
    store = Store(world / "cache")

    try:
        tree = unpack_tree(archive, "0" * 64, subfolder=subfolder, store=store, report=SilentReport())
    except LfbuildError:
        tree = None

    assert sorted(path.name for path in world.iterdir()) in (["cache", "x.tar"], ["x.tar"])
    inside = list(tree.rglob("*")) if tree else []
    assert all(Path(os.path.realpath(path)).is_relative_to(os.path.realpath(store.root / "trees")) for path in inside)
    assert all(path.is_symlink() or path.is_file() or path.is_dir() for path in inside)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10_000), flip=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_archive_is_refused_in_one_sentence_or_unpacks(
    tmp_path: Path, position: int, flip: int, cut: bool
) -> None:
    archive = tar_file(tmp_path / "pkg.tar.gz", *SDIST)
    data = bytearray(archive.read_bytes())
    if cut:
        del data[position % len(data) :]
    else:
        data[position % len(data)] ^= flip
    archive.write_bytes(data)
    cache = tmp_path / "cache"
    shutil.rmtree(cache, ignore_errors=True)

    try:
        unpack_tree(archive, "0" * 64, subfolder="vendor", store=Store(cache), report=SilentReport())
    except LfbuildError as error:
        assert "\n" not in str(error)  # noqa: PT017  # either way is right


# Trees from everywhere


def test_a_tree_out_of_an_archive_is_known_by_the_archive_and_the_folder(
    server: WebServer, tmp_path: Path, fetch: Callable[..., FetchedTree]
) -> None:
    archive = tar_file(tmp_path / "pkg.tar.gz", *SDIST)
    server.pages["/pkg.tar.gz"] = Page(data=archive.read_bytes())
    origin = UrlOrigin(url=f"{server.url}/pkg.tar.gz")

    tree = fetch(origin, folder="vendor/llama.cpp", sha256=sha256_of(archive))

    assert tree.sha256 == sha256_of(archive)
    assert tree.key == tree_key(tree.sha256, "vendor/llama.cpp") != tree_key(tree.sha256, "vendor")
    assert (tree.kind, tree.size_bytes) == ("url", archive.stat().st_size)
    assert (tree.path / "CMakeLists.txt").is_file()
    assert tree.path.stat().st_mtime == 1000
    assert fetch(origin, folder="vendor/llama.cpp", offline=True) == tree


def test_a_local_tree_is_used_where_it_is_and_known_by_its_contents(
    tmp_path: Path, fetch: Callable[..., FetchedTree]
) -> None:
    (tmp_path / "llama/src/.git").mkdir(parents=True)
    (tmp_path / "llama/src/a.c").write_text("int main;")
    origin = PathOrigin(path=tmp_path / "llama")

    tree = fetch(origin, folder="src")

    assert (tree.path, tree.size_bytes, tree.location) == (tmp_path / "llama/src", 9, "llama")
    (tmp_path / "llama/src/.git/HEAD").write_text("not counted")
    assert fetch(origin, folder="src") == tree
    (tmp_path / "llama/src/a.c").write_text("int main2;")
    assert fetch(origin, folder="src").key != tree.key
    with pytest.raises(IntegrityError):
        fetch(origin, folder="src", sha256=tree.sha256)
    with pytest.raises(FetchError) as caught:
        fetch(origin, folder="none")
    assert str(caught.value) == f"{tmp_path}/llama: has no folder 'none'"


def test_a_tree_s_digest_sees_names_contents_modes_and_links_but_no_dates(tmp_path: Path) -> None:
    def digest() -> str:
        return digest_tree(tmp_path).sha256

    (tmp_path / "a").write_text("1")
    seen = [digest()]
    os.utime(tmp_path / "a", (1, 1))
    assert digest() == seen[0]
    (tmp_path / "a").chmod(0o755)
    seen.append(digest())
    (tmp_path / "a").rename(tmp_path / "b")
    seen.append(digest())
    (tmp_path / "l").symlink_to("b")
    seen.append(digest())
    (tmp_path / "l").unlink()
    (tmp_path / "l").symlink_to("c")
    seen.append(digest())

    assert len(set(seen)) == 5


# git

GIT = shutil.which("git")
needs_git = pytest.mark.skipif(GIT is None, reason="git is not installed")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "upstream"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*words: str) -> None:
        who = ("-c", "user.name=n", "-c", "user.email=e", "-c", "init.defaultBranch=main")
        subprocess.run([str(GIT), *who, *words], cwd=folder, env=environment, check=True, capture_output=True)

    (folder / "cpp").mkdir(parents=True)
    git("init")
    (folder / "cpp/a.c").write_text("old")
    git("add", ".")
    git("commit", "-m", "1")
    git("tag", "b1")
    (folder / "cpp/a.c").write_text("new")
    git("commit", "-am", "2")
    return folder


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


@needs_git
def test_a_tag_of_a_git_repository_is_fetched_by_its_commit(
    repository: Path, fetch: Callable[..., FetchedTree]
) -> None:
    origin = GitOrigin(url=repository.as_uri(), revision="b1")

    tree = fetch(origin, folder="cpp", environment=environment())

    assert listing(tree.path) == {"a.c": "644 old"}
    assert tree.resolved.startswith("commit ")
    assert len(tree.resolved) == 47
    assert tree.kind == "git"
    assert fetch(origin, folder="cpp", offline=True) == tree
    assert fetch(origin, folder="cpp", sha256=tree.sha256) == tree
    with pytest.raises(IntegrityError):
        fetch(origin, folder="cpp", sha256="0" * 64)


@needs_git
def test_a_branch_is_a_revision_too(repository: Path, fetch: Callable[..., FetchedTree]) -> None:
    tree = fetch(GitOrigin(url=repository.as_uri(), revision="main"), environment=environment())

    assert listing(tree.path) == {"cpp/a.c": "644 new"}


@needs_git
def test_what_git_cannot_fetch_is_told(repository: Path, fetch: Callable[..., FetchedTree]) -> None:
    with pytest.raises(FetchError) as caught:
        fetch(GitOrigin(url=repository.as_uri(), revision="none"), environment=environment())

    assert str(caught.value) == (f"file://{repository} at none: git cannot fetch it (couldn't find remote ref none)")


def test_without_git_it_is_told_what_to_install(fetch: Callable[..., FetchedTree]) -> None:
    with pytest.raises(ToolError) as caught:
        fetch(GitOrigin(url="https://x.test/r.git", revision="b1"), environment={"PATH": "/nonexistent"})

    assert str(caught.value) == "git: is not installed, but the engine's source is a git repository"


def test_offline_a_repository_is_not_asked(fetch: Callable[..., FetchedTree]) -> None:
    with pytest.raises(FetchError) as caught:
        fetch(GitOrigin(url="https://me:secret@x.test/r.git", revision="b1"), offline=True)

    assert str(caught.value) == ("https://x.test/r.git at b1: is not in the cache, and --offline forbids to fetch it")
