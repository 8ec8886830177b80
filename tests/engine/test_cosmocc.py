"""A cosmocc is found where the user says, on the path or in the store; taken in only with its pinned bytes."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest
from tests.engine.tiny import PC

from lfbuild.engine.cosmocc import find_cosmocc
from lfbuild.engine.cosmocc_install import SHA256, URLS, install_cosmocc
from lfbuild.errors import IntegrityError, LfbuildError, ToolError

if TYPE_CHECKING:
    from lfbuild.store import Store

DRIVER = "bin/x86_64-unknown-cosmo-cc"
HEADER = "include/libc/integral/normalize.inc"
INSTALL = "install it with: lfbuild toolchain install cosmocc"


def version_header(patch: int) -> str:
    parts = {"MAJOR": 4, "MINOR": 0, "PATCH": patch}
    return "".join(f"#define __COSMOPOLITAN_{part}__ {number}\n" for part, number in parts.items())


def write_cosmocc(root: Path, *, patch: int = 2) -> Path:
    for name, text in {DRIVER: "#!/bin/sh\n", HEADER: version_header(patch)}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
        (root / name).chmod(0o755)
    return root


def write_bundle(path: Path, *, patch: int = 2, more: dict[str, tuple[int, str]] | None = None) -> tuple[Path, str]:
    """A bundle as the project packs it, with its sha256: permissions and links are in the ZIP's Unix attributes."""
    members = {
        DRIVER: (stat.S_IFREG | 0o755, "#!/bin/sh\n"),
        "bin/x86_64-unknown-cosmo-c++": (stat.S_IFLNK | 0o777, "x86_64-unknown-cosmo-cc"),
        HEADER: (stat.S_IFREG | 0o644, version_header(patch)),
        **(more or {}),
    }
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, (mode, text) in members.items():
            member = ZipInfo(name)
            member.external_attr = mode << 16
            archive.writestr(member, text)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def refusal(caught: pytest.ExceptionInfo[LfbuildError]) -> tuple[str, str]:
    return str(caught.value), caught.value.hint


def test_the_folder_that_the_user_names_comes_first(tmp_path: Path, store: Store) -> None:
    named, on_path = write_cosmocc(tmp_path / "named"), write_cosmocc(tmp_path / "other")
    machine = replace(PC, search_path=str(on_path / "bin"))

    assert find_cosmocc(None, folder=named, machine=machine, store=store).root == named
    assert find_cosmocc(None, folder=None, machine=machine, store=store).root == on_path


def test_two_copies_are_one_toolchain_and_a_changed_file_is_another(tmp_path: Path, store: Store) -> None:
    first, second = write_cosmocc(tmp_path / "first"), write_cosmocc(tmp_path / "second")

    def digest(root: Path) -> str:
        return find_cosmocc("4.0.2", folder=root, machine=PC, store=store).sha256

    assert digest(first) == digest(second)
    (second / DRIVER).write_text("#!/bin/sh\nexec other\n", encoding="utf-8")
    assert digest(first) != digest(second)


def test_none_at_all_tells_how_to_get_one(store: Store) -> None:
    with pytest.raises(ToolError) as caught:
        find_cosmocc(None, folder=None, machine=PC, store=store)

    assert refusal(caught) == ("cosmocc: version 4.0.2 is not installed", INSTALL)


def test_a_folder_that_holds_none_is_refused(tmp_path: Path, store: Store) -> None:
    with pytest.raises(ToolError) as caught:
        find_cosmocc(None, folder=tmp_path, machine=PC, store=store)

    assert refusal(caught) == (f"{tmp_path}: is no cosmocc: it has no {DRIVER}, or no {HEADER}", INSTALL)


def test_another_version_than_the_recipes_is_refused(tmp_path: Path, store: Store) -> None:
    root = write_cosmocc(tmp_path / "cosmocc", patch=3)

    with pytest.raises(ToolError) as caught:
        find_cosmocc("4.0.2", folder=root, machine=PC, store=store)

    assert refusal(caught) == (f"{root}: the recipe wants cosmocc 4.0.2, but this is 4.0.3", INSTALL)


def test_a_folder_with_a_space_is_refused_before_its_scripts_fall_over_it(tmp_path: Path, store: Store) -> None:
    root = write_cosmocc(tmp_path / "my cosmocc")

    with pytest.raises(ToolError) as caught:
        find_cosmocc(None, folder=root, machine=PC, store=store)

    assert refusal(caught) == (f"{root}: cosmocc cannot work in a folder with a space in its name", "move it elsewhere")


def test_an_installed_bundle_keeps_its_permissions_and_links_and_is_fetched_once(tmp_path: Path, store: Store) -> None:
    bundle, sha256 = write_bundle(tmp_path / "bundle.zip")
    asked: list[tuple[tuple[str, ...], str]] = []

    def download(urls: tuple[str, ...], expected: str) -> Path:
        asked.append((urls, expected))
        return bundle

    first = install_cosmocc(store, download=download, sha256=sha256)
    second = install_cosmocc(store, download=download, sha256=sha256)

    assert first == second == store.entry("toolchains", "cosmocc-4.0.2")
    assert asked == [(URLS, sha256)]
    assert (first / DRIVER).stat().st_mode & 0o777 == 0o755
    assert (first / "bin" / "x86_64-unknown-cosmo-c++").readlink() == Path("x86_64-unknown-cosmo-cc")
    assert find_cosmocc("4.0.2", folder=None, machine=PC, store=store).root == first


def test_other_bytes_than_the_pinned_ones_are_not_installed(tmp_path: Path, store: Store) -> None:
    bundle, sha256 = write_bundle(tmp_path / "bundle.zip")

    with pytest.raises(IntegrityError) as caught:
        install_cosmocc(store, download=lambda _urls, _sha256: bundle)

    assert refusal(caught) == (
        f"{bundle}: its sha256 is {sha256}, not the pinned {SHA256}",
        "nothing was installed; the server may hand out something else",
    )
    assert store.entry("toolchains", "cosmocc-4.0.2") is None


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({HEADER: (stat.S_IFREG | 0o644, version_header(1))}, "holds cosmocc 4.0.1, not 4.0.2"),
        ({"../bin/sh": (stat.S_IFREG | 0o755, "")}, "has a member outside its folder: ../bin/sh"),
        ({"/bin/sh": (stat.S_IFREG | 0o755, "")}, "has a member outside its folder: /bin/sh"),
        ({"sh": (stat.S_IFLNK | 0o777, "/bin/sh")}, "has a link that leaves its folder: sh"),
    ],
)
def test_a_bundle_that_is_not_what_it_should_be_is_not_installed(
    tmp_path: Path, store: Store, more: dict[str, tuple[int, str]], what: str
) -> None:
    bundle, sha256 = write_bundle(tmp_path / "bundle.zip", more=more)

    with pytest.raises(ToolError) as caught:
        install_cosmocc(store, download=lambda _urls, _sha256: bundle, sha256=sha256)

    assert str(caught.value) == f"{bundle}: {what}"
    assert store.entry("toolchains", "cosmocc-4.0.2") is None


def test_a_file_that_is_no_bundle_is_refused(tmp_path: Path, store: Store) -> None:
    bundle = tmp_path / "page.html"
    bundle.write_bytes(b"<html>not found</html>")

    with pytest.raises(ToolError) as caught:
        install_cosmocc(
            store, download=lambda _urls, _sha256: bundle, sha256=hashlib.sha256(bundle.read_bytes()).hexdigest()
        )

    assert str(caught.value) == f"{bundle}: cannot be unpacked (File is not a zip file)"
