"""How a file came to be: an in-toto statement with a SLSA provenance predicate, version 1.

It says the recipe, the sources and the toolchain by digest, and what was chosen of the recipe; all of it stands in the
file too, which is what `lfbuild reproduce` builds from. Times are left out: they would be the only thing that differs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import lfbuild

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lfbuild.release.facts import FileFacts

PROVENANCE_SUFFIX: Final = ".intoto.json"
BUILD_TYPE: Final = "urn:lfbuild:build:1"
"""`lfbuild build RECIPE` with the parameters below; docs/release.md says what each means."""
LOCAL_BUILDER: Final = "urn:lfbuild:builder:local"


def provenance_text(file: FileFacts, *, builder: str = LOCAL_BUILDER) -> str:
    """The statement about one file; `builder` is the URI of who vouches for it, such as a CI's workflow."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": file.name, "digest": {"sha256": file.sha256}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _parameters(file),
                "internalParameters": {"engineKeys": _keys(file)},
                "resolvedDependencies": list(_dependencies(file)),
            },
            "runDetails": {"builder": {"id": builder, "version": {"lfbuild": lfbuild.__version__}}},
        },
    }
    return json.dumps(statement, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _parameters(file: FileFacts) -> dict[str, Any]:
    return {
        "recipe": {"sha256": file.manifest.recipe_sha256},
        "targets": list(file.engine.targets) if file.engine else [],
        "toolchain": file.engine.toolchain.kind if file.engine else "",
        "epoch": file.manifest.epoch,
    }


def _keys(file: FileFacts) -> dict[str, str]:
    engine = file.engine
    if engine is None:
        return {}
    keys = {item.target: item.key for item in engine.slices}
    return keys or dict.fromkeys(engine.targets, engine.key)


def _dependencies(file: FileFacts) -> Iterator[dict[str, Any]]:
    engine = file.engine
    if engine:
        yield {"name": f"{engine.name} {engine.version}", "digest": {"sha256": engine.source_sha256}}
        toolchain: dict[str, Any] = {"name": f"{engine.toolchain.kind} {engine.toolchain.version}"}
        if engine.toolchain.sha256:
            toolchain["digest"] = {"sha256": engine.toolchain.sha256}
        yield toolchain
    for member in file.manifest.members:
        if member.origin and member.origin.sha256:
            origin = member.origin
            annotations = {"kind": origin.kind, "location": origin.location}
            yield {"name": member.name, "digest": {"sha256": origin.sha256}, "annotations": annotations}
