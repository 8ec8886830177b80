"""What the documents of a release tell of one file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lfbuild.manifest.model import EngineRecord, Manifest, MemberRecord

MODEL_ROLES = ("weights", "mmproj", "lora", "draft")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """One file of a release, as it was read."""

    name: str
    size_bytes: int
    sha256: str
    manifest_digest: str
    """BLAKE3 of its manifest, as its seal has it."""
    manifest: Manifest
    arguments: tuple[str, ...] = ()
    """The default verb and its arguments."""
    verb_arguments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Those of other verbs."""

    @property
    def version(self) -> str:
        """Of the release."""
        return self.manifest.release.version

    @property
    def engine(self) -> EngineRecord | None:
        """What starts in it; None where another file starts it."""
        return self.manifest.engine

    @property
    def models(self) -> tuple[MemberRecord, ...]:
        """The models in it, in order."""
        return tuple(member for member in self.manifest.members if member.role in MODEL_ROLES)

    @property
    def cpus(self) -> dict[str, tuple[str, ...]]:
        """The CPU levels of each target, best first."""
        engine = self.engine
        if engine is None:
            return {}
        if engine.slices:
            return {item.target: item.cpus for item in engine.slices}
        return dict.fromkeys(engine.targets, engine.cpus)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseFacts:
    """A whole release."""

    files: tuple[FileFacts, ...]

    @property
    def title(self) -> str:
        """Its name and version, for people."""
        names = dict.fromkeys(f"{file.manifest.release.name} {file.version}" for file in self.files)
        return ", ".join(names)

    def file(self, name: str) -> FileFacts | None:
        """The file of that name."""
        return next((file for file in self.files if file.name == name), None)
