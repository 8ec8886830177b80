"""`new`: a recipe for a model, with defaults that its metadata suggests and comments that say why.

Only the header of the model is read. What the recipe leaves out has the recipe's own defaults; hashes are for `lock`.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.commands.models import load_header
from lfbuild.commands.texts import refuse_odd_name
from lfbuild.errors import Problem, RecipeError
from lfbuild.formats.model import ModelFacts, model_facts
from lfbuild.host.files import replacing
from lfbuild.host.moving import write_all

if TYPE_CHECKING:
    from lfbuild.formats.gguf import GgufHeader

ENGINE_PIN = "llama-cpp-python==0.3.36"
"""The engine that new recipes are given: the one that the recipes of this release are tested with."""
ENGINE_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
ENGINE_FOLDER = "vendor/llama.cpp"

COMFORTABLE_CONTEXT = 8192
"""Tokens of context that fit beside a model on an ordinary machine; a trained length of 131072 would need many GB."""

_SPLIT = re.compile(r"(.+)-(\d{5})-of-(\d{5})", re.ASCII)
_NOT_IN_A_FILE_NAME = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|@]+')


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRecipe:
    """A recipe that was written, and what decided it."""

    path: Path
    name: str
    facts: ModelFacts
    verb: str
    toolchain: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Choices:
    """What a model's facts suggest."""

    name: str
    member: str
    """Another name for the model inside the file, where its own cannot stand there; else empty."""
    source: str
    verb: str
    verb_reason: str
    own: tuple[str, ...]
    """Arguments of that verb alone."""
    common: tuple[str, ...]
    common_reason: str


def new_recipe(model: Path, *, output: Path | None, toolchain: str) -> NewRecipe:
    """Write a recipe for `model` beside the caller, or to `output`; a file that is there is never replaced.

    Raises:
        RecipeError: there is a file of that name, or the model is one that goes beside another.
        FormatError: the model is not a GGUF, or is damaged.
        HostError: the model cannot be read, or the recipe cannot be written.
    """
    header = load_header(model, where=str(model))
    facts = model_facts(header)
    _refuse_what_is_no_first_part(model, facts)
    name = _release_name(model.name)
    path = output or Path(f"{name}.toml")
    if path.exists() or path.is_symlink():
        raise _refused(path, "is there already", hint="choose another name with -o, or remove it")
    choices = _choose(model, header, facts, name=name, beside=path.parent)
    # Beyond this point nothing is decided any more: the recipe is written down.
    with replacing(path) as recipe:
        write_all(recipe.fileno(), _recipe_text(choices, facts, path=path, toolchain=toolchain).encode(), 0)
    return NewRecipe(path=path, name=name, facts=facts, verb=choices.verb, toolchain=toolchain)


def _recipe_text(choices: _Choices, facts: ModelFacts, *, path: Path, toolchain: str) -> str:
    """The recipe as TOML."""
    own = f"\n[args.{choices.verb}]\narguments = {_list(choices.own)}\n" if choices.own else ""
    member = f"name = {_quoted(choices.member)}\n" if choices.member else ""
    licence = f"license = {_quoted(facts.license)}  # the model's; check what it asks of you\n" if facts.license else ""
    return f"""\
# {_comment(facts_words(facts))}
# Build it with: lfbuild {path.name}
# An editor completes and checks it after `lfbuild schema -o recipe.schema.json`, with this as the first line:
# #:schema ./recipe.schema.json

[llamafile]
name = {_quoted(choices.name)}  # the file is called so, with .llamafile at its end
version = "0.1.0"
description = {_quoted(_description(facts))}
{licence}
[engine]
# llama.cpp as this package carries it. Any other source of it will do: see url, git and path in the recipe reference.
source = {{ pypi = "{ENGINE_PIN}", folder = "{ENGINE_FOLDER}", sha256 = "{ENGINE_SHA256}" }}
# ui = true  # builds the chat page that `serve` shows in a browser; needs npm

[toolchain]
{_toolchain_lines(toolchain)}

[targets]
{_systems_lines(toolchain)}\
# Processors that it has code for; it takes the best it finds, and needs the lowest: these are of 2013 and 2018.
# "all" has older and newer ones too. `lfbuild doctor` tells the level of this machine.
cpus = ["x86-64-v3", "armv8.2-a+dotprod"]

[[model]]
{member}source = {{ path = {_quoted(choices.source)} }}

[args]
verb = "{choices.verb}"  # {choices.verb_reason}
# {choices.common_reason}
common = {_list(choices.common)}
{own}"""


def facts_words(facts: ModelFacts) -> str:
    """The facts in one line: `llama, 135 M parameters, Q4_1, trained on 8192 tokens, with a chat template`."""
    words = [
        facts.architecture,
        _parameters_words(facts.parameters),
        facts.quantization,
        f"trained on {facts.context_length} tokens" if facts.context_length else "",
        f"in {facts.split_count} files" if facts.split_count > 1 else "",
        "with a chat template" if facts.chat_template_sha256 else "without a chat template",
    ]
    return ", ".join(filter(None, words))


