"""Whatever a TOML file says, it is a recipe or a list of sentences; never a traceback."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lfbuild.recipe import argument_verbs, default_arguments, recipe_digest
from lfbuild.recipe.load import _check
from lfbuild.recipe.locate import key_text

KEYS = st.sampled_from(
    [
        *(
            "llamafile",
            "engine",
            "toolchain",
            "targets",
            "model",
            "file",
            "args",
            "archive",
            "update",
            "name",
            "version",
        ),
        *(
            "output",
            "source",
            "options",
            "kind",
            "launcher",
            "systems",
            "cpus",
            "gpus",
            "head",
            "icon",
            "sign",
            "macos",
            "windows",
            "role",
            "sha256",
            "license",
        ),
        *("external", "mode", "verb", "common", "cli", "serve", "bench", "arguments", "align", "engine-room", "url"),
        *("block-size", "path", "pypi", "hf", "zip", "parts", "git", "member", "folder", "revision", "x"),
    ]
)
SCALARS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.floats(),
    st.dates(),
    st.text(max_size=8),
    st.sampled_from(
        [
            *("a.gguf", "a-00001-of-00002.gguf", "a-00002-of-00002.gguf", "cli", "weights", "mmproj", "lora", "p==1"),
            *("o/m", "...", "-m", "/zip/a.gguf", "25%", "65536", "https://x.test/a.gguf", "x86-64-v3", "cosmocc"),
            *("64 KiB", "a" * 64),
        ]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
PATHS = st.fixed_dictionaries({"path": st.sampled_from(["a.gguf", "b.gguf", "a-00001-of-00002.gguf", "x@y", ""])})
ARGUMENTS = st.lists(
    st.sampled_from(["-m", "/zip/a.gguf", "...", "--lora", "x", "-c 1", "serve", "--mmproj"]), max_size=4
)


def table(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A table that is mostly right, now and then with something else in a place or a key too many."""
    optional = {name.replace("_", "-"): st.one_of(value, value, value, VALUES) for name, value in keys.items()}
    return st.builds(lambda right, wrong: right | wrong, st.fixed_dictionaries({}, optional=optional), FEW)


FEW = st.one_of(st.just({}), st.just({}), st.dictionaries(KEYS, VALUES, max_size=1))
MODEL = table(
    name=st.sampled_from(["a.gguf", "A.gguf", "c.gguf"]),
    role=st.sampled_from(["weights", "mmproj", "lora", "draft"]),
    source=PATHS,
    external=st.booleans(),
)
DOCUMENTS = st.builds(
    lambda head, rest: head | rest,
    st.just({"llamafile": {"name": "x"}, "engine": {"source": {"pypi": "p==1"}}}),
    table(
        model=st.lists(MODEL, max_size=3),
        file=st.lists(table(name=st.sampled_from(["a.gguf", "d", "d/e"]), source=PATHS), max_size=3),
        args=table(
            verb=st.sampled_from(["cli", "serve", "bench"]),
            common=ARGUMENTS,
            cli=st.fixed_dictionaries({"arguments": ARGUMENTS}),
            bench=st.fixed_dictionaries({"arguments": ARGUMENTS}),
        ),
        archive=table(align=st.sampled_from([65536, "1 MiB"]), engine_room=st.just("10 %")),
    ),
)


@settings(max_examples=500, deadline=None)
@given(st.one_of(DOCUMENTS, st.dictionaries(KEYS, VALUES)))
def test_any_document_is_a_recipe_or_a_list_of_sentences(document: dict[str, Any]) -> None:
    recipe, faults = _check(document)

    assert recipe is not None or faults
    for key, what in faults:
        assert what
        assert "\n" not in what
        assert key_text(key) or key == ()
        assert "pydantic" not in what
        assert "kind of source" not in what + key_text(key)
    if recipe is not None and not faults:
        names = [piece.name for model in recipe.models for piece in model.pieces] + [file.name for file in recipe.files]
        assert len({name.casefold() for name in names if name}) == len(names)
        for verb in argument_verbs(recipe):
            tokens = default_arguments(recipe, verb)
            assert tokens.count("...") == 1
            assert all(token.removeprefix("/zip/") in names for token in tokens if token.startswith("/zip/"))
        assert len(recipe_digest(recipe)) == 64
