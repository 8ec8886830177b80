"""A recipe is understood whole, or refused with everything that is wrong in it: file, line, key and the way out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pydantic
import pytest

from lfbuild.errors import RecipeError
from lfbuild.recipe import EnginePypiSource, PypiSource, load_recipe
from lfbuild.recipe.values import Room

if TYPE_CHECKING:
    from tests.recipe.conftest import Loads, Problems, Write

A = "a" * 64
LEVEL = "a processor level such as x86-64-v3, x86-64-v3+avxvnni or armv8.2-a+dotprod"
KINDS = "must be a table with exactly one of the keys path, url, pypi, hf, zip"
MODEL = '[[model]]\nsource = { path = "model.gguf" }\n'


def test_a_recipe_of_five_lines_has_sensible_defaults(loads: Loads) -> None:
    recipe = loads()

    assert recipe.output_name == "chat.llamafile"
    assert isinstance(recipe.engine.source, EnginePypiSource)
    assert (recipe.engine.source.package, recipe.engine.source.version) == ("llama-cpp-python", "0.3.36")
    assert recipe.engine_version == "0.3.36"
    assert (recipe.toolchain.kind, recipe.targets.systems) == ("cosmocc", ())
    assert (recipe.targets.cpus, recipe.targets.head) == ((), "auto")
    assert (recipe.models, recipe.files, recipe.args.verb, recipe.update) == ((), (), "cli", None)
    assert (recipe.archive.align, recipe.archive.block_size) == (65536, 1048576)
    assert recipe.archive.engine_room.beside(1000, started=False) == 250
    assert recipe.archive.engine_room.beside(1000, started=True) == 1250


def test_every_table_is_read(loads: Loads) -> None:
    recipe = loads(
        f"""
version = "b9000"
ui = true
options = {{ GGML_LTO = true, GGML_AVX_VNNI = "ON", N = 3 }}
[toolchain]
kind = "zig"
version = "0.17.1"
launcher = "ccache"
[targets]
systems = ["linux-x86_64", "macos-aarch64", "host"]
cpus = ["x86-64-v4+avx512vnni"]
head = "script"
gpus = []
[[model]]
name = "chat.gguf"
role = "weights"
source = {{ pypi = "pkg == 1.0", kind = "wheel", member = "pkg/chat.gguf", sha256 = "{A}" }}
sha256 = "{A.upper()}"
license = "MIT"
[[file]]
name = "docs/prompt.txt"
source = {{ url = "https://x.test/prompt.txt" }}
sha256 = "{A}"
mode = "755"
[args]
verb = "serve"
common = ["--temp", "0"]
[args.batched-bench]
arguments = ["-npp", "128"]
[archive]
align = "2 MiB"
engine-room = "10 %"
block-size = "256KiB"
[update]
url = "https://x.test/chat/"
"""
    )

    assert recipe.engine_version == "b9000"
    assert recipe.engine.options == {"GGML_LTO": "ON", "GGML_AVX_VNNI": "ON", "N": "3"}
    assert (recipe.toolchain.version, recipe.toolchain.launcher) == ("0.17.1", "ccache")
    source = recipe.models[0].source
    assert isinstance(source, PypiSource)
    assert (source.pypi, source.kind, source.sha256, recipe.models[0].sha256) == ("pkg==1.0", "wheel", A, (A,))
    assert (recipe.files[0].name, recipe.files[0].mode) == ("docs/prompt.txt", "0755")
    assert recipe.args.batched_bench is not None
    assert recipe.args.batched_bench.arguments == ("-npp", "128")
    assert (recipe.archive.align, recipe.archive.engine_room) == (2 << 20, Room(percent=10))
    assert recipe.archive.block_size == 256 * 1024
    assert recipe.update is not None
    assert recipe.update.url == "https://x.test/chat/"


def test_nobody_changes_a_recipe(loads: Loads) -> None:
    with pytest.raises(pydantic.ValidationError):
        loads().llamafile.name = "other"  # type: ignore[misc]


def test_relative_paths_are_looked_up_from_the_recipe_s_folder(write: Write) -> None:
    write("")
    Path("deep").mkdir()
    Path("recipe.toml").rename("deep/recipe.toml")

    recipe = load_recipe(Path("deep/recipe.toml"))

    assert recipe.resolve("models/a.gguf") == Path("deep/models/a.gguf")
    assert recipe.resolve("/models/a.gguf") == Path("/models/a.gguf")


def test_later_problems_are_told_at_their_lines_too(loads: Loads) -> None:
    recipe = loads(MODEL)

    assert str(recipe.problem(("model", 0, "source", "path"), "is not a GGUF file")) == (
        "recipe.toml:7: model[0].source.path: is not a GGUF file"
    )


def test_all_problems_are_told_at_once_in_the_order_of_lines(problems: Problems) -> None:
    text = """\
