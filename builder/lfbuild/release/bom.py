"""What a file is made of and under which licences: a CycloneDX bill of materials, with the model as a component."""

from __future__ import annotations

import datetime
import uuid
from typing import TYPE_CHECKING, Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion

import lfbuild

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cyclonedx.model.license import License

    from lfbuild.manifest.model import EngineRecord, MemberRecord
    from lfbuild.release.facts import FileFacts

BOM_SUFFIX: Final = ".cdx.json"
ENGINE_LICENSES: Final = "MIT AND Apache-2.0"
"""Of llama.cpp, and of lfbuild's own layer that is compiled into it."""
_NAMESPACE: Final = uuid.UUID("7d9a1d2e-5c1b-5f43-9d3a-6f1c0b7f2a11")


def bom_text(file: FileFacts) -> str:
    """The bill of one file: the same file has the same one, its serial number and time among it."""
    whole = _whole(file)
    parts = list(_parts(file))
    bom = Bom(
        serial_number=uuid.uuid5(_NAMESPACE, file.sha256),
        metadata=BomMetaData(
            component=whole,
            timestamp=datetime.datetime.fromtimestamp(file.manifest.epoch, tz=datetime.UTC),
            tools=ToolRepository(components=[_component("lfbuild", ComponentType.APPLICATION, lfbuild.__version__)]),
        ),
        components=parts,
    )
    inside = [part for part in parts if part.scope is not ComponentScope.EXCLUDED]
    bom.register_dependency(whole, inside)
    engine, tools = _named(parts, "engine"), _named(parts, "toolchain")
    if engine and tools:
        bom.register_dependency(engine[0], tools)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2) + "\n"


def _whole(file: FileFacts) -> Component:
    release = file.manifest.release
    return Component(
        bom_ref="file",
        type=ComponentType.APPLICATION,
        name=release.name,
        version=release.version,
        description=release.description or None,
        licenses=_licenses(release.license),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file.sha256)],
        properties=_properties({"file": file.name, "size": str(file.size_bytes), "manifest": file.manifest_digest}),
    )


def _parts(file: FileFacts) -> Iterator[Component]:
    if file.engine:
        yield _engine(file.engine, file)
        toolchain = file.engine.toolchain
        compiler = _component(toolchain.kind, ComponentType.APPLICATION, toolchain.version)
        compiler.bom_ref.value, compiler.scope = "toolchain", ComponentScope.EXCLUDED  # it made it, and is not in it
        yield compiler
    for member in file.models:
        yield _model(member)
    for member in file.manifest.members:
        if member.role == "file":
            yield _member(member, ComponentType.FILE)


def _engine(engine: EngineRecord, file: FileFacts) -> Component:
    component = _component(engine.name, ComponentType.APPLICATION, engine.version)
    component.bom_ref.value = "engine"
    component.licenses = set(_licenses(ENGINE_LICENSES))
    levels = {f"cpus {target}": " ".join(levels) for target, levels in file.cpus.items()}
    properties = {"source sha256": engine.source_sha256, "targets": " ".join(engine.targets)} | levels
    component.properties = set(_properties(properties))
    return component


def _model(member: MemberRecord) -> Component:
    component = _member(member, ComponentType.MACHINE_LEARNING_MODEL)
    if member.model:
        facts = {
            "architecture": member.model.architecture,
            "name": member.model.name,
            "parameters": str(member.model.parameters or ""),
            "quantization": member.model.quantization,
            "context length": str(member.model.context_length or ""),
        }
        component.properties = {*component.properties, *_properties(facts)}
    return component


def _member(member: MemberRecord, kind: ComponentType) -> Component:
    origin = member.origin
    component = _component(member.name, kind, "")
    component.bom_ref.value = f"member:{member.name}"
    component.licenses = set(_licenses(member.license))
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=origin.sha256)] if origin and origin.sha256 else []
    component.hashes = set(hashes)
    told = {"role": member.role, "size": str(member.size_bytes), "root": member.root}
    told |= {"origin": f"{origin.kind} {origin.location}"} if origin else {}
    component.properties = set(_properties(told))
    return component


def _component(name: str, kind: ComponentType, version: str) -> Component:
    return Component(name=name, type=kind, version=version or None)


def _licenses(text: str) -> list[License]:
    return [LicenseFactory().make_from_string(text)] if text else []


def _properties(values: dict[str, str]) -> list[Property]:
    return [Property(name=f"lfbuild:{name}", value=value) for name, value in values.items() if value]


def _named(parts: Iterable[Component], reference: str) -> list[Component]:
    return [part for part in parts if part.bom_ref.value == reference]
