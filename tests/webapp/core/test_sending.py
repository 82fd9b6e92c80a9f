"""A body on its way: piece by piece, and its files are closed however it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import RequestFactory

from webapp.core.segments import Segments, Stretch
from webapp.core.sending import PIECE_BYTES, send

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 3 * PIECE_BYTES + 5


@pytest.fixture
def segments(tmp_path: Path) -> Segments:
    path = tmp_path / "data"
    path.write_bytes(bytes(SIZE))
    return Segments([b"head", Stretch(path, 0, SIZE)])


def sent(segments: Segments, method: str = "get", **headers: str) -> Any:
    request = getattr(RequestFactory(), method)("/", headers=headers)
    return send(request, segments, name="data.bin", etag="tag")


def is_open(segments: Segments) -> bool:
    try:
        return bool(segments.read(4, 1))
    except KeyError:
        return False


async def test_no_piece_is_larger_than_a_megabyte(segments: Segments) -> None:
    sizes = [len(piece) async for piece in sent(segments).streaming_content]
    assert sum(sizes) == SIZE + 4
    assert max(sizes) == PIECE_BYTES
    assert not is_open(segments)


async def test_a_reader_that_goes_away_closes_the_files(segments: Segments) -> None:
    response = sent(segments)
    async for _ in response.streaming_content:
        break
    assert is_open(segments)
    response.close()
    assert not is_open(segments)


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("head", {}, 200),
        ("get", {"If-None-Match": '"tag"'}, 304),
        ("get", {"If-None-Match": "*"}, 304),
        ("get", {"Range": "bytes=99999999-"}, 416),
    ],
)
def test_an_answer_without_the_body_opens_nothing_for_long(
    method: str, headers: dict[str, str], status: int, segments: Segments
) -> None:
    assert sent(segments, method, **headers).status_code == status
    assert not is_open(segments)


async def test_a_file_that_shrinks_on_the_way_ends_the_body_early(segments: Segments, tmp_path: Path) -> None:
    """The length was promised; a body that ends early is told apart from a whole one by every client."""
    response = sent(segments)
    with pytest.raises(EOFError):
        async for _ in response.streaming_content:
            with (tmp_path / "data").open("rb+") as handle:
                handle.truncate(10)
    assert not is_open(segments)
