"""Control files that somebody wrote on purpose: whatever their description says, they are read, or refused."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from tests.channel.test_index import assembled

from lfbuild.channel.index import ReleaseIndex
from lfbuild.channel.leaves import complete, known_leaves, missing_leaves
from lfbuild.errors import LfbuildError

if TYPE_CHECKING:
    from collections.abc import Mapping

NUMBERS = st.one_of(
    st.integers(-1, 70), st.sampled_from([1 << 20, (1 << 20) + 1, 1 << 40, (1 << 48) - 1, 1 << 48, 1 << 70])
)
RUNS = st.lists(st.tuples(NUMBERS, NUMBERS, st.text(max_size=3), NUMBERS), max_size=3)
PARTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["l", "z"]), NUMBERS),
        st.tuples(st.just("b"), st.sampled_from(["", "a", ".lfbuild/head.blocks"]), NUMBERS, RUNS),
    ),
    max_size=5,
)
DESCRIPTIONS = st.fixed_dictionaries(
    {"file": st.fixed_dictionaries({"url": st.text(max_size=5), "size_bytes": NUMBERS}), "root": st.just("0" * 64)},
    optional={
        "parts": PARTS,
        "holes": st.lists(st.tuples(NUMBERS, NUMBERS), max_size=2),
        "leaves": st.fixed_dictionaries({"url": st.text(max_size=5), "size_bytes": NUMBERS}),
    },
)


@given(
    description=DESCRIPTIONS, glue=st.binary(max_size=80), digests=st.integers(0, 8), lie=st.sampled_from([0, 0, 1, -1])
)
def test_no_description_is_more_than_refused(
    description: Mapping[str, object], glue: bytes, digests: int, lie: int
) -> None:
    text = json.dumps(description).encode()
    data = assembled(text, glue, bytes(32 * digests), count=digests, more=max(lie, -len(glue)))

    with contextlib.suppress(LfbuildError):
        index = ReleaseIndex.parse(data, where="x")
        assert sum(part.size_bytes for part in index.parts) == index.file.size_bytes
        known = known_leaves(index, [])
        if not missing_leaves(index, known, where="x"):
            complete(index, known, where="x")