[llamafile]
nmae = "x"
version = 3
[engine]
source = { pypi = "llama-cpp-python", folder = "../x" }
sorce = 1
[engine.options]
"A B" = 1
LFBUILD_STUBS = "x"
OK = [1]
[targets]
gpus = ["cuda"]
systems = ["linux-x86_64", "windows"]
cpus = ["x86-64-v3", "native"]
[[model]]
source = { pypi = "a==1", membr = "x" }
sha256 = "abc"
[[model]]
role = "weigths"
source = { path = "x.gguf", url = "http://x" }
[[model]]
[model.source]
parts = [
   { path = "a" },
   { pth = "b" },
]
[[file]]
name = "../x"
source = "text"
mode = "999"
[args]
verb = "chat"
commn = []
common = ["...", "-c 4096", "..."]
cli = ["x"]
[args.serv]
[archive]
allign = 5
align = 1000
block-size = "2 MB"
engine-room = "lots"
"""
    assert problems(text, head="") == [
        "recipe.toml:1: llamafile.name: is required",
        "recipe.toml:2: llamafile.nmae: unknown key, did you mean 'name'?",
        "recipe.toml:3: llamafile.version: must be a text, not 3",
        'recipe.toml:5: engine.source.pypi: must pin one version, as in "package==1.2.3"',
        "recipe.toml:5: engine.source.folder: must be a plain path inside the source, such as vendor/llama.cpp",
        "recipe.toml:6: engine.sorce: unknown key, did you mean 'source'?",
        "recipe.toml:8: engine.options.\"A B\": 'A B' is not a CMake variable's name",
        "recipe.toml:9: engine.options.LFBUILD_STUBS: 'LFBUILD_STUBS' is set by lfbuild",
        "recipe.toml:10: engine.options.OK: must be a text, a whole number, true or false",
        (
            "recipe.toml:12: targets.gpus: GPUs are not supported yet; what is built runs on the processor, so "
            "leave this "
            "key out"
        ),
        (
            "recipe.toml:13: targets.systems[1]: must be 'linux-x86_64', 'linux-aarch64', 'windows-x86_64', "
            "'macos-aarch64', 'macos-x86_64' or 'host', not 'windows'"
        ),
        (
            "recipe.toml:14: targets.cpus[1]: 'native' differs from machine to machine; name a level (`lfbuild doctor` "
            "tells this machine's)"
        ),
        "recipe.toml:16: model[0].source.member: is required",
        "recipe.toml:16: model[0].source.membr: unknown key, did you mean 'member'?",
        "recipe.toml:17: model[0].sha256: must be a sha256: 64 hexadecimal digits, not 3 characters",
        "recipe.toml:19: model[1].role: must be 'weights', 'mmproj', 'lora' or 'draft', not 'weigths'",
        f"recipe.toml:20: model[1].source: {KINDS}, parts, not both 'path' and 'url'",
        "recipe.toml:25: model[2].source.parts[1]: unknown key 'pth', did you mean 'path'?",
        "recipe.toml:28: file[0].name: must not contain '..'",
        f"recipe.toml:29: file[0].source: {KINDS}, parts, not 'text'",
        'recipe.toml:30: file[0].mode: must be a file mode such as "0644" or "0755"',
        (
            "recipe.toml:32: args.verb: must be 'cli', 'serve', 'completion', 'bench', 'batched-bench' or "
            "'perplexity', not "
            "'chat'"
        ),
        "recipe.toml:33: args.commn: unknown key, did you mean 'common'?",
        "recipe.toml:35: args.cli: must be a table, not a list",
        "recipe.toml:36: args.serv: unknown key, did you mean 'serve'?",
        "recipe.toml:38: archive.allign: unknown key, did you mean 'align'?",
        "recipe.toml:39: archive.align: must be a power of two, not 1000",
        "recipe.toml:40: archive.block-size: the unit 'MB' may mean two things; use B, KiB, MiB, GiB or TiB",
        'recipe.toml:41: archive.engine-room: must be a share of the engine such as "25 %", or a size such as "8 MiB"',
    ]


def test_an_unknown_table_is_told_with_the_one_that_was_meant(problems: Problems) -> None:
    assert problems('[toolchian]\nkind = "zig"\n[[models]]\n[zzz]\n') == [
        "recipe.toml:6: toolchian: unknown key, did you mean 'toolchain'?",
        "recipe.toml:8: models: unknown key, did you mean 'model'?",
        (
            "recipe.toml:9: zzz: unknown key; known are archive, args, engine, file, llamafile, model, sign, "
            "targets, toolchain, update"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("a = ", "recipe.toml:6: is not TOML: invalid value ("),
        ("[a\n", "recipe.toml:6: is not TOML: expected ']' at the end of a table declaration (column 3)"),
        ("[llamafile]\n", "recipe.toml:6: is not TOML: cannot declare ('llamafile',) twice ("),
        ('a = """x\n\n', "recipe.toml:7: is not TOML: unterminated string ("),
        ("a = 1\na = 2\n", "recipe.toml:7: is not TOML: cannot overwrite a value ("),
        ("a = " + "[" * 5000, "recipe.toml:1: is not TOML that can be read: tables or lists are nested too deep"),
    ],
)
def test_what_is_not_toml_is_told_with_its_line(problems: Problems, text: str, begins: str) -> None:
    (problem,) = problems(text)

    assert problem.startswith(begins)  # the rest is in the words of the Python at hand


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "recipe.toml: does not exist"),
        (b"a = '\xff'\n", "recipe.toml:1: is not UTF-8 text (byte 5 is 0xff)"),
        (b"GGUF" + bytes(1 << 20), "recipe.toml: is too big to be a recipe (over 1 MiB)"),
    ],
)
def test_a_file_that_is_no_text_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("recipe.toml").write_bytes(content)

    with pytest.raises(RecipeError) as caught:
        load_recipe(Path("recipe.toml"))

    assert str(caught.value) == sentence


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path)

    assert str(caught.value) == f"{tmp_path}: cannot be read (Is a directory)"


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(b'\xef\xbb\xbf[llamafile]\r\nname = "a"\r\n[engine]\r\nsource = { pypi = "p==1" }\r\n')

    assert load_recipe(path).llamafile.name == "a"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("align = 65536.0", 'must be a size: a whole number of bytes, or a text such as "64 KiB"'),
        ("align = true", 'must be a size: a whole number of bytes, or a text such as "64 KiB"'),
        ("align = -65536", 'must be a size: a whole number of bytes, or a text such as "64 KiB"'),
        ('align = "64 Kib"', 'must be a size: a whole number of bytes, or a text such as "64 KiB"'),
        (
            "align = 16384",
            (
                "must be at least 65536, not 16384: Windows, and Linux with large pages, map a file only at "
                "multiples of "
                "that"
            ),
        ),
        ('align = "128 MiB"', "must be at most 67108864 (64 MiB), not 134217728: the rest would be zeros"),
        ('block-size = "2 MiB"', "must be a power of two from 65536 (64 KiB) to 1048576 (1 MiB), not 2097152"),
        ("block-size = 65537", "must be a power of two from 65536 (64 KiB) to 1048576 (1 MiB), not 65537"),
        ('engine-room = "-5 %"', 'must be a share of the engine such as "25 %", or a size such as "8 MiB"'),
        ('engine-room = "5 GB"', "the unit 'GB' may mean two things; use B, KiB, MiB, GiB or TiB"),
    ],
)
def test_a_wrong_size_is_told(problems: Problems, line: str, what: str) -> None:
    assert problems(f"[archive]\n{line}\n") == [f"recipe.toml:7: archive.{line.partition(' ')[0]}: {what}"]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("a/b.gguf", "must not contain '/': weights stand at the top level, where every reader finds them"),
        ("a@b.gguf", "must not contain '@', which parts a file from a member on the command line"),
        ("a\\\\b.gguf", "must not contain a backslash"),
        ("a\\u0000.gguf", "must not contain a NUL"),
        ("a\\n.gguf", "must not contain control characters"),
        ("C:a.gguf", "must not contain a colon"),
        ("/a.gguf", "must not be absolute"),
        ("../a.gguf", "must not contain '..'"),
        (".a.gguf", "must not start with '.'"),
        ("a.bin", "must end in .gguf: that is how other readers of such files find weights"),
        (".gguf/", "must name a file"),
    ],
)
def test_weights_have_names_that_every_reader_finds(problems: Problems, name: str, what: str) -> None:
    text = f'[[model]]\nname = "{name}"\nsource = {{ path = "x.gguf" }}\n'

    assert problems(text) == [f"recipe.toml:7: model[0].name: {what}"]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (".args", "'.args' is for what lfbuild itself writes"),
        (".lfbuild/x", "'.lfbuild' is for what lfbuild itself writes"),
        ("a//b", "must be a plain path, without '.' or empty parts"),
        ("./a", "must be a plain path, without '.' or empty parts"),
        ("a/../b", "must not contain '..'"),
        ("/etc/passwd", "must not be absolute"),
        ("", "must name a file"),
        ("a/", "must name a file"),
        ("x" * 1025, "must be at most 1024 bytes long"),
    ],
)
def test_a_member_s_name_cannot_leave_the_folder_it_is_unpacked_to(problems: Problems, name: str, what: str) -> None:
    text = f'[[file]]\nname = "{name}"\nsource = {{ path = "x" }}\n'

    assert problems(text) == [f"recipe.toml:7: file[0].name: {what}"]


