"""The default arguments of each verb: the models' own flags, then what the recipe says.

A recipe need not repeat where its model is: one model of a role is named by itself, unless the arguments name one.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from lfbuild.formats.args import EVERYDAY_VERBS
from lfbuild.recipe.model import USERS_OWN, VERBS, ArgsTable, ModelTable, Role, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lfbuild.recipe.locate import KeyPath
    from lfbuild.recipe.model import Recipe

ROLE_FLAGS: dict[Role, tuple[str, ...]] = {
    "weights": ("-m", "--model"),
    "mmproj": ("--mmproj", "-mm"),
    "lora": ("--lora", "--lora-scaled"),
    "draft": ("-md", "--model-draft", "--spec-draft-model"),
}
_FLAG_AND_VALUE = re.compile(r"(--?[A-Za-z][A-Za-z0-9-]*) +(\S.*)")

Fault = tuple["KeyPath", str]


def argument_verbs(recipe: Recipe) -> tuple[Verb, ...]:
    """The verbs that the file has default arguments for, the one it starts with first."""
    named = _written_verbs(recipe.args)
    everyday: tuple[Verb, ...] = EVERYDAY_VERBS if len(recipe.models_of("weights")) == 1 else ()
    return tuple(dict.fromkeys((*named, *everyday)))


def default_arguments(recipe: Recipe, verb: Verb) -> tuple[str, ...]:
    """All arguments after the verb, with "..." where the user's own go."""
    own = _own_arguments(recipe.args, verb)
    tokens = (*_model_arguments(recipe.models, verb, own), *own)
    return tokens if USERS_OWN in tokens else (*tokens, USERS_OWN)


def argument_faults(args: ArgsTable, models: Sequence[ModelTable], members: frozenset[str]) -> Iterator[Fault]:
    """What is wrong with the arguments by themselves, and with the models that they name."""
    lists: list[tuple[KeyPath, tuple[str, ...]]] = [(("args", "common"), args.common)]
    for verb in VERBS:
        table = args.table(verb)
        if table is not None:
            lists.append((("args", verb, "arguments"), table.arguments))
    for key, tokens in lists:
        yield from _list_faults(key, tokens, members)
    for verb in _written_verbs(args):
        yield from _verb_faults(args, verb, models)


def _written_verbs(args: ArgsTable) -> tuple[Verb, ...]:
    return (args.verb, *(verb for verb in VERBS if verb != args.verb and args.table(verb) is not None))


def _own_arguments(args: ArgsTable, verb: Verb) -> tuple[str, ...]:
    table = args.table(verb)
    common = () if verb == "bench" else args.common
    return (*common, *(table.arguments if table else ()))


def _model_arguments(models: Sequence[ModelTable], verb: Verb, own: tuple[str, ...]) -> Iterator[str]:
    roles: tuple[Role, ...] = ("weights",) if verb == "bench" else ("weights", "mmproj", "lora", "draft")
    for role in roles:
        of_role = [model for model in models if model.role == role]
        if any(flag in own for flag in ROLE_FLAGS[role]):
            continue
        for model in of_role if role == "lora" else of_role[:1]:
            yield from (ROLE_FLAGS[role][0], model.argument)


def _list_faults(key: KeyPath, tokens: tuple[str, ...], members: frozenset[str]) -> Iterator[Fault]:
    if tokens.count(USERS_OWN) > 1:
        yield key, f'"{USERS_OWN}" may stand only once'
    if tokens and tokens[0] in VERBS:
        yield (*key, 0), f"'{tokens[0]}' is a verb; arguments begin after it"
    for index, token in enumerate(tokens):
        both = _FLAG_AND_VALUE.fullmatch(token)
        if both:
            yield (*key, index), f'\'{token}\' is one argument; write "{both[1]}", "{both[2]}"'
        if token.startswith("/zip/") and token.removeprefix("/zip/") not in members:
            yield (*key, index), f"no [[model]] or [[file]] is called '{token.removeprefix('/zip/')}'"


def _verb_faults(args: ArgsTable, verb: Verb, models: Sequence[ModelTable]) -> Iterator[Fault]:
    own = _own_arguments(args, verb)
    table = args.table(verb)
    key: KeyPath = ("args", verb, "arguments") if table and table.arguments else ("args",)
    if own.count(USERS_OWN) > 1 and table and table.arguments.count(USERS_OWN) == 1 == args.common.count(USERS_OWN):
        yield key, f'"{USERS_OWN}" stands in the common arguments already'
    for role in ROLE_FLAGS:
        yield from _role_faults(key, verb, own, role, [model for model in models if model.role == role])


def _role_faults(
    key: KeyPath, verb: Verb, own: tuple[str, ...], role: Role, models: Sequence[ModelTable]
) -> Iterator[Fault]:
    """Whether it is clear which model of one role a verb takes."""
    flags = ROLE_FLAGS[role]
    named = [value for flag, value in itertools.pairwise(own) if flag in flags]
    outside = [value for value in named if not value.startswith("/zip/")]
    packed = [model for model in models if not model.external]
    if own and own[-1] in flags:
        yield key, f"'{own[-1]}' needs a value after it"
    elif role == "lora" or (verb == "bench" and role != "weights"):
        return  # adapters add up, and `bench` takes weights alone
    elif not named and len(models) > 1:
        what = f"{len(models)} models have the role '{role}'"
        yield key, f'{what}; name one for \'{verb}\', as in "{flags[0]}", "{models[0].argument}"'
    elif packed and outside:
        what = f"'{outside[0]}' is named, while '{packed[0].file_name}' is packed"
        yield key, f"{what}; name {packed[0].argument}, or drop one of them"
