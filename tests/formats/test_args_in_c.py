"""The two readers of default arguments, in Python and in C, held against each other."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lfbuild.errors import FormatError
from lfbuild.formats.args import expand_args

if TYPE_CHECKING:
    from collections.abc import Iterator

STUBS = Path(__file__).parents[2] / "stubs"
ENVIRONMENT = {"LFBUILD_TEST_A": "a value", "LFBUILD_TEST_B": ""}
PIECES = [
    *" \t\r\n\v\f'\"\\$.#{}x7n0A\0",
    *("...", "\\\n", "\\\r\n", "word", "$LFBUILD_TEST_A", "${LFBUILD_TEST_B}", "\\x4", "\\101", "é", "# no\n"),
]


class Words(ctypes.Structure):
    _fields_ = [  # ctypes wants it so
        ("words", ctypes.POINTER(ctypes.c_char_p)),
        ("count", ctypes.c_size_t),
        ("capacity", ctypes.c_size_t),
    ]


@pytest.fixture(scope="module")
def grammar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ctypes.CDLL]:
    compiler = shutil.which("cc")
    if compiler is None or not (STUBS / "args_grammar.c").is_file():
        pytest.skip("no C compiler, or no stubs/args_grammar.c")
    library = tmp_path_factory.mktemp("args") / "args.so"
    sources = [STUBS / "args_grammar.c", STUBS / "platform_posix.c"]
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, *sources], check=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        loaded = ctypes.CDLL(str(library))
        loaded.lfbuild_read_args.restype = ctypes.c_bool
        loaded.lfbuild_read_args.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.POINTER(ctypes.c_char_p),
            ctypes.POINTER(Words),
        ]
        yield loaded


def read_in_c(grammar: ctypes.CDLL, text: bytes, own: list[bytes]) -> list[bytes]:
    words = Words()
    user = (ctypes.c_char_p * (len(own) + 1))(*own, None)
    assert grammar.lfbuild_read_args(text, len(text), user, ctypes.byref(words))
    found = [words.words[number] or b"" for number in range(words.count)]
    grammar.lfbuild_words_free(ctypes.byref(words))
    return found


@settings(max_examples=1500)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@example("one\\\n ... two")
@example('"\\')
@example('"$')
@example("''\\\n")
@example('"\\x4')
@example('"\\10')
def test_python_and_c_read_any_text_alike(grammar: ctypes.CDLL, text: str) -> None:
    data = text.encode()
    in_c = read_in_c(grammar, data, [b"own"])
    try:
        in_python = expand_args(data, ["own"], environment=dict(os.environ))
    except FormatError:
        with pytest.raises(UnicodeDecodeError):
            [word.decode() for word in in_c]
        return

    assert [word.encode() for word in in_python] == in_c
