"""How the page says how long something takes."""

from __future__ import annotations

from math import inf

import pytest
from django.utils import timezone

from webapp.fleet.durations import Length
from webapp.fleet.forecast import Expected
from webapp.fleet.words import expected_words, left_words


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0, 20, "within a minute"),
        (0, 61, "within 2 min"),
        (30, 700, "within 12 min"),
        (300, 720, "in 5–12 min"),
        (600, 600, "in about 10 min"),
        (2400, 10_800, "in 40 min to 3 h"),
        (7200, 18_000, "in 2–5 h"),
        (100_000, 400_000, "in 27 h to 5 days"),
        (200_000, 400_000, "in 2–5 days"),
        (0, inf, "unknown"),
    ],
)
def test_a_start_between_two_moments(low: float, high: float, words: str) -> None:
    assert expected_words(Expected(timezone.now(), low, high)) == words


def test_nobody_can_say() -> None:
    assert expected_words(None) == "unknown"
    assert left_words(None) == ""
    assert left_words(Length(0, inf, inf)) == ""


@pytest.mark.parametrize(
    ("likely", "words"),
    [(12, "less than a minute left"), (185, "about 3 min left"), (9000, "about 2 h left")],
)
def test_what_is_left(likely: float, words: str) -> None:
    assert left_words(Length(0, likely, 2 * likely)) == words
