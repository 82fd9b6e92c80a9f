"""A body made of pieces: any range of it is what a slice of the whole would be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webapp.core.segments import Segments, Stretch, size_of

DATA = bytes(range(256))


def whole(segments: Segments, start: int = 0, stop: int | None = None, most: int = 7) -> bytes:
    end, found = segments.size if stop is None else stop, b""
    while start < end:
        piece = segments.read(start, min(most, end - start))
        assert 0 < len(piece) <= most
        found, start = found + piece, start + len(piece)
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    return path


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    parts=st.lists(st.one_of(st.binary(max_size=9), st.tuples(st.integers(0, 256), st.integers(0, 40)))),
    cut=st.tuples(st.integers(0, 300), st.integers(0, 300)),
)
def test_any_range_is_the_slice_of_the_whole(
    file: Path, parts: list[bytes | tuple[int, int]], cut: tuple[int, int]
) -> None:
    pieces: list[bytes | Stretch] = []
    expected = b""
    for part in parts:
        if isinstance(part, bytes):
            pieces.append(part)
            expected += part
        else:
            start, size = part[0], min(part[1], 256 - part[0])
            pieces.append(Stretch(file, start, size))
            expected += DATA[start : start + size]
    with Segments(pieces) as segments:
        assert segments.size == size_of(pieces) == len(expected)
        start, stop = sorted(min(place, len(expected)) for place in cut)
        assert whole(segments, start, stop) == expected[start:stop]
        assert segments.read(segments.size, 5) == b""


def test_a_file_that_is_deleted_meanwhile_is_read_to_its_end(file: Path) -> None:
    with Segments([Stretch(file, 3, 200)]) as segments:
        file.unlink()
        assert whole(segments) == DATA[3:203]


def test_what_is_missing_or_too_short_or_a_link_is_told_before_and_nothing_stays_open(file: Path) -> None:
    link = file.with_name("link")
    link.symlink_to(file)
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - names of descriptors, not files
    for wrong in (Stretch(file.with_name("none"), 0, 1), Stretch(file, 250, 7), Stretch(link, 0, 1)):
        with pytest.raises((OSError, EOFError)):
            Segments([Stretch(file, 0, 10), wrong])
    assert len(os.listdir("/proc/self/fd")) == len(before)  # noqa: PTH208


def test_a_file_that_shrinks_meanwhile_is_an_error_and_no_endless_loop(file: Path) -> None:
    with Segments([Stretch(file, 0, 256)]) as segments:
        os.truncate(file, 100)
        with pytest.raises(EOFError):
            whole(segments)


def test_closing_twice_is_harmless(file: Path) -> None:
    segments = Segments([Stretch(file, 0, 1)])
    segments.close()
    segments.close()
