"""From the words of a swap to what changes in a file: engines that fit, models, files, arguments, names.

Everything that the words say is looked up and read here, and what the user should know is noted; where the bytes go is
decided elsewhere.
"""

from __future__ import annotations

import difflib
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lfbuild.archive.source import BytesSource, FileSource, read_source
from lfbuild.commands.models import load_header
from lfbuild.commands.new_engine import engine_inside
from lfbuild.commands.texts import refuse_odd_name
from lfbuild.errors import Problem, RecipeError, command
from lfbuild.fetch.network import without_secrets
from lfbuild.formats.args import (
    ARGS_NAME,
    AS_THEY_STAND,
    EVERYDAY_VERBS,
    USERS_OWN,
    VERB_ARGS_FOLDER,
    args_to_bytes,
    is_plain,
    parse_args,
    verb_member,
    verb_of,
)
from lfbuild.formats.flags import absent, asked_for, flags_of, migrate_args, model_arguments, naming
from lfbuild.formats.gguf import cut_gguf
from lfbuild.formats.model import model_facts
from lfbuild.manifest.edit import Changes
from lfbuild.manifest.model import OWN_FOLDER, Origin
from lfbuild.manifest.order import EngineHead, LauncherHead, PackMember
from lfbuild.recipe.model import VERBS

if TYPE_CHECKING:
    from lfbuild.commands.new_engine import NewEngine
    from lfbuild.commands.swap_words import SwapWords
    from lfbuild.manifest.model import Release
    from lfbuild.manifest.order import PackOrder


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """The changes, each in words, and what the user should know."""

    changes: Changes
    told: tuple[tuple[str, str], ...]
    """The member (`head`, or empty) and what happens to it."""
    notes: tuple[str, ...]


def read_changes(words: SwapWords, order: PackOrder, engine: NewEngine | None, *, where: str) -> Wanted:
    """Everything that is to change in the file that `order` describes.

    Raises:
        RecipeError: the words do not fit the file.
        FormatError: a model is none.
    """
    gathering = _Gathering(order, where)
    if engine is not None:
        gathering.engine(engine)
    for name, path in words.models:
        gathering.model(name, path)
    for name, path in words.files:
        gathering.file(name, path)
    for name in words.remove:
        gathering.removal(name)
    judge = engine or _engine_inside(order)
    for verb, text in words.args:
        gathering.arguments(verb, text, judge)
    if judge is not None:
        gathering.migration(judge, is_new=engine is not None)
    gathering.absent_members()
    gathering.release(words)
    return gathering.result()


def _engine_inside(order: PackOrder) -> NewEngine | None:
    """The engine that the file has; None if another file starts it."""
    if order.engine is None or isinstance(order.head, Path):
        return None
    return engine_inside(order.head, order.engine, of="the file")


