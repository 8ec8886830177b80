"""One file, or two where Windows would not start the one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.plan.world import COSMOCC, plan_of, supplies, targeting
from tests.world.slices import tiny_launcher

from lfbuild.archive.source import BytesSource
from lfbuild.engine.job import EngineFacts, ToolchainFacts
from lfbuild.errors import RecipeError
from lfbuild.formats.head import HEAD_BYTES

if TYPE_CHECKING:
    from lfbuild.manifest.order import LauncherHead

BIG = supplies(size=5 << 30)
FACTS = EngineFacts(
    name="llama.cpp",
    version="1.0",
    source_sha256="5" * 64,
    stubs_sha256="4" * 64,
    toolchain=ToolchainFacts(kind="zig", version="0.17.1", sha256=""),
    target="linux-x86_64",
    cpus=("x86-64-v3",),
    options=(),
    ui=False,
    key="6" * 64,
)


def shapes(folder: Path, targets: str, *, output: str = "chat.llamafile") -> list[tuple[str, str, tuple[str, ...]]]:
    plan = plan_of(targeting(folder, targets), BIG, output=output)
    return [(str(file.output), file.head, file.targets) for file in plan.files]


def test_a_big_file_without_windows_is_one_file(tmp_path: Path) -> None:
    assert shapes(tmp_path, 'systems = ["linux-x86_64"]\n') == [("chat.llamafile", "elf", ("linux-x86_64",))]


def test_over_4_gib_windows_gets_a_thin_program_that_names_the_file_with_the_weights(tmp_path: Path) -> None:
    plan = plan_of(targeting(tmp_path, 'systems = ["linux-x86_64", "linux-aarch64", "windows-x86_64"]\n'), BIG)
    weights, program = plan.files

    assert (weights.output, weights.head, weights.targets) == (
        Path("chat.llamafile"),
        "script",
        ("linux-x86_64", "linux-aarch64"),
    )
    assert (program.output, program.head, program.targets) == (Path("chat.exe"), "polyglot", ("windows-x86_64",))
    assert [(member.name, member.place, member.source) for member in program.members] == [
        (".lfbuild/file", "tail", BytesSource(b"chat.llamafile\n"))
    ]
    assert weights.content_bytes > 5 << 30
    assert [member.name for member in weights.members][:2] == ["tiny.gguf", "docs/prompt.txt"]
    assert plan.launcher_targets == ("linux-x86_64", "linux-aarch64", "windows-x86_64")
    two = "chat.llamafile with the weights, and chat.exe, which starts on Windows and needs chat.llamafile beside it"
    assert plan.notes == (f"the file would be over 4 GiB, which Windows does not start; so there are two: {two}",)


@pytest.mark.parametrize(
    ("output", "names"),
    [
        ("folder/chat.exe", ["folder/chat.llamafile", "folder/chat.exe"]),
        ("chat-1.5", ["chat-1.5", "chat-1.5.exe"]),
    ],
)
def test_the_two_are_named_alike(output: str, names: list[str], tmp_path: Path) -> None:
    made = shapes(tmp_path, 'systems = ["linux-x86_64", "windows-x86_64"]\n', output=output)

    assert [(name, head) for name, head, _ in made] == list(zip(names, ["elf", "polyglot"], strict=True))


def test_for_windows_alone_the_file_with_the_weights_is_started_by_nothing_and_says_so(tmp_path: Path) -> None:
    plan = plan_of(targeting(tmp_path, 'systems = ["windows-x86_64"]\n'), BIG)
    weights, program = plan.files

    assert (weights.head, weights.targets, program.targets) == ("note", (), ("windows-x86_64",))
    head = weights.note_bytes()
    assert len(head) == HEAD_BYTES
    (tmp_path / "it's weights").write_bytes(head)
    started = subprocess.run(["sh", tmp_path / "it's weights"], capture_output=True, text=True, check=False)
    assert (started.returncode, started.stdout, started.stderr) == (
        1,
        "",
        "chat.llamafile: holds the weights of chat.exe, which starts on Windows\n",
    )


def test_engines_count_before_they_are_compiled_and_so_does_their_room(tmp_path: Path) -> None:
    targets = 'systems = ["linux-x86_64", "windows-x86_64"]\n'
    engines = 2 * (32 << 20)
    room = engines * 3 // 2
    just_too_much = (4 << 30) - engines - room - HEAD_BYTES

    assert len(plan_of(targeting(tmp_path, targets), supplies(size=just_too_much)).files) == 2
    assert len(plan_of(targeting(tmp_path, targets), supplies(size=just_too_much - 5000)).files) == 1


def test_an_engine_by_itself_for_windows_over_4_gib_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        plan_of(targeting(tmp_path, 'systems = ["windows-x86_64"]\nhead = "engine"\n'), BIG)

    assert str(caught.value) == (
        f"{tmp_path}/chat.toml:10: targets.head: the file would be over 4 GiB, which Windows does not start; without "
        "this key two files are made"
    )


def test_engines_that_turn_out_too_large_for_windows_are_told_before_anything_is_written(tmp_path: Path) -> None:
    recipe = targeting(tmp_path, 'systems = ["windows-x86_64"]\n')
    plan = plan_of(recipe, supplies(size=(4 << 30) - (90 << 20)))
    (file,) = plan.files

    with pytest.raises(RecipeError) as caught:
        plan.order(file, large_launcher(), FACTS)

    assert str(caught.value) == "chat.llamafile: would be over 4 GiB with its engines, which Windows does not start"
    assert caught.value.hint == "give [archive] engine-room less, or keep the weights outside with external = true"


def large_launcher() -> LauncherHead:
    """A launcher with more bytes than engines were counted with."""
    small = tiny_launcher()
    return type(small)(program=small.program, data=bytes(91 << 20), slices=small.slices)


def test_the_room_takes_all_engines_anew_and_a_share_more(tmp_path: Path) -> None:
    plan = plan_of(targeting(tmp_path, 'systems = ["linux-x86_64", "windows-x86_64"]\n'))
    (file,) = plan.files
    head = tiny_launcher()

    order = plan.order(file, head, FACTS)

    assert order.room_bytes == sum(item.source.size_bytes for item in head.slices) * 3 // 2
    assert order.engine is not None
    assert (order.engine.targets, order.engine.key, order.engine.cpus) == (("linux-x86_64", "windows-x86_64"), "", ())


def test_an_engine_by_itself_is_recorded_with_its_key_and_levels(tmp_path: Path) -> None:
    plan = plan_of(targeting(tmp_path, 'systems = ["linux-x86_64"]\nhead = "engine"\n'))
    (file,) = plan.files
    (tmp_path / "engine").write_bytes(bytes(1000))

    order = plan.order(file, tmp_path / "engine", FACTS)

    assert (order.head, order.room_bytes) == (tmp_path / "engine", 500)
    assert order.engine is not None
    assert (order.engine.targets, order.engine.key, order.engine.cpus) == (("linux-x86_64",), "6" * 64, ("x86-64-v3",))


def test_a_file_of_cosmocc_over_4_gib_is_told_at_plan_time(tmp_path: Path) -> None:
    recipe = targeting(tmp_path, "", kind="cosmocc")

    assert plan_of(recipe, supplies(size=5 << 30, toolchain=COSMOCC)).notes == (
        "the file will be over 4 GiB, so Windows cannot start it; keep the weights outside with external = true",
    )
    assert plan_of(recipe, supplies(toolchain=COSMOCC)).notes == ()
