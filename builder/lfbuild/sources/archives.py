"""Reads ZIP and tar files member by member, as a stream, and believes nothing that they say of themselves.

A damaged or hostile archive is a `FormatError` in one sentence. Nothing is written here.
"""

from __future__ import annotations

import contextlib
import difflib
import lzma
import stat
import tarfile
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

from lfbuild.errors import FetchError, FormatError

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHUNK_BYTES = 1024 * 1024
MAX_MEMBERS = 500_000
MemberKind = Literal["file", "folder", "link", "other"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveMember:
    """One member, readable only until the next one is asked for."""

    name: str
    kind: MemberKind
    size_bytes: int
    is_executable: bool
    link_target: str
    open: Callable[[], IO[bytes]]


@contextlib.contextmanager
def damage_in_words(path: Path) -> Iterator[None]:
    """Turn what the standard library raises on a damaged archive into one sentence.

    Raises:
        FormatError: that sentence.
    """
    import zipfile

    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, UnicodeError) as error:
        raise FormatError(path, f"is a damaged archive ({_words(error)})", hint="fetch it again") from error
    except NotImplementedError as error:
        raise FormatError(path, f"is compressed in a way that is not known ({_words(error)})") from error
    except (ValueError, OverflowError, MemoryError, RuntimeError) as error:  # zipfile raises each of them on nonsense
        raise FormatError(path, f"is a damaged archive ({_words(error)})") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise FormatError(path, f"is a damaged archive ({_words(error)})", hint="fetch it again") from error  # gzip


def members(path: Path) -> Iterator[ArchiveMember]:
    """All members in the order of the archive.

    Raises:
        FormatError: it is neither a ZIP nor a tar file, or is damaged.
    """
    with damage_in_words(path):
        is_zip = _is_zip(path)
        for count, member in enumerate(_zip_members(path) if is_zip else _tar_members(path)):
            if count >= MAX_MEMBERS:
                raise FormatError(path, f"has more than {MAX_MEMBERS} members")
            yield member


@contextlib.contextmanager
def opened_member(path: Path, name: str) -> Iterator[tuple[IO[bytes], int]]:
    """A member as a stream, and its size; the top folder of a source archive may be left out of `name`.

    Raises:
        FetchError: there is no such member.
        FormatError: the archive is damaged, or has the member twice.
    """
    with damage_in_words(path):
        if _is_zip(path):
            with _open_zip(path) as archive:
                info = _find_in_zip(archive, path, name)
                _refuse_password(path, info)
                with archive.open(info) as stream:
                    yield stream, info.file_size
            return
        names: list[str] = []
        for member in _tar_members(path):
            if name in (member.name, member.name.partition("/")[2]) and member.kind == "file":
                with member.open() as stream:
                    yield stream, member.size_bytes
                return
            names.append(member.name)
        raise _no_member(path, name, names)


def chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """The bytes of a stream, in pieces."""
    while data := stream.read(CHUNK_BYTES):
        yield data


def _is_zip(path: Path) -> bool:
    """By its end record, as a ZIP file may have other bytes in front; unless it begins as a tar file does."""
    import zipfile

    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")) or head[257:262] == b"ustar":
        return False
    return zipfile.is_zipfile(path)


def _open_zip(path: Path) -> zipfile.ZipFile:
    import zipfile_deflate64  # teaches zipfile the method that Windows uses for large files

    archive: zipfile.ZipFile = zipfile_deflate64.ZipFile(path)
    return archive


def _find_in_zip(archive: zipfile.ZipFile, path: Path, name: str) -> zipfile.ZipInfo:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    for found in (
        [info for info in infos if info.filename == name],
        [info for info in infos if info.filename.partition("/")[2] == name],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            raise FormatError(path, f"has {len(found)} members called '{name}'", hint="give the whole path of one")
    raise _no_member(path, name, [info.filename for info in infos])


def _refuse_password(path: Path, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & 1:
        raise FormatError(path, f"has '{info.filename}' under a password", hint="unpack it by hand")


def _no_member(path: Path, name: str, names: list[str]) -> FetchError:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else f"it has {len(names)} members; list it to see them"
    return FetchError(path, f"has no member '{name}'", hint=hint)


def _zip_members(path: Path) -> Iterator[ArchiveMember]:
    with _open_zip(path) as archive:
        for info in archive.infolist():
            _refuse_password(path, info)
            mode = info.external_attr >> 16
            is_link = stat.S_ISLNK(mode)
            if is_link and info.file_size > 4096:
                raise FormatError(path, f"has a link '{info.filename}' with a target of {info.file_size} bytes")
            yield ArchiveMember(
                name=info.filename.rstrip("/"),
                kind="folder" if info.is_dir() else "link" if is_link else "file",
                size_bytes=info.file_size,
                is_executable=bool(mode & 0o111),
                link_target=archive.read(info).decode() if is_link else "",
                open=lambda info=info: archive.open(info),  # type: ignore[misc]  # mypy cannot type the default
            )


def _tar_members(path: Path) -> Iterator[ArchiveMember]:
    with tarfile.open(path) as archive:
        for info in archive:
            # A hard link is a second name for bytes that came before: no source archive needs one.
            kind: MemberKind = (
                "file" if info.isreg() else "folder" if info.isdir() else "link" if info.issym() else "other"
            )
            yield ArchiveMember(
                name=info.name.removeprefix("./").rstrip("/"),
                kind=kind,
                size_bytes=info.size,
                is_executable=bool(info.mode & 0o111),
                link_target=info.linkname,
                open=lambda info=info: _open_in_tar(archive, info),  # type: ignore[misc]  # mypy cannot type the default
            )
            archive.members = []  # type: ignore[attr-defined]  # tarfile would keep all headers, which a hostile archive has many of


def _open_in_tar(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(info)
    if stream is None:
        raise tarfile.ReadError(f"'{info.name}' is not a file")
    return stream


def _words(error: BaseException) -> str:
    text = str(error).partition("\n")[0]
    return text[:1].lower() + text[1:] if text else type(error).__name__
