"""What the tables of a recipe have to agree on: names, hashes, versions, arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lfbuild.recipe import PathSource, UrlSource, argument_verbs, default_arguments
from lfbuild.recipe.rules import is_later_piece

if TYPE_CHECKING:
    from tests.recipe.conftest import Loads, Problems

    from lfbuild.recipe.model import Verb

A, B, C = "a" * 64, "b" * 64, "c" * 64


def model(name: str, more: str = "") -> str:
    return f'[[model]]\nsource = {{ path = "{name}" }}\n{more}\n'


def test_a_model_is_called_as_at_its_source(loads: Loads) -> None:
    recipe = loads(
        """
[[model]]
source = { path = "folder/a.gguf" }
[[model]]
source = { url = "https://x.test/dir/b%2Bc.gguf?download=true" }
role = "mmproj"
[[model]]
source = { hf = "o/m", file = "gguf/c.gguf" }
role = "draft"
[[model]]
source = { zip = { path = "x.zip" }, member = "in/d.gguf" }
role = "lora"
"""
    )

    assert [model.file_name for model in recipe.models] == ["a.gguf", "b+c.gguf", "c.gguf", "d.gguf"]


def test_a_name_at_the_source_that_cannot_be_a_member_asks_for_another(problems: Problems) -> None:
    assert problems(model("a@b.gguf")) == [
        (
            "recipe.toml:6: model[0].name: 'a@b.gguf' cannot name the member: it must not contain '@', which "
            "parts a file "
            "from a member on the command line; give a name"
        )
    ]


def test_joined_parts_need_a_name(problems: Problems) -> None:
    assert problems('[[model]]\nsource = { parts = [{ path = "a.part0" }] }\n') == [
        "recipe.toml:6: model[0].name: is required beside parts, as nothing else names the joined file"
    ]


def test_a_model_without_source_is_external_or_wrong(problems: Problems, loads: Loads) -> None:
    assert problems('[[model]]\nname = "a.gguf"\n') == [
        "recipe.toml:6: model[0].source: is required, unless external = true"
    ]
    assert problems("[[model]]\nexternal = true\n") == [
        "recipe.toml:6: model[0].name: is required for an external model: it is the path that the arguments point at"
    ]
    assert problems('[[model]]\nexternal = true\nname = "-x"\n') == [
        "recipe.toml:8: model[0].name: must not start with '-', which would make it a flag"
    ]
    recipe = loads('[[model]]\nname = "../models/a.bin"\nexternal = true\n')
    assert (recipe.models[0].argument, recipe.models[0].pieces) == ("../models/a.bin", ())


def test_names_that_meet_on_a_disk_are_refused(problems: Problems) -> None:
    text = "".join(
        f'[[file]]\nname = "{name}"\nsource = {{ path = "x" }}\n' for name in ("a.gguf", "A.gguf", "d/e", "d", "d/e/f")
    )

    assert problems(model("a.gguf") + text) == [
        "recipe.toml:10: file[0].name: 'a.gguf' is the name of another member",
        "recipe.toml:13: file[1].name: 'A.gguf' differs from 'a.gguf' by case only",
        "recipe.toml:19: file[3].name: 'd' is the folder of 'd/e'",
        "recipe.toml:22: file[4].name: 'd/e/f' would lie in 'd/e', which is a file",
    ]


def test_an_engine_from_a_path_or_url_has_to_be_given_a_version(problems: Problems, loads: Loads) -> None:
    head = '[llamafile]\nname = "a"\n[engine]\nsource = { path = "llama.cpp" }\n'

    assert problems("", head=head) == [
        "recipe.toml:3: engine.version: is required beside a path or url, as nothing else names the engine's version"
    ]
    assert loads('version = "b9"\n', head=head).engine_version == "b9"
    git = '[llamafile]\nname = "a"\n[engine]\nsource = { git = "https://x.test/r", revision = "b9000" }\n'
    assert loads("", head=git).engine_version == "b9000"


def test_two_hashes_of_one_file_have_to_be_the_same(problems: Problems) -> None:
    text = f'[[model]]\nsource = {{ path = "a.gguf", sha256 = "{A}" }}\nsha256 = "{B}"\n'

    assert problems(text) == [
        (
            "recipe.toml:7: model[0].source.sha256: differs from the sha256 beside the source, though both are "
            "of the same "
            "file"
        )
    ]


def test_the_hash_of_a_wheel_may_differ_from_that_of_its_member(loads: Loads) -> None:
    loads(f'[[model]]\nsource = {{ pypi = "p==1", member = "a.gguf", sha256 = "{A}" }}\nsha256 = "{B}"\n')


def test_problems_of_agreement_are_told_beside_problems_of_single_values(problems: Problems) -> None:
    assert problems(model("a.gguf") + model("a.gguf", 'role = "lora"') + "[archive]\nalign = 1\n") == [
        "recipe.toml:9: model[1].name: 'a.gguf' is the name of another member",
        (
            "recipe.toml:13: archive.align: must be at least 65536, not 1: Windows, and Linux with large pages, "
            "map a file "
            "only at multiples of that"
        ),
    ]


def test_a_split_model_is_taken_as_one_with_all_its_files(loads: Loads) -> None:
    recipe = loads(
        f"""
