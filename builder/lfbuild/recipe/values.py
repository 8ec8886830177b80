"""The kinds of single values that a recipe has: hashes, sizes, member names, versions, processor levels.

Each says in one sentence what is wrong with a value, and gives the pattern that an editor may check.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Strict, WithJsonSchema

from lfbuild.formats.names import (
    UPDATE_ADDRESS_PATTERN,
    can_be_taken_apart,
    check_file_name,
    check_update_address,
    check_version,
)

KIB = 1024
_UNITS = {"": 1, "B": 1, "KiB": KIB, "MiB": KIB**2, "GiB": KIB**3, "TiB": KIB**4}
_DECIMAL_UNITS = {"kB", "KB", "MB", "GB", "TB", "K", "M", "G", "T", "kb", "mb", "gb"}
_SIZE = re.compile(r"([0-9]{1,19}) ?([A-Za-z]*)")
_PERCENT = re.compile(r"([0-9]{1,4}) ?%")
_SIZE_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+ ?([KMGT]iB|B)?$"}]}

MIN_ALIGN_BYTES = 64 * KIB
MAX_ALIGN_BYTES = 64 * KIB**2
MAX_BLOCK_BYTES = KIB**2


def parse_size(value: object) -> int:
    """Bytes, from a whole number or a text such as "64 KiB"."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match and match[2] in _UNITS:
        return int(match[1]) * _UNITS[match[2]]
    if match and match[2] in _DECIMAL_UNITS:
        raise ValueError(f"the unit '{match[2]}' may mean two things; use B, KiB, MiB, GiB or TiB")
    raise ValueError('must be a size: a whole number of bytes, or a text such as "64 KiB"')


def _check_sha256(value: str) -> str:
    if len(value) != 64:
        raise ValueError(f"must be a sha256: 64 hexadecimal digits, not {len(value)} characters")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError("must be a sha256: 64 hexadecimal digits and nothing else")
    return value.lower()


def _check_align(value: int) -> int:
    if value.bit_count() != 1:
        raise ValueError(f"must be a power of two, not {value}")
    if value < MIN_ALIGN_BYTES:
        raise ValueError(
            f"must be at least {MIN_ALIGN_BYTES}, not {value}: "
            "Windows, and Linux with large pages, map a file only at multiples of that"
        )
    if value > MAX_ALIGN_BYTES:
        raise ValueError(f"must be at most {MAX_ALIGN_BYTES} (64 MiB), not {value}: the rest would be zeros")
    return value


def _check_block_size(value: int) -> int:
    if value.bit_count() != 1 or not MIN_ALIGN_BYTES <= value <= MAX_BLOCK_BYTES:
        raise ValueError(f"must be a power of two from 65536 (64 KiB) to 1048576 (1 MiB), not {value}")
    return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """The space that is left for the next engine: for one that is bigger by a share, or so many bytes."""

    percent: int | None = None
    size_bytes: int = 0

    def beside(self, engine_bytes: int, *, started: bool) -> int:
        """The room to leave beside engines of this size, in bytes.

        The next one that a launcher starts is written beside the present one, so all of it has to fit; one that is the
        head takes the present one's place, and needs only what it is bigger.
        """
        if self.percent is None:
            return self.size_bytes
        return engine_bytes * (self.percent + (100 if started else 0)) // 100


def _parse_room(value: object) -> Room:
    if isinstance(value, Room):
        return value
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match:
        return Room(percent=int(match[1]))
    try:
        return Room(size_bytes=parse_size(value))
    except ValueError as error:
        if "unit" in str(error):
            raise
        raise ValueError('must be a share of the engine such as "25 %", or a size such as "8 MiB"') from error


def check_member_name(name: str) -> str:
    """Refuse a name that a ZIP reader could take for something else than a file inside the folder it unpacks to."""
    for character, word in (("\\", "a backslash"), ("@", "'@'"), ("\0", "a NUL"), (":", "a colon")):
        if character in name:
            why = ", which parts a file from a member on the command line" if character == "@" else ""
            raise ValueError(f"must not contain {word}{why}")
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise ValueError("must not contain control characters")
    if not name or name.endswith("/"):
        raise ValueError("must name a file")
    if name.startswith("/"):
        raise ValueError("must not be absolute")
    parts = name.split("/")
    if ".." in parts:
        raise ValueError("must not contain '..'")
    if "" in parts or "." in parts or str(PurePosixPath(name)) != name:
        raise ValueError("must be a plain path, without '.' or empty parts")
    if len(name.encode()) > 1024:
        raise ValueError("must be at most 1024 bytes long")
    if parts[0] in (".args", ".lfbuild"):
        raise ValueError(f"'{parts[0]}' is for what lfbuild itself writes")
    return name