@pytest.mark.parametrize("name", ["", " a", ".hidden", "-rf", "a/b", "a:b", 'a\\"b', "x" * 201])
def test_the_release_s_name_has_to_be_a_file_name(problems: Problems, name: str) -> None:
    (problem,) = problems("", head=f'[llamafile]\nname = "{name}"\n[engine]\nsource = {{ pypi = "p==1" }}\n')

    assert problem.startswith("recipe.toml:2: llamafile.name: must ")


@pytest.mark.parametrize(
    ("cpus", "what"),
    [
        ('["x86-64-v3", "x86-64-v4", "x86-64-v3"]', ": 'x86-64-v3' is named more than once"),
        ("[]", ": must not be empty"),
        ("{}", ": must not be empty"),
        ('"x86-64-v3"', ': must be a list, such as ["x86-64-v3"], or "all"'),
        (
            "3",
            ': must be a list of processor levels or "all", or a table with one of these for each target, not 3',
        ),
        ("{ linux-x86_64 = 3 }", '.linux-x86_64: must be a list of processor levels or "all", not 3'),
        ('{ linux-x86_64 = "best" }', '.linux-x86_64: must be a list, such as ["best"], or "all"'),
        ('{ linux-x86_64 = ["x87"] }', f".linux-x86_64[0]: 'x87' is not {LEVEL}"),
        (
            '{ linux = ["x86-64-v3"] }',
            (
                ".linux: must be 'linux-x86_64', 'linux-aarch64', 'windows-x86_64', 'macos-aarch64' or "
                "'macos-x86_64', not 'linux'"
            ),
        ),
    ],
)
def test_processor_levels_are_a_list_a_table_or_a_word(problems: Problems, cpus: str, what: str) -> None:
    assert problems(f"[targets]\ncpus = {cpus}\n") == [f"recipe.toml:7: targets.cpus{what}"]


