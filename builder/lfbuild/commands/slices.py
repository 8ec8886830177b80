"""Makes engines fit to be packed: compresses each once, and keeps the result in the cache.

Compressing takes seconds an engine and gives the same bytes every time, so it is done once for an engine, whichever
files it goes into.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lfbuild.archive.deflate import ENCODER, LEVEL, deflate, encoder_version, inflates_to, look_at
from lfbuild.archive.source import BytesSource
from lfbuild.manifest.order import EngineSlice

if TYPE_CHECKING:
    from lfbuild.engine.job import EngineFacts
    from lfbuild.store import Store


def make_slice(program: bytes, facts: EngineFacts, *, store: Store) -> EngineSlice:
    """The engine as it goes into a file: deflated if that makes it smaller, else as it is.

    Raises:
        HostError: the cache cannot be written.
    """
    stored = _deflated(program, store)
    pays = len(stored) < len(program)
    return EngineSlice(
        target=facts.target,
        cpus=facts.cpus,
        key=facts.key,
        source=BytesSource(stored if pays else program),
        program=look_at([program]),
        encoder_version=encoder_version() if pays else "",
    )


def _deflated(program: bytes, store: Store) -> bytes:
    """From the cache, if what is there is true; else made and kept."""
    name = f"{ENCODER} {encoder_version()} level {LEVEL} of {hashlib.sha256(program).hexdigest()}"
    fact = store.recall(name) or {}
    kept = store.blob(fact["sha256"]) if isinstance(fact.get("sha256"), str) else None
    if kept is not None and inflates_to(stored := kept.read_bytes(), program):
        return stored
    stored = deflate(program)
    with store.adopting() as incoming:
        incoming.path.write_bytes(stored)
        sha256 = hashlib.sha256(stored).hexdigest()
        incoming.commit(sha256)
    store.remember(name, {"sha256": sha256})
    return stored