[[model]]
source = {{ path = "m/big-00001-of-00003.gguf", sha256 = "{A}" }}
sha256 = ["{A}", "{B}", "{C}"]
[[model]]
role = "draft"
source = {{ url = "https://x.test/d/x%20y-00001-of-00002.gguf?x=1" }}
"""
    )

    names = [f"big-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert [piece.name for piece in recipe.models[0].pieces] == names
    assert [piece.sha256 for piece in recipe.models[0].pieces] == [A, B, C]
    assert [piece.source for piece in recipe.models[0].pieces] == [
        PathSource(path="m/big-00001-of-00003.gguf", sha256=A),
        PathSource(path="m/big-00002-of-00003.gguf"),
        PathSource(path="m/big-00003-of-00003.gguf"),
    ]
    assert recipe.models[1].pieces[1].source == UrlSource(url="https://x.test/d/x%20y-00002-of-00002.gguf?x=1")
    assert recipe.models[0].argument == "/zip/big-00001-of-00003.gguf"


def test_siblings_in_wheels_repositories_and_zips_are_found_by_name(loads: Loads) -> None:
    name = "a-00001-of-00002.gguf"
    recipe = loads(
        f"""
[[model]]
source = {{ pypi = "p==1", member = "p/{name}" }}
[[model]]
role = "draft"
source = {{ hf = "o/m", file = "q/b{name}" }}
[[model]]
role = "lora"
source = {{ zip = {{ path = "x.zip" }}, member = "c{name}" }}
"""
    )

    assert [model.pieces[1].source.identity for model in recipe.models] == [
        "pypi p==1 member p/a-00002-of-00002.gguf",
        "hf o/m@main q/ba-00002-of-00002.gguf",
        "zip path x.zip member ca-00002-of-00002.gguf",
    ]


def test_what_is_wrong_with_a_split_model_is_told(problems: Problems) -> None:
    assert problems(model("big-00002-of-00003.gguf")) == [
        (
            "recipe.toml:7: model[0].source: 'big-00002-of-00003.gguf' is not the first file of a split model; name "
            "the first "
            "one"
        )
    ]
    assert problems(model("big-00001-of-00003.gguf", f'name = "big.gguf"\nsha256 = "{A}"')) == [
        "recipe.toml:8: model[0].name: must be left out: the files of a split model keep their names",
        "recipe.toml:9: model[0].sha256: must be 3 hashes, one for each file; this has 1",
    ]
    assert problems(model("big.gguf", f'sha256 = ["{A}", "{B}"]')) == [
        "recipe.toml:8: model[0].sha256: must be one hash, as the model is one file; this has 2"
    ]
    assert problems(
        model("b-00001-of-00002.gguf") + '[[file]]\nname = "b-00002-of-00002.gguf"\nsource.path = "x"\n'
    ) == ["recipe.toml:10: file[0].name: 'b-00002-of-00002.gguf' is the name of another member"]


@pytest.mark.parametrize(
    ("name", "later"),
    [
        ("a-00002-of-00003.gguf", True),
        ("a-00000-of-00003.gguf", True),
        ("a-00001-of-00003.gguf", False),
        ("a-2-of-3.gguf", False),
        ("one-of-many.gguf", False),
        ("a-00002-of-00003.bin", False),
    ],
)
def test_only_the_published_pattern_means_a_later_file(name: str, later: bool) -> None:
    assert is_later_piece(name) is later


# Arguments


def test_one_model_is_named_by_itself_for_the_everyday_verbs(loads: Loads) -> None:
    recipe = loads(model("a.gguf") + '[args]\ncommon = ["--temp", "0"]\n[args.serve]\narguments = ["--port", "9000"]\n')

    assert argument_verbs(recipe) == ("cli", "serve", "completion", "bench")
    assert {verb: default_arguments(recipe, verb) for verb in argument_verbs(recipe)} == {
        "cli": ("-m", "/zip/a.gguf", "--temp", "0", "..."),
        "serve": ("-m", "/zip/a.gguf", "--temp", "0", "--port", "9000", "..."),
        "completion": ("-m", "/zip/a.gguf", "--temp", "0", "..."),
        "bench": ("-m", "/zip/a.gguf", "..."),
    }


def test_the_user_s_own_arguments_go_where_the_dots_are(loads: Loads) -> None:
    recipe = loads(model("a.gguf") + '[args]\nverb = "completion"\ncommon = ["-c", "512", "...", "--no-warmup"]\n')

    assert argument_verbs(recipe)[0] == "completion"
    assert default_arguments(recipe, "completion") == ("-m", "/zip/a.gguf", "-c", "512", "...", "--no-warmup")


def test_each_role_has_its_flag_and_adapters_add_up(loads: Loads) -> None:
    recipe = loads(
        model("w.gguf")
        + model("p.gguf", 'role = "mmproj"')
        + model("d.gguf", 'role = "draft"')
        + model("l1.gguf", 'role = "lora"')
        + model("l2.gguf", 'role = "lora"')
    )

    assert default_arguments(recipe, "cli") == (
        *("-m", "/zip/w.gguf", "--mmproj", "/zip/p.gguf"),
        *("--lora", "/zip/l1.gguf", "--lora", "/zip/l2.gguf", "-md", "/zip/d.gguf", "..."),
    )
    assert default_arguments(recipe, "bench") == ("-m", "/zip/w.gguf", "...")


def test_a_model_that_the_arguments_name_is_not_named_twice(loads: Loads) -> None:
    recipe = loads(model("a.gguf") + '[args]\ncommon = ["--model", "/zip/a.gguf"]\n')

    assert default_arguments(recipe, "cli") == ("--model", "/zip/a.gguf", "...")


@pytest.mark.parametrize("verb", ["cli", "serve"])
def test_without_a_model_the_arguments_are_the_recipe_s_alone(loads: Loads, verb: Verb) -> None:
    recipe = loads('[args]\ncommon = ["-m", "model.gguf"]\n')

    assert argument_verbs(recipe) == ("cli",)
    assert default_arguments(recipe, verb) == ("-m", "model.gguf", "...")


def test_an_external_model_is_pointed_at_where_it_will_lie(loads: Loads) -> None:
    recipe = loads('[[model]]\nname = "models/big.gguf"\nexternal = true\n')

    assert default_arguments(recipe, "cli") == ("-m", "models/big.gguf", "...")


def test_with_several_models_of_a_role_the_arguments_say_which(problems: Problems, loads: Loads) -> None:
    two = model("a.gguf") + model("b.gguf")

    assert problems(two + "[args.serve]\narguments = ['--port', '1']\n") == [
        "recipe.toml:12: args: 2 models have the role 'weights'; name one for 'cli', as in \"-m\", \"/zip/a.gguf\"",
        (
            "recipe.toml:13: args.serve.arguments: 2 models have the role 'weights'; name one for 'serve', as "
            'in "-m", '
            '"/zip/a.gguf"'
        ),
    ]
    recipe = loads(two + '[args]\ncommon = ["-m", "/zip/b.gguf"]\n')
    assert argument_verbs(recipe) == ("cli",)


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ('common = ["...", "..."]', '[args.common]: "..." may stand only once'),
        ('common = ["-c 4096"]', '[args.common[0]]: \'-c 4096\' is one argument; write "-c", "4096"'),
        ('common = ["serve"]', "[args.common[0]]: 'serve' is a verb; arguments begin after it"),
        ('common = ["-f", "/zip/x.txt"]', "[args.common[1]]: no [[model]] or [[file]] is called 'x.txt'"),
        (
            'common = ["-m", "b.gguf"]',
            "[args]: 'b.gguf' is named, while 'a.gguf' is packed; name /zip/a.gguf, or drop one of them",
        ),
        ('common = ["--mmproj"]', "[args]: '--mmproj' needs a value after it"),
        ('common = ["a\\u0000b"]', "[args.common[0]]: must not contain a NUL"),
        (
            'common = ["..."]\ncli.arguments = ["..."]',
            '[args.cli.arguments]: "..." stands in the common arguments already',
        ),
        ("common = [1]", "[args.common[0]]: must be a text, not 1"),
    ],
)
def test_wrong_arguments_are_told(problems: Problems, args: str, problem: str) -> None:
    (told,) = problems(model("a.gguf") + f"[args]\n{args}\n")

    _, key, what = told.split(": ", 2)
    assert f"[{key}]: {what}" == problem


def test_a_prompt_with_spaces_or_a_leading_dash_is_no_mistake(loads: Loads) -> None:
    loads(model("a.gguf") + '[args]\ncommon = ["-p", "Write a poem", "--grammar", "root ::= \\"a\\" | b"]\n')


def test_arguments_are_not_held_against_models_that_are_wrong_themselves(problems: Problems) -> None:
    assert problems('[[model]]\nsource = 1\n[args]\ncommon = ["-m", "/zip/a.gguf"]\n') == [
        (
            "recipe.toml:7: model[0].source: must be a table with exactly one of the keys path, url, pypi, hf, zip, "
            "parts, not "
            "1"
        )
    ]


def test_what_cosmocc_cannot_do_is_told_at_once(problems: Problems) -> None:
    text = """\
[targets]
systems = ["linux-x86_64"]
cpus = { linux-x86_64 = ["x86-64-v3"] }
head = "elf"
[sign]
windows = "sign {file}"
macos = "sign {file}"
"""
    head = """\
[llamafile]
name = "chat"
icon = "chat.ico"
[engine]
source = { pypi = "llama-cpp-python==0.3.36" }
"""
    assert problems(text, head=head) == [
        "recipe.toml:3: llamafile.icon: must be left out: only what zig makes for Windows can have an icon",
        (
            "recipe.toml:7: targets.systems: must be left out: cosmocc makes one file for all of its systems, and only "
            "zig makes single ones"
        ),
        (
            "recipe.toml:8: targets.cpus: must be a list: cosmocc has one target for all systems, and only zig has "
            "several"
        ),
        "recipe.toml:9: targets.head: must be left out: what cosmocc makes is the head itself",
        "recipe.toml:12: sign.macos: must be left out: cosmocc makes no program for macOS alone that could be signed",
    ]