def test_each_target_has_the_levels_that_are_meant_for_it(loads: Loads) -> None:
    zig = '[toolchain]\nkind = "zig"\n[targets]\n'
    table = loads(f'{zig}cpus = {{ linux-x86_64 = ["x86-64-v2", "x86-64-v3"], macos-x86_64 = "all" }}\n').targets

    assert [table.cpus_for(name) for name in ("linux-x86_64", "macos-x86_64", "windows-x86_64")] == [
        ("x86-64-v2", "x86-64-v3"),
        (),
        (),
    ]
    assert loads(f'{zig}cpus = ["x86-64-v2"]\n').targets.cpus_for("macos-x86_64") == ("x86-64-v2",)
    assert loads(f'{zig}cpus = "all"\n').targets.cpus_for("macos-x86_64") == ()


@pytest.mark.parametrize(
    ("systems", "what"),
    [
        ("[]", "must not be empty"),
        ('["host", "host"]', "'host' is named more than once"),
        ('"host"', "must be a list, not 'host'"),
    ],
)
def test_systems_are_named_once_each(problems: Problems, systems: str, what: str) -> None:
    assert problems(f"[targets]\nsystems = {systems}\n") == [f"recipe.toml:7: targets.systems: {what}"]


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("sign.sh", 'must be a command with "{file}" where the name of the file goes, such as "sign.sh {file}"'),
        ("{file}", 'must be a command with "{file}" where the name of the file goes, such as "sign.sh {file}"'),
        ("sign '{file}", "is not a command: no closing quotation"),
    ],
)
def test_a_signing_command_names_the_file(problems: Problems, command: str, what: str) -> None:
    assert problems(f'[sign]\nwindows = "{command}"\n') == [f"recipe.toml:7: sign.windows: {what}"]


