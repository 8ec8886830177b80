"""Ninja's own words are enough to tell how far a build is and what broke it."""

from __future__ import annotations

from lfbuild.engine.ninja import Failure, Progress, file_of, read_failure


class Heard:
    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def advance(self, amount: int, /, *, detail: str = "") -> None:
        self.events.append((amount, detail))

    def expect(self, total: int, /) -> None:
        self.events.append(("of", total))


def test_progress_follows_the_counts_and_names_the_file() -> None:
    step = Heard()
    progress = Progress(step)

    progress("ninja: Entering directory `build'")
    progress("[1/224] Building CXX object src/CMakeFiles/llama.dir/llama-mmap.cpp.o")
    progress("warning: [2/3] is no count here")
    progress("[4/225] Linking CXX executable bin/llama")

    assert step.events == [("of", 224), (1, "llama-mmap.cpp"), ("of", 225), (3, "llama")]


def test_a_step_without_a_file_is_called_by_its_last_word() -> None:
    assert file_of("Provisioning UI assets") == "assets"
    assert file_of("Building C object ggml/src/CMakeFiles/ggml-base.dir/ggml.c.o") == "ggml.c"


def test_the_first_failed_command_is_shown_with_its_own_output() -> None:
    lines = [
        "[11/12] Building C object a.c.o",
        "FAILED: [code=1] CMakeFiles/x.dir/b.cpp.o /also/b.d ",
        "/store/bin/c++ -O3 -c b.cpp",
        "b.cpp:1:1: error: unknown type name 'strang'",
        "",
        "1 error generated.",
        "[12/12] Building C object c.c.o",
        "ninja: build stopped: subcommand failed.",
    ]

    assert read_failure(lines) == Failure(
        output="CMakeFiles/x.dir/b.cpp.o",
        command="/store/bin/c++ -O3 -c b.cpp",
        lines=("b.cpp:1:1: error: unknown type name 'strang'", "1 error generated."),
    )


def test_a_build_that_ends_in_the_middle_of_a_failure_is_still_read() -> None:
    assert read_failure(["FAILED: x"]) == Failure(output="x", command="", lines=())


def test_no_failed_command_is_no_failure() -> None:
    assert read_failure(["ninja: error: loading 'build.ninja': No such file or directory"]) is None