class _Gathering:
    """Collects changes; later ones see the earlier ones."""

    def __init__(self, order: PackOrder, where: str) -> None:
        self._order, self._where = order, where
        self._members = {member.name: member for member in order.members}
        self._changes = Changes()
        self._put: dict[str, PackMember] = {}
        self._told: list[tuple[str, str]] = []
        self._notes: list[str] = []
        self._removed: list[str] = []
        self._given: list[str] = []
        """Arguments that the user sets."""
        self._others: list[str] = []
        """Models of which another one takes the place, in words."""

    def engine(self, engine: NewEngine) -> None:
        """The engine as slices of the launcher that the file has, or as another head."""
        self._notes += engine.notes
        present = self._order.head
        if isinstance(present, LauncherHead) and engine.slices:
            self._slices(present, engine)
        elif isinstance(present, LauncherHead) and isinstance(engine.head, EngineHead):
            self._head(engine)
            self._notes.append("the file begins with its engine from now on, no longer with launchers")
        elif engine.head is not None:
            self._head(engine)
        else:
            raise self._refused("--engine", f"{engine.told} cannot begin a file by itself")

    def model(self, name: str, path: Path) -> None:
        """A model in the place of the one of that name, or of the only one."""
        old = self._model_to_replace(name)
        new = name or self._name_of_model(path)
        if new != old.name and new in self._members:
            hint = f"replace that one by --file {new}=PATH, or give {path.name} another name"
            raise self._refused("--model", f"the file has a {new} beside {old.name}, which would be lost", hint=hint)
        self._put[new] = self._members[new] = self._model_member(new, path, old)
        if old.name != new:
            self._removed.append(old.name)
            del self._members[old.name]
            self._rename(old.name, new)
        self._told.append((new, f"model {old.name} becomes {path}"))

    def file(self, name: str, path: Path) -> None:
        """A file, new or in the place of the one of that name."""
        self._refuse_own(name, key="--file")
        old = self._members.get(name)
        if name.lower().endswith(".gguf"):
            member = self._model_member(name, path, old)
        else:
            source = FileSource.whole(path)
            mode = 0o755 if path.stat().st_mode & 0o111 else 0o644
            place = old.place if old else "body"
            member = PackMember(name=name, role="file", place=place, source=source, mode=mode)
        self._put[name] = self._members[name] = member
        self._told.append((name, f"file {name} becomes {path}" if old else f"file {name} is added from {path}"))

    def removal(self, name: str) -> None:
        """A member less; what the arguments say of it is told."""
        self._refuse_own(name, key="--remove")
        if name not in self._members:
            raise self._refused("--remove", f"the file has no member {name}", hint=command("list", self._where))
        self._removed.append(name)
        del self._members[name]
        self._put.pop(name, None)
        self._told.append(("", f"{name} is removed"))
        for member, tokens in self._argument_tokens():
            for at in naming(tokens, name):
                self._notes.append(f"{member} still names {tokens[at]}, which is no longer there")

    def arguments(self, verb: str, text: str, judge: NewEngine | None) -> None:
        """The arguments of a verb; models that they do not name are those that were named before."""
        default = self._default_verb()
        if verb and judge is not None and not judge.has_verb(verb):
            close = difflib.get_close_matches(verb, filter(judge.has_verb, VERBS), n=1)
            meant = f", did you mean '{close[0]}'?" if close else ""
            hint = f"every engine of lfbuild's has {', '.join(EVERYDAY_VERBS)}"
            what = f"{judge.told} has no verb {verb} that takes default arguments{meant}"
            raise self._refused("--args", what, hint=hint)
        member = ARGS_NAME if verb in {"", default} else verb_member(verb)
        whose = f"arguments of {verb or default}" if verb or default else "arguments"
        if member in self._given:
            raise self._refused("--args", f"the {whose} are given more than once", hint="all of them are one text")
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise self._refused("--args", f"'{text}' has a quote that is never closed") from error
        if default and verb_of(words):
            what = f"'{text}' begins with {words[0]!r}, and no verb takes that: its arguments begin with a flag"
            raise self._refused("--args", what, hint=f"a verb stands before an equals sign: --args {words[0]}='…'")
        tokens = [*self._models_of(member, words), *words]
        tokens = tokens if USERS_OWN in tokens else [*tokens, USERS_OWN]
        self._put_args(member, args_to_bytes([default, *tokens] if default and member == ARGS_NAME else tokens))
        self._given.append(member)
        self._told.append((member, f"{whose}: {' '.join(tokens)}"))

    def migration(self, engine: NewEngine, *, is_new: bool) -> None:
        """Arguments as the engine understands them: all of them under a new one, else those that are given."""
        stored = [name for name, member in self._members.items() if member.role == "args"]
        names = sorted(stored if is_new else set(self._given))
        if not names:
            return
        texts = {name: read_source(self._members[name].source) for name in names}
        asked = asked_for(flag for data in texts.values() for flag in flags_of(data))
        known = replace(engine.flags(asked), verbs=engine.record.has_verbs)
        models = [name for name in self._members if name.lower().endswith(".gguf")]
        for name, data in texts.items():
            migrated = migrate_args(data, known, members=models, member=name)
            self._notes += migrated.notes
            if migrated.told:
                self._put_args(name, migrated.data)
                self._told.append((name, migrated.told))
            if migrated.verb:
                self._everyday(migrated.verb)

    def absent_members(self) -> None:
        """What given arguments name and the file has not is told; of what is removed it was."""
        head = self._changes.head or self._order.head
        own = head.own_names if isinstance(head, EngineHead) else ()
        for member in dict.fromkeys(self._given):
            for named in absent(self._tokens(member), [*self._members, *own, *self._removed]):
                self._notes.append(f"{member} names {named}, which is not in the file")

    def release(self, words: SwapWords) -> None:
        """Name, version, description, licence and address of updates."""
        named = {
            "name": words.name,
            "version": words.version,
            "description": words.description,
            "license": words.license,
        }
        given = {key: value for key, value in named.items() if value is not None}
        if given:
            release: Release = msgspec.structs.replace(self._order.release, **given)
            self._changes = replace(self._changes, release=release)
            self._told += [("", f"{key} becomes {value}" if value else f"no {key}") for key, value in given.items()]
        self._tell_what_stays([key for key in ("description", "license") if key not in given])
        if words.update_url is not None:
            self._changes = replace(self._changes, update_url=words.update_url)
            shown = without_secrets(words.update_url)
            self._told.append(("", f"updates come from {shown}" if shown else "no updates"))

    def result(self) -> Wanted:
        """All of it."""
        removed = tuple(name for name in self._removed if name in {member.name for member in self._order.members})
        changes = replace(self._changes, put=tuple(self._put.values()), remove=removed)
        return Wanted(changes=changes, told=tuple(self._told), notes=tuple(dict.fromkeys(self._notes)))

    def _slices(self, present: LauncherHead, engine: NewEngine) -> None:
        here = [item.target for item in present.slices]
        fitting = tuple(item for item in engine.slices if item.target in here)
        if not fitting:
            has = ", ".join(item.target for item in engine.slices)
            raise self._refused("--engine", f"{engine.told} is for {has}, and the file is for {', '.join(here)}")
        present_digests = {item.program.digest for item in present.slices}
        if all(item.program.digest in present_digests for item in fitting):
            self._notes.append(f"the file has {engine.told} already, so its engine stays")
            return
        self._changes = replace(self._changes, slices=fitting, engine=engine.record)
        self._told += [(item.member_name, f"engine for {item.target} becomes {engine.told}") for item in fitting]
        kept = [target for target in here if target not in {item.target for item in fitting}]
        left_out = [item.target for item in engine.slices if item.target not in here]
        if kept:
            self._notes.append(f"the engine for {', '.join(kept)} stays the old one: {engine.told} has none")
        if left_out:
            self._notes.append(f"the engine for {', '.join(left_out)} is left out: the file has no launcher for it")

    def _tell_what_stays(self, keys: list[str]) -> None:
        """What was said of a model that is no longer there."""
        said = [key for key in keys if getattr(self._order.release, key)]
        if said:
            tell = f"{' and '.join(said)} still {'tell' if len(said) > 1 else 'tells'} of"
            options = " and ".join(f"--{key}" for key in said)
            self._notes += [f"{tell} {other}: set what is so now with {options}" for other in self._others]

    def _head(self, engine: NewEngine) -> None:
        self._changes = replace(self._changes, head=engine.head, engine=engine.record)
        self._told.append(("head", f"engine becomes {engine.told}"))

    def _model_to_replace(self, name: str) -> PackMember:
        models = [member for member in self._members.values() if member.name.lower().endswith(".gguf")]
        if name:
            found = [member for member in models if member.name == name]
            if not found:
                raise self._refused("--model", f"there is no model {name} in the file", hint="--file adds one")
            return found[0]
        weights = [member for member in models if member.role == "weights"]
        if len(weights) != 1:
            names = ", ".join(member.name for member in weights) or "none"
            what = f"the file has {len(weights)} models ({names})"
            raise self._refused("--model", what, hint="say which one is replaced: --model NAME=PATH")
        return weights[0]

    def _name_of_model(self, path: Path) -> str:
        """Engines and other readers find weights by the end of their names, which a blob of a store does not have."""
        if path.name.lower().endswith(".gguf"):
            return path.name
        name = f"{path.name}.gguf"
        self._notes.append(f"{path.name} is called {name} in the file: weights are found by that ending")
        return name

    def _rename(self, old: str, new: str) -> None:
        """Arguments that name the old model name the new one."""
        for member, tokens in self._argument_tokens():
            named = naming(tokens, old)
            if not named:
                continue
            renamed = [token.removesuffix(old) + new if at in named else token for at, token in enumerate(tokens)]
            if is_plain(read_source(self._members[member].source), tokens):
                self._put_args(member, args_to_bytes(renamed))
            else:
                self._notes.append(f"{member} is written by hand and still names {tokens[named[0]]}")

    def _argument_tokens(self) -> list[tuple[str, list[str]]]:
        return [(member.name, self._tokens(member.name)) for member in self._members.values() if member.role == "args"]

    def _tokens(self, member: str) -> list[str]:
        return parse_args(read_source(self._members[member].source), environment=AS_THEY_STAND, where=member)

    def _default_verb(self) -> str:
        """The one that `.args` names, else that of a recipe which names none; empty for engines without verbs."""
        present = verb_of(self._tokens(ARGS_NAME)) if ARGS_NAME in self._members else ""
        engine = self._order.engine
        return present or ("cli" if engine is not None and engine.has_verbs else "")

    def _models_of(self, member: str, words: list[str]) -> list[str]:
        """The flags that name models in the arguments as they are, and are not given anew.

        An everyday verb that has no arguments yet takes the models of the default one.
        """
        verb = "" if member == ARGS_NAME else member.rpartition("/")[2]
        old = member if member in self._members or verb not in EVERYDAY_VERBS else ARGS_NAME
        tokens = self._tokens(old) if old in self._members else []
        named = model_arguments(tokens, self._members, verb=verb)
        return [token for pair in named if pair[0] not in words for token in pair]

    def _everyday(self, default: str) -> None:
        """The models of the arguments, which are those of a verb from now on, for the other verbs that need them."""
        for verb in EVERYDAY_VERBS:
            member = verb_member(verb)
            if verb == default or member in self._members:
                continue
            named = [f"/zip/{token}" if token in self._members else token for token in self._models_of(member, [])]
            if named:
                self._put_args(member, args_to_bytes([*named, USERS_OWN]))
                self._told.append((member, f"arguments of {verb}: {' '.join(named)} {USERS_OWN}"))

    def _model_member(self, name: str, path: Path, old: PackMember | None) -> PackMember:
        member = _model_member(name, path, old, where=self._where)
        before, now = _model_words(old) if old else "", _model_words(member)
        if old and old.role == "weights" and before != now:
            self._others.append(f"{before}, and {now} takes its place")
        return member

    def _put_args(self, name: str, data: bytes) -> None:
        member = PackMember(name=name, role="args", place="tail", source=BytesSource(data))
        self._put[name] = self._members[name] = member

    def _refuse_own(self, name: str, *, key: str) -> None:
        if name == ARGS_NAME or name.startswith(VERB_ARGS_FOLDER):
            raise self._refused(key, f"{name} is made by lfbuild itself", hint="--args changes arguments")
        if name.startswith(OWN_FOLDER):
            raise self._refused(key, f"{name} is made by lfbuild itself, and follows what is in the file")

    def _refused(self, key: str, what: str, *, hint: str = "") -> RecipeError:
        return RecipeError(self._where, [Problem(where=self._where, key=key, what=what)], hint=hint)


def _model_member(name: str, path: Path, old: PackMember | None, *, where: str) -> PackMember:
    refuse_odd_name(path, place="a manifest")
    header = load_header(path, where=f"{where}: {path}")
    facts = model_facts(header)
    return PackMember(
        name=name,
        role=old.role if old and old.role in {"weights", "mmproj", "lora", "draft"} else "weights",
        place="aligned",
        source=FileSource(path=path, size_bytes=header.size_bytes),
        cuts=cut_gguf(header),
        license=facts.license,
        origin=Origin(kind="path", location=path.name),
        facts=facts,
    )


def _model_words(member: PackMember) -> str:
    """What a model says that it is."""
    facts = member.facts or (member.told.model if member.told else None)
    return f"{facts.name or member.name} ({facts.architecture})" if facts else member.name