@pytest.mark.parametrize("url", ["https://x.test/chat/", "s3://bucket/chat", "oci://x.test/acme/chat:1/"])
def test_updates_come_from_whatever_update_reads(loads: Loads, url: str) -> None:
    recipe = loads(f'[update]\nurl = "{url}"\n')

    assert recipe.update is not None
    assert recipe.update.url == url


@pytest.mark.parametrize(
    "url", ["ftp://x.test/chat", "nonsense", "file:///srv/chat", "https://", "s3://a b", "https://[x"]
)
def test_an_address_that_no_other_machine_updates_from_is_refused(problems: Problems, url: str) -> None:
    what = "must be an http://, https://, s3:// or oci:// address"
    assert problems(f'[update]\nurl = "{url}"\n') == [f"recipe.toml:7: update.url: {what}"]


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ('{ url = "ftp://x/y.gguf" }', ".url: must be an http:// or https:// address"),
        ('{ url = "https://[x/y.gguf" }', ".url: must be an http:// or https:// address"),
        ('{ hf = "model", file = "x.gguf" }', '.hf: must be a repository such as "organisation/model"'),
        ('{ hf = "o/m", file = "x.gguf", revision = "a..b" }', ".revision: must be a commit, tag or branch"),
        ('{ pypi = "p>=1", member = "x.gguf" }', '.pypi: must pin one version, as in "package==1.2.3"'),
        ('{ pypi = "p==1.*", member = "x.gguf" }', '.pypi: must pin one version, as in "package==1.2.3"'),
        ('{ pypi = "p==1", member = "x.gguf", kind = "egg" }', ".kind: must be 'wheel' or 'sdist', not 'egg'"),
        (
            '{ zip = "x.zip", member = "x.gguf" }',
            ".zip: must be a table with exactly one of the keys path, url, hf, not 'x.zip'",
        ),
        ("{ parts = [] }", ".parts: must not be empty"),
        ('{ path = "" }', ".path: must not be empty"),
        ("{ }", f": {KINDS}, parts"),
    ],
)
def test_a_wrong_source_is_told(problems: Problems, source: str, what: str) -> None:
    assert problems(f'[[model]]\nname = "a.gguf"\nsource = {source}\n') == [f"recipe.toml:8: model[0].source{what}"]


def test_sources_inside_parts_and_zips_are_checked_too(problems: Problems) -> None:
    text = """\
[[model]]
name = "a.gguf"
source = { parts = [
  { zip = { path = "x.zip", sha256 = "1" }, member = "a" },
  { git = 1 },
] }
"""
    assert problems(text) == [
        "recipe.toml:9: model[0].source.parts[0].zip.sha256: must be a sha256: 64 hexadecimal digits, not 1 characters",
        f"recipe.toml:10: model[0].source.parts[1]: {KINDS}",
    ]


def test_git_addresses_that_would_run_a_program_are_refused(problems: Problems) -> None:
    head = '[llamafile]\nname = "a"\n[engine]\nsource = {{ git = "{}", revision = "main" }}\n'
    what = "recipe.toml:4: engine.source.git: must be an address that git can fetch from"

    assert problems("", head=head.format("ext::sh -c id")) == [what]
    assert problems("", head=head.format("--upload-pack=id")) == [what]
