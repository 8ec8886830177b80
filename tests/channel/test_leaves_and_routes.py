"""Only the leaves of what changed are asked for, and every byte of a release has one place where it comes from."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tests.world.releases import CHANGED, TENSORS, model, write_new, write_old
from tests.world.zips import Stored, write_zip

from lfbuild.channel.describe import describe_release, run_digest
from lfbuild.channel.index import DeltaRecord, FileRecord, Region, ReleaseIndex
from lfbuild.channel.inplace import plan_in_place
from lfbuild.channel.leaves import complete, known_leaves, leaves_at_hand, missing_leaves
from lfbuild.channel.plan import Plan, Seed
from lfbuild.channel.release import address_beside, index_address
from lfbuild.channel.route import Supplies, find_routes, find_supplies
from lfbuild.errors import FormatError, IntegrityError, TrustError
from lfbuild.fetch.ranges import Line, Span
from lfbuild.formats.blocks import BlockIndex, Cuts, Run
from lfbuild.manifest.filemap import Blocks, FileMap, Zeros
from lfbuild.manifest.mapping import map_file
from lfbuild.manifest.matching import Stretch

if TYPE_CHECKING:
    from pathlib import Path

LINE = Line(round_trip_s=0.05, bytes_per_s=1e6)


def mapped(path: Path) -> FileMap:
    return map_file(path, threads=1)


def described(found: FileMap, deltas: tuple[DeltaRecord, ...] = ()) -> ReleaseIndex:
    return describe_release(found, name="t", url="t", manifest=None, deltas=deltas).index


@pytest.fixture
def old(tmp_path: Path) -> FileMap:
    return mapped(write_old(tmp_path / "old"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_new(tmp_path / "new")


@pytest.fixture
def new(path: Path) -> FileMap:
    return mapped(path)


def test_leaves_stand_in_the_release_itself_where_its_index_members_are(path: Path, new: FileMap) -> None:
    index = described(new)

    asked = missing_leaves(index, known_leaves(index, []), where="x")

    data = path.read_bytes()
    assert index.leaves is None
    assert asked
    assert all(leaves.are(data[leaves.span.offset : leaves.span.end]) for leaves in asked)


def test_only_the_leaves_of_changed_runs_are_asked_for(old: FileMap, new: FileMap) -> None:
    index = described(new)

    asked = missing_leaves(index, known_leaves(index, [old]), where="x")

    changed = [run for region in new.regions for run in region.index.cuts.runs if run.label == CHANGED]
    assert [leaves.span.size_bytes for leaves in asked] == [32 * run.blocks for run in changed]


def test_a_foreign_file_has_its_leaves_in_a_second_one(tmp_path: Path) -> None:
    path = tmp_path / "foreign.bin"
    with path.open("wb") as file:
        file.write(b"no program")
        file.truncate(70 << 20)
    found = mapped(path)

    made = describe_release(found, name="foreign.bin", url="foreign.bin", manifest=None)

    asked = missing_leaves(made.index, known_leaves(made.index, []), where="x")
    assert made.index.leaves == FileRecord(url="foreign.bin.lfleaves", size_bytes=len(made.leaves))
    assert all(leaves.are(made.leaves[leaves.span.offset : leaves.span.end]) for leaves in asked)
    fetched = {leaves.digest: made.leaves[leaves.span.offset : leaves.span.end] for leaves in asked}
    assert complete(made.index, known_leaves(made.index, []) | fetched, where="x") == found


def test_the_leaves_of_a_small_foreign_file_stand_in_its_control_file(tmp_path: Path) -> None:
    found = mapped(write_zip(tmp_path / "z", Stored("m.gguf", model(changed=True)), Stored("b", b"x" * 3_000_000)))

    made = describe_release(found, name="z", url="z", manifest=None)

    assert (made.leaves, missing_leaves(made.index, known_leaves(made.index, []), where="x")) == (b"", ())
    assert complete(made.index, known_leaves(made.index, []), where="x").root == found.root


def test_leaves_outside_of_their_file_are_refused(new: FileMap) -> None:
    index = described(new)
    index = replace(index, file=FileRecord(url="t", size_bytes=100))

    with pytest.raises(FormatError) as caught:
        missing_leaves(index, known_leaves(index, []), where="x.lfindex")

    assert str(caught.value) == "x.lfindex: tells of leaves outside of the file that has them"


LEAVES = bytes(range(64))


def release_of(*runs: tuple[int, bytes]) -> ReleaseIndex:
    """A release of regions of one run each, of so many blocks with this digest, whose leaves stand at one place."""
    cuts = [Run(size_bytes=10 * blocks, block_bytes=10) for blocks, _ in runs]
    return ReleaseIndex(
        file=FileRecord(url="t", size_bytes=1000),
        root="00" * 32,
        parts=tuple(
            Region(offset=0, name="", runs=(run,), digests=(digest,), leaves_at=100)
            for run, (_, digest) in zip(cuts, runs, strict=True)
        ),
    )


def test_two_runs_that_are_promised_other_leaves_at_one_place_are_refused() -> None:
    index = release_of((2, run_digest(LEAVES)), (2, bytes(32)))

    with pytest.raises(IntegrityError) as caught:
        missing_leaves(index, known_leaves(index, []), where="x.lfindex")

    what = "promises other leaves for two runs, and tells of the same place for both"
    assert str(caught.value) == f"x.lfindex: {what}"


def test_two_runs_that_are_the_same_may_have_their_leaves_at_one_place() -> None:
    index = release_of((2, run_digest(LEAVES)), (2, run_digest(LEAVES)))

    (asked,) = missing_leaves(index, known_leaves(index, []), where="x.lfindex")

    assert asked.span == Span(100, 64)


def test_a_run_whose_digest_is_a_block_s_too_is_refused() -> None:
    index = release_of((1, run_digest(LEAVES)), (2, run_digest(LEAVES)))

    with pytest.raises(IntegrityError) as caught:
        complete(index, known_leaves(index, []), where="x.lfindex")

    assert str(caught.value) == "x.lfindex: promises the same digest for runs of another number of blocks"


def test_a_file_of_leaves_at_hand_is_not_taken_for_the_run_that_has_them() -> None:
    index = release_of((2, run_digest(LEAVES)))
    block = Blocks(offset=0, name="", index=BlockIndex(cuts=Cuts.plain(64), leaves=run_digest(LEAVES)))

    assert leaves_at_hand(index, [FileMap(parts=(block,))]) == {}


def test_a_control_file_whose_parts_are_another_file_s_is_refused(old: FileMap, new: FileMap) -> None:
    index = replace(described(new), root="00" * 32)

    with pytest.raises(IntegrityError) as caught:
        complete(index, known_leaves(index, [old, new]), where="x.lfindex")

    assert str(caught.value) == "x.lfindex: its parts are not those of the file that it promises"


def test_every_byte_of_a_release_comes_from_somewhere_once(old: FileMap, new: FileMap) -> None:
    supplies = find_supplies([old], new)

    stretches = [(item.offset, item.size_bytes) for item in supplies.copies]
    stretches += [(block.span.offset, block.span.size_bytes) for block in supplies.wanted]
    stretches += [(at, block.span.size_bytes) for block in supplies.wanted for at in block.twins]
    stretches += [(glue.offset, glue.size_bytes) for glue in supplies.given]
    stretches += [(part.offset, part.size_bytes) for part in new.parts if isinstance(part, Zeros)]
    covered = {at for offset, size in stretches for at in range(offset, offset + size)}
    assert covered == set(range(new.size_bytes))


def test_a_block_index_is_made_of_its_leaves_and_not_fetched(old: FileMap, new: FileMap) -> None:
    (member,) = [part for part in new.regions if part.name == ".lfbuild/blocks/Tiny.Q4_0.gguf.blocks"]

    supplies = find_supplies([old], new)

    assert member.offset in {glue.offset for glue in supplies.given}
    assert not any(member.offset <= block.span.offset < member.offset + member.size_bytes for block in supplies.wanted)


def test_what_is_wanted_is_the_changed_tensor_and_the_tail(old: FileMap, new: FileMap) -> None:
    supplies = find_supplies([old], new)

    labels = {}
    for region in new.regions:
        at = region.offset
        for run in region.index.cuts.runs:
            labels |= dict.fromkeys(range(at, at + run.size_bytes), run.label or region.name)
            at += run.size_bytes
    assert {labels[block.span.offset] for block in supplies.wanted} == {
        CHANGED,
        "prompt.txt",
        ".lfbuild/manifest.json",
    }
    assert supplies.wanted_bytes < len(TENSORS[3].data) + 4000


def test_blocks_that_stand_twice_are_wanted_once(tmp_path: Path) -> None:
    twice = mapped(write_zip(tmp_path / "z", Stored("a", b"same" * 99), Stored("b", b"same" * 99)))

    supplies = find_supplies([], twice)

    (block,) = [block for block in supplies.wanted if block.twins]
    assert len(block.twins) == 1


def test_a_published_difference_is_taken_where_it_is_smaller(old: FileMap, new: FileMap) -> None:
    small = DeltaRecord(old=old.root.hex(), url="a.lfdelta", size_bytes=100, blake3="0" * 64)
    other = DeltaRecord(old="1" * 64, url="b.lfdelta", size_bytes=1, blake3="0" * 64)
    large = DeltaRecord(old=old.root.hex(), url="c.lfdelta", size_bytes=10**7, blake3="0" * 64)
    supplies = find_supplies([old], new)

    routes = find_routes(supplies, described(new, (small, other, large)), old_roots={old.root.hex()}, line=LINE)

    assert [(route.kind, route.delta) for route in routes] == [
        ("delta", small),
        ("ranges", None),
        ("whole", None),
        ("delta", large),
    ]


def test_where_everything_is_missing_in_many_places_the_whole_file_is_the_better_way(new: FileMap) -> None:
    supplies = find_supplies([], new)
    slow = Line(round_trip_s=60, bytes_per_s=1e9)

    routes = find_routes(supplies, described(new), old_roots=(), line=slow)

    assert routes[0].kind in ("ranges", "whole")
    assert {route.requests for route in routes} == {1}


def test_what_an_earlier_run_fetched_is_not_reckoned_again(old: FileMap, new: FileMap) -> None:
    supplies = find_supplies([old], new)

    routes = find_routes(
        supplies, described(new), old_roots=(), line=LINE, done={block.span.offset for block in supplies.wanted}
    )

    assert (routes[0].kind, routes[0].body_bytes, routes[0].requests, routes[0].seconds) == ("ranges", 0, 0, 0)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://a.test/chat.llamafile", "https://a.test/chat.llamafile.lfindex"),
        ("https://a.test/chat.llamafile.lfindex", "https://a.test/chat.llamafile.lfindex"),
        ("https://a.test/chat/", "https://a.test/chat/tiny.llamafile.lfindex"),
        ("https://a.test/chat.llamafile?key=1", "https://a.test/chat.llamafile.lfindex?key=1"),
        ("s3://bucket/a/", "s3://bucket/a/tiny.llamafile.lfindex"),
        ("../releases/chat.llamafile", "../releases/chat.llamafile.lfindex"),
        ("../why?/chat.llamafile", "../why?/chat.llamafile.lfindex"),
    ],
)
def test_an_address_means_the_control_file_that_belongs_to_it(url: str, address: str) -> None:
    assert index_address(url, "tiny.llamafile") == address


def test_a_name_is_written_as_in_an_address_where_it_is_put_into_one() -> None:
    assert index_address("https://a.test/x/", "a#b?c%41:d") == "https://a.test/x/a%23b%3Fc%2541%3Ad.lfindex"
    assert index_address("/srv/x/", "a#b?c%41:d") == "/srv/x/a#b?c%41:d.lfindex"


@pytest.mark.parametrize(
    ("url", "reference", "address"),
    [
        ("https://a.test/x/c.lfindex?key=1", "c.llamafile", "https://a.test/x/c.llamafile"),
        ("https://a.test/x/c.lfindex", "https://cdn.test/c", "https://cdn.test/c"),
        ("s3://bucket/x/c.lfindex", "c.llamafile", "s3://bucket/x/c.llamafile"),
        ("/srv/x/c.lfindex", "c.llamafile", "/srv/x/c.llamafile"),
        ("c.lfindex", "c.llamafile", "c.llamafile"),
        ("https://a.test/x/c.lfindex", "a%23b%3Fc%2541%3Ad", "https://a.test/x/a%23b%3Fc%2541%3Ad"),
        ("https://a.test/x/c.lfindex", "two words", "https://a.test/x/two words"),
        ("s3://bucket/x/c.lfindex", "a%23b", "s3://bucket/x/a%23b"),
        ("file:///srv/c.lfindex", "a%2541b", "file:///srv/a%2541b"),
        ("/srv/c.lfindex", "a%23b%3Fc%2541%3Ad", "/srv/a#b?c%41:d"),
        ("/srv/c.lfindex", "two words", "/srv/two words"),
        ("file:///srv/c.lfindex", "c.llamafile", "file:///srv/c.llamafile"),
        ("/srv/c.lfindex", "https://cdn.test/c", "https://cdn.test/c"),
    ],
)
def test_what_lies_beside_a_control_file_is_found(url: str, reference: str, address: str) -> None:
    assert address_beside(url, reference) == address


@pytest.mark.parametrize("url", ["https://a.test/c.lfindex", "/srv/c.lfindex"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(FormatError) as caught:
        address_beside(url, "http://[x")

    assert str(caught.value) == f"{url}: tells of 'http://[x', which is no address"


@pytest.mark.parametrize(
    ("url", "reference"),
    [("/srv/c.lfindex", "a%00b"), ("file:///srv/c.lfindex", "a%00b"), ("c.lfindex", "file:///%00")],
)
def test_a_name_that_no_file_can_have_is_refused(url: str, reference: str) -> None:
    with pytest.raises(FormatError) as caught:
        address_beside(url, reference)

    assert str(caught.value) == f"{url}: tells of '{reference}', which is no address"


def test_what_stands_beside_no_address_is_refused() -> None:
    with pytest.raises(FormatError) as caught:
        address_beside("https://a.test/c.lfindex", "//[x")

    assert str(caught.value) == "https://a.test/c.lfindex: tells of '//[x', which is no address"


@pytest.mark.parametrize(
    ("url", "reference", "sentence"),
    [
        (
            "https://a.test/c.lfindex",
            "file:///etc/passwd",
            "https://a.test/c.lfindex: leads to file:///etc/passwd, where a control file from https:// may not lead",
        ),
        (
            "https://a.test/c.lfindex",
            "http://a.test/c",
            "https://a.test/c.lfindex: leads to http://a.test/c, where a control file from https:// may not lead",
        ),
    ],
)
def test_a_control_file_leads_nowhere_that_its_own_address_does_not(url: str, reference: str, sentence: str) -> None:
    with pytest.raises(TrustError) as caught:
        address_beside(url, reference)

    assert str(caught.value) == sentence


def test_what_stays_in_its_place_is_told_from_what_moves_without_comparing_copies(
    path: Path, new: FileMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copied(offset: int, seed: int, seed_offset: int) -> Stretch:
        return Stretch(block=offset, blocks=1, offset=offset, size_bytes=1, seed=seed, seed_offset=seed_offset)

    stays = [copied(at, 1, at) for at in range(0, 90, 3)]
    moves = [*(copied(at, 1, at + 1) for at in range(1, 90, 3)), *(copied(at, 0, at) for at in range(2, 90, 3))]
    plan = Plan(
        release=SimpleNamespace(),  # type: ignore[arg-type]  # nobody looks at it
        target=new,
        seeds=(Seed(path=path.with_name("other"), found=new), Seed(path=path, found=new)),
        supplies=Supplies(copies=(*stays, *moves), given=(), wanted=()),
        routes=(),
        kept_bytes=0,
    )
    compared = list[Stretch]()
    monkeypatch.setattr(Stretch, "__eq__", lambda one, _: compared.append(one))

    in_place = plan_in_place(plan, path)

    assert not compared, "there are many thousands of them"
    assert in_place.standing == tuple(Span(stretch.offset, 1) for stretch in stays)
    assert [id(copy) for copy in in_place.plan.supplies.copies] == [id(copy) for copy in moves]