def _choose(model: Path, header: GgufHeader, facts: ModelFacts, *, name: str, beside: Path) -> _Choices:
    verb, verb_reason, own = _verb(header, facts)
    common, common_reason = _context(facts)
    is_a_member_name = model.name.lower().endswith(".gguf") and not _NOT_IN_A_FILE_NAME.search(model.name)
    return _Choices(
        name=name,
        member="" if is_a_member_name and not model.name.startswith(".") else f"{name}.gguf",
        source=_source(model, beside=beside),
        verb=verb,
        verb_reason=verb_reason,
        own=own,
        common=common,
        common_reason=common_reason,
    )


def _verb(header: GgufHeader, facts: ModelFacts) -> tuple[str, str, tuple[str, ...]]:
    """What the file does when it is started without a verb, why, and the arguments that this verb needs."""
    if header.number(f"{facts.architecture}.pooling_type"):
        return "serve", "the model makes embeddings, which the server hands out", ("--embedding",)
    if facts.chat_template_sha256:
        return "cli", "a chat; `serve` and `completion` as the first word do something else", ()
    return "completion", "the model has no chat template, so it goes on with a text: give one with -p", ()


def _context(facts: ModelFacts) -> tuple[tuple[str, ...], str]:
    if facts.context_length > COMFORTABLE_CONTEXT:
        reason = f"The model was trained on {facts.context_length} tokens; a longer context needs more memory."
        return ("-c", str(COMFORTABLE_CONTEXT)), reason
    return (), 'Arguments of every verb, such as "--temp", "0.7"; what the user gives comes behind them and wins.'


def _source(model: Path, *, beside: Path) -> str:
    """The model's path as the recipe has it: relative, from the recipe's folder, if it was given so."""
    text = str(model) if model.is_absolute() else os.path.relpath(model, beside)
    refuse_odd_name(model, text, place="a recipe")
    return text


def _refuse_what_is_no_first_part(model: Path, facts: ModelFacts) -> None:
    if facts.kind != "model" or facts.architecture == "clip":
        role = {"adapter": "lora", "mmproj": "mmproj"}.get(facts.kind, "mmproj" if facts.architecture == "clip" else "")
        hint = f'write a recipe for its model, and add it there as a [[model]] with role = "{role}"' if role else ""
        raise _refused(model, f"is not a model by itself: its metadata says '{facts.kind}'", hint=hint)
    split = _SPLIT.fullmatch(model.name.removesuffix(".gguf"))
    if facts.split_count > 1 and split and int(split[2]) != 1:
        first = f"{split[1]}-00001-of-{split[3]}.gguf"
        raise _refused(model, f"is part {int(split[2])} of {int(split[3])}", hint=f"name the first part, {first}")


def _release_name(file_name: str) -> str:
    """A name for the file that is built: the model's, without its ending and its place in a split."""
    stem = file_name.removesuffix(".gguf")
    split = _SPLIT.fullmatch(stem)
    cleaned = _NOT_IN_A_FILE_NAME.sub("-", split[1] if split else stem).strip(" .-")
    return cleaned[:100].rstrip(" .-") or "model"


def _toolchain_lines(toolchain: str) -> str:
    if toolchain == "cosmocc":
        return 'kind = "cosmocc"  # one program for several systems and both architectures'
    return (
        "# zig makes an engine for each system below, and installs with pip.\n"
        '# "cosmocc" makes one for several systems and both architectures: lfbuild toolchain install cosmocc\n'
        'kind = "zig"'
    )


def _systems_lines(toolchain: str) -> str:
    if toolchain == "cosmocc":
        return ""  # it makes one file for all of its systems
    return (
        "# This machine's own Linux, which is compiled soonest. Without this line the file starts on Linux, Windows\n"
        "# and macOS, on x86-64 and ARM.\n"
        'systems = ["host"]\n'
    )


def _description(facts: ModelFacts) -> str:
    return ", ".join(
        filter(None, [facts.name or facts.architecture, _parameters_words(facts.parameters), facts.quantization])
    )


def _parameters_words(parameters: int) -> str:
    for size, unit in ((10**9, "B"), (10**6, "M")):
        if parameters >= size:
            number = parameters / size
            return f"{number:.0f} {unit} parameters" if number >= 99.5 else f"{number:.2g} {unit} parameters"
    return f"{parameters} parameters"


def _quoted(text: str) -> str:
    """`text` as a TOML string. JSON's escapes are TOML's too; only DEL, which JSON leaves, has to be one here."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(arguments: tuple[str, ...]) -> str:
    return f"[{', '.join(_quoted(argument) for argument in arguments)}]"


def _comment(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _refused(where: Path, what: str, *, hint: str) -> RecipeError:
    return RecipeError(where, [Problem(where=str(where), key="", what=what)], hint=hint)
