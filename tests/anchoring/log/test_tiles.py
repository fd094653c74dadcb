"""The paths of C2SP tlog-tiles, and what is a tile."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchoring.errors import NoSuchTileError
from anchoring.log import merkle
from anchoring.log.tiles import (
    HEIGHT,
    MOST_LEVELS,
    WIDTH,
    TileName,
    expand,
    full_tile,
    parse_tile_path,
)

HASHES = [hashlib.sha256(b"%d" % i).digest() for i in range(WIDTH)]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        # C2SP tlog-tiles, "Merkle Tree": index 1234067
        ("0/x001/x234/067", TileName(0, 1234067, 256)),
        ("0/000", TileName(0, 0, 256)),
        ("7/999", TileName(7, 999, 256)),
        ("1/x001/000", TileName(1, 1000, 256)),
        # C2SP tlog-tiles, "Partial Tiles": a tree of 70,000
        ("0/273.p/112", TileName(0, 273, 112)),
        ("1/001.p/17", TileName(1, 1, 17)),
        ("2/000.p/1", TileName(2, 0, 1)),
        ("entries/x001/x234/067.p/255", TileName(None, 1234067, 255)),
    ],
)
def test_a_path_of_the_standard_is_read_and_written(path: str, name: TileName) -> None:
    assert parse_tile_path(path) == name
    assert name.path == path


@pytest.mark.parametrize(
    "path",
    [
        *("", "0", "0/", "/0/000", "0/000/", "0/0", "0/00", "0/0000", "0/x000", "0/001/002"),
        *("0/x000/001", "0/x01/001", "0/X001/002", "00/000", "01/000", "-1/000", "+1/000"),
        *("64/000", "8/000", "99/000", "100/000", "0/-01", "0/+01", "0/ 01", "0/0x1", "x/000"),
        *("0/000.p/0", "0/000.p/00", "0/000.p/01", "0/000.p/256", "0/000.p/300", "0/000.p/-1"),
        *("0/000.p/999", "0/000.p/1000", "0/000.p/", "0/000.p", "0/000.P/1", "0/000.p/1/2"),
        *("../0/000", "0/../000", "0/..", "0/x001/../000", "0/%30%30%30", "0/000\n", "0/000.p/1\n"),
        *("entries", "entries/", "entries/0", "entry/000", "Entries/000", "data/000", "0/٠٠٠"),
        *("٠/000", "0/000.p/١", "0/" + "x001/" * 7 + "000", "0/" + "x001/" * 100_000 + "000"),
    ],
)
def test_what_is_not_exactly_a_path_is_refused(path: str) -> None:
    with pytest.raises(NoSuchTileError):
        parse_tile_path(path)


@given(
    st.one_of(st.none(), st.integers(0, MOST_LEVELS - 1)),
    st.integers(0, 10**21 - 1),
    st.integers(1, 256),
)
def test_every_tile_has_one_path(level: int | None, index: int, width: int) -> None:
    name = TileName(level, index, width)
    assert parse_tile_path(name.path) == name


@given(st.text(max_size=60))
def test_no_text_makes_the_reader_do_anything_but_read_or_refuse(text: str) -> None:
    try:
        name = parse_tile_path(text)
    except NoSuchTileError:
        return
    assert name.path == text


def test_a_tile_fits_a_tree_that_has_all_of_its_hashes() -> None:
    # C2SP tlog-tiles, "Partial Tiles": a tree of 70,000
    assert TileName(0, 272, 256).fits(70_000)
    assert TileName(0, 273, 112).fits(70_000)
    assert not TileName(0, 273, 113).fits(70_000)
    assert not TileName(None, 273, 113).fits(70_000)
    assert TileName(1, 1, 17).fits(70_000)
    assert not TileName(1, 1, 18).fits(70_000)
    assert TileName(2, 0, 1).fits(70_000)
    assert not TileName(3, 0, 1).fits(70_000)
    assert not TileName(0, 0, 1).fits(0)


@pytest.mark.parametrize("width", [1, 2, 3, 5, 128, 200, 255, 256])
def test_a_tile_is_expanded_to_the_roots_of_all_complete_subtrees(width: int) -> None:
    rows = expand(b"".join(HASHES[:width]))
    for height, row in enumerate(rows):
        assert len(row) == 32 * (width >> height)
        for at in range(width >> height):
            leaves = HASHES[at << height : at + 1 << height]
            assert row[32 * at : 32 * at + 32] == merkle.root(leaves)


def test_the_root_of_a_full_tile_is_its_last_row() -> None:
    tile = full_tile(0, 5, b"".join(HASHES))
    assert (tile.level, tile.index, tile.root) == (0, 5, merkle.root(HASHES))
    assert expand(tile.hashes)[HEIGHT] == tile.root