def check_model_name(name: str) -> str:
    """Weights stand at the top level, and other readers find them by their ending."""
    check_member_name(name)
    if "/" in name:
        raise ValueError("must not contain '/': weights stand at the top level, where every reader finds them")
    if name.startswith("."):
        raise ValueError("must not start with '.'")
    if not name.lower().endswith(".gguf"):
        raise ValueError("must end in .gguf: that is how other readers of such files find weights")
    return name


def _check_url(url: str) -> str:
    if not re.match(r"https?://[^/\s]+", url) or re.search(r"\s", url) or not can_be_taken_apart(url):
        raise ValueError("must be an http:// or https:// address")
    return url


def _check_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a NUL")
    return text


def _check_filled(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("must not be empty")
    return text


def _check_folder(folder: str) -> str:
    parts = folder.split("/")
    if "\\" in folder or "\0" in folder or folder.startswith("/") or {"", ".", ".."} & set(parts):
        raise ValueError("must be a plain path inside the source, such as vendor/llama.cpp")
    return folder


def _check_mode(mode: str) -> str:
    if not re.fullmatch(r"0?[0-7]{3}", mode):
        raise ValueError('must be a file mode such as "0644" or "0755"')
    return f"{int(mode, 8):04o}"


_CPU = re.compile(r"(x86-64(?:-v[234])?|armv[89](?:\.[0-9])?-a)((?:\+[a-z0-9][a-z0-9_.-]*)*)")


def _check_cpu(cpu: str) -> str:
    if cpu == "native":
        raise ValueError(
            "'native' differs from machine to machine; name a level (`lfbuild doctor` tells this machine's)"
        )
    if not _CPU.fullmatch(cpu):
        raise ValueError(f"'{cpu}' is not a processor level such as x86-64-v3, x86-64-v3+avxvnni or armv8.2-a+dotprod")
    return cpu


def check_option_name(name: str) -> str:
    """A CMake variable that lfbuild does not set itself."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"'{name}' is not a CMake variable's name")
    if name.startswith("LFBUILD_") or name in ("CMAKE_TOOLCHAIN_FILE", "CMAKE_PROJECT_INCLUDE"):
        raise ValueError(f"'{name}' is set by lfbuild")
    return name


def option_text(value: object) -> str:
    """A CMake value as CMake writes it: booleans are ON and OFF."""
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and not re.search(r"[\x00\r\n]", value):
        return value
    raise ValueError("must be a text, a whole number, true or false")


def _check_command(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"is not a command: {str(error).lower()}") from error
    if not words or not any("{file}" in word for word in words[1:]):
        raise ValueError('must be a command with "{file}" where the name of the file goes, such as "sign.sh {file}"')
    return text


def as_hashes(value: Any) -> Any:
    """One hash, or a list of them for a model in several files."""
    return (value,) if isinstance(value, str) else value


Text = Annotated[str, AfterValidator(_check_text)]
Filled = Annotated[str, AfterValidator(_check_filled)]
Flag = Annotated[bool, Strict()]
Sha256 = Annotated[
    str, AfterValidator(_check_sha256), WithJsonSchema({"type": "string", "pattern": "^[0-9a-fA-F]{64}$"})
]
FileName = Annotated[str, AfterValidator(check_file_name)]
MemberName = Annotated[str, AfterValidator(check_member_name)]
Url = Annotated[str, AfterValidator(_check_url), WithJsonSchema({"type": "string", "pattern": "^https?://[^/\\s]+"})]
UpdateUrl = Annotated[
    str,
    AfterValidator(check_update_address),
    WithJsonSchema({"type": "string", "pattern": f"^{UPDATE_ADDRESS_PATTERN}"}),
]
Version = Annotated[str, AfterValidator(check_version)]
Command = Annotated[str, AfterValidator(_check_command)]
Folder = Annotated[str, AfterValidator(_check_folder)]
Mode = Annotated[str, AfterValidator(_check_mode), WithJsonSchema({"type": "string", "pattern": "^0?[0-7]{3}$"})]
Cpu = Annotated[str, AfterValidator(_check_cpu), WithJsonSchema({"type": "string", "pattern": f"^{_CPU.pattern}$"})]
Align = Annotated[int, BeforeValidator(parse_size), AfterValidator(_check_align), WithJsonSchema(_SIZE_SCHEMA)]
BlockSize = Annotated[int, BeforeValidator(parse_size), AfterValidator(_check_block_size), WithJsonSchema(_SIZE_SCHEMA)]
EngineRoom = Annotated[
    Room,
    BeforeValidator(_parse_room),
    WithJsonSchema({"anyOf": [*_SIZE_SCHEMA["anyOf"], {"type": "string", "pattern": "^[0-9]{1,4} ?%$"}]}),
]
OptionName = Annotated[str, AfterValidator(check_option_name)]
OptionValue = Annotated[str, BeforeValidator(option_text), WithJsonSchema({"type": ["string", "integer", "boolean"]})]
