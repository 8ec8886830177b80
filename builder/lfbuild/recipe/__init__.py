"""The recipe: a TOML text that says what one file is made from, its lock file, and its JSON Schema."""

from lfbuild.recipe.arguments import argument_verbs, default_arguments
from lfbuild.recipe.load import load_recipe, parse_recipe
from lfbuild.recipe.lock import (
    LockedOrigin,
    LockFile,
    check_lock,
    load_lock,
    lock_path,
    make_lock,
    recipe_digest,
    sources_digest,
)
from lfbuild.recipe.model import Piece, Recipe
from lfbuild.recipe.narrow import narrowed, retooled, systems_of, uncommanded
from lfbuild.recipe.paths import files_at, named_paths
from lfbuild.recipe.places import (
    EngineGitSource,
    EnginePathSource,
    EnginePypiSource,
    EngineUrlSource,
    HfSource,
    PartsSource,
    PathSource,
    PypiSource,
    UrlSource,
    ZipSource,
)
from lfbuild.recipe.schema import recipe_schema, schema_text

__all__ = [
    "EngineGitSource",
    "EnginePathSource",
    "EnginePypiSource",
    "EngineUrlSource",
    "HfSource",
    "LockFile",
    "LockedOrigin",
    "PartsSource",
    "PathSource",
    "Piece",
    "PypiSource",
    "Recipe",
    "UrlSource",
    "ZipSource",
    "argument_verbs",
    "check_lock",
    "default_arguments",
    "files_at",
    "load_lock",
    "load_recipe",
    "lock_path",
    "make_lock",
    "named_paths",
    "narrowed",
    "parse_recipe",
    "recipe_digest",
    "recipe_schema",
    "retooled",
    "schema_text",
    "sources_digest",
    "systems_of",
    "uncommanded",
]
