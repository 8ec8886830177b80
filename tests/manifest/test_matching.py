"""Which blocks of a target stand where in other files."""

from __future__ import annotations

from blake3 import blake3

from lfbuild.formats.blocks import BlockIndex, Cuts
from lfbuild.manifest.filemap import Blocks, FileMap, Literal, Part, Zeros
from lfbuild.manifest.matching import MISSING, ZEROS, Stretch, match

BLOCK = 4


def region(offset: int, data: bytes, name: str = "m", *, block_bytes: int = BLOCK) -> Blocks:
    cuts = Cuts.plain(len(data), block_bytes=block_bytes)
    leaves = b"".join(blake3(data[at : at + size]).digest() for at, size in cuts.blocks())
    return Blocks(offset=offset, name=name, index=BlockIndex(cuts=cuts, leaves=leaves))


def file(*parts: bytes | int, glue: bytes = b"--") -> FileMap:
    """Regions of blocks with glue before each; a number stands for so many zeros that belong to nothing."""
    made: list[Part] = []
    position = 0
    for part in parts:
        if isinstance(part, int):
            made.append(Zeros(offset=position, size_bytes=part))
            position += part
            continue
        made.append(Literal(offset=position, data=glue))
        made.append(region(position + len(glue), part))
        position += len(glue) + len(part)
    return FileMap(parts=tuple(made))


def test_a_file_is_found_whole_in_itself_as_one_stretch_a_region() -> None:
    one = file(b"aaaabbbbcc", 100, b"dddd")

    assert match([one], one) == (
        Stretch(block=0, blocks=3, offset=2, size_bytes=10, seed=0, seed_block=0, seed_offset=2),
        Stretch(block=3, blocks=1, offset=114, size_bytes=4, seed=0, seed_block=3, seed_offset=114),
    )


def test_blocks_are_found_where_they_moved_to() -> None:
    old, new = file(b"aaaabbbb", b"ccccdddd"), file(b"ccccdddd", b"xxxxbbbb")

    assert match([old], new) == (
        Stretch(block=0, blocks=2, offset=2, size_bytes=8, seed=0, seed_block=2, seed_offset=12),
        Stretch(block=2, blocks=1, offset=12, size_bytes=4, seed=MISSING),
        Stretch(block=3, blocks=1, offset=16, size_bytes=4, seed=0, seed_block=1, seed_offset=6),
    )


def test_a_run_goes_on_though_one_of_its_blocks_stands_elsewhere_too() -> None:
    old, new = file(b"bbbb", b"aaaabbbbcccc"), file(b"aaaabbbbcccc")

    (stretch,) = match([old], new)

    assert (stretch.seed_offset, stretch.blocks) == (8, 3)


def test_several_seeds_complete_each_other_and_the_first_is_preferred() -> None:
    target = file(b"aaaabbbbcccc")

    found = match([file(b"bbbb"), file(b"bbbbcccc"), file(b"aaaa")], target)

    assert [(stretch.seed, stretch.blocks) for stretch in found] == [(2, 1), (0, 1), (1, 1)]


def test_the_same_digest_with_another_size_is_another_block() -> None:
    old = FileMap(parts=(region(0, b"aaaa"),))
    leaf = old.regions[0].index.leaves
    lying = BlockIndex(cuts=Cuts.plain(5, block_bytes=5), leaves=leaf)
    new = FileMap(parts=(Blocks(offset=0, name="m", index=lying),))

    assert [stretch.seed for stretch in match([old], new)] == [MISSING]


def test_zeros_need_no_seed() -> None:
    found = match([], file(b"\0\0\0\0\0\0\0\0abcd"))

    assert [(stretch.seed, stretch.blocks) for stretch in found] == [(ZEROS, 2), (MISSING, 1)]


def test_a_file_without_blocks_needs_nothing() -> None:
    assert match([file(b"aaaa")], FileMap(parts=(Literal(offset=0, data=b"x"),))) == ()


def test_the_ends_of_two_regions_are_not_one_stretch() -> None:
    old = FileMap(parts=(region(0, b"aaaabbbb"),))
    new = FileMap(parts=(region(0, b"aaaa"), Literal(offset=4, data=b"--"), region(6, b"bbbb")))

    assert [stretch.size_bytes for stretch in match([old], new)] == [4, 4]
