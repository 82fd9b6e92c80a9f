"""Numbers and moments as pages write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.template import Context, Template

from webapp.accounts.models import User
from webapp.core.templatetags import nocturne as tags


@pytest.mark.parametrize(
    ("wh", "text"),
    [
        (0.005664, "5.66 mWh"),
        (0.0, "0 mWh"),
        (0.999, "999 mWh"),
        (1.25, "1.25 Wh"),
        (1234.5, "1.23 kWh"),
        (None, "–"),
    ],
)
def test_energy(wh: float | None, text: str) -> None:
    assert tags.energy(wh) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (76432, "76.4 KB"), (14_200_000_000, "14.2 GB"), (None, "–")],
)
def test_sizes(size: int | None, text: str) -> None:
    assert tags.bytes_text(size) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.996, "99"),
        (1.0, "100"),
        (0.0, "0"),
        (0.29, "29"),
        (None, "·"),
        (0.0269, "2.6"),
        (0.05, "5"),
        (0.0999, "9.9"),
        (0.1, "10"),
        (0.123, "12"),
        (0.0099, "0.99"),
        (0.00388, "0.39"),
        (0.0004, "0.0400"),
        (0.000998, "0.0998"),
        (0.00004, "0.0040"),
    ],
)
def test_a_cell_of_the_matrix_never_rounds_up_to_a_hundredth_but_small_ones_do(
    value: float | None, text: str
) -> None:
    assert tags.hundredths(value) == text


@pytest.mark.parametrize(
    ("length", "text"), [(48.4, "48 s"), (192, "3 min 12 s"), (7500, "2 h 05 min"), (None, "–")]
)
def test_lengths_of_time(length: float | None, text: str) -> None:
    assert tags.seconds(length) == text


@pytest.mark.parametrize(
    ("value", "good", "tone", "arrow"),
    [
        (0.2, "up", "good", "▲"),
        (-0.2, "up", "bad", "▼"),
        (-0.2, "down", "good", "▼"),
        (0.2, "down", "bad", "▲"),
    ],
)
def test_a_change_has_arrow_and_tone(value: float, good: str, tone: str, arrow: str) -> None:
    shown = tags.delta(value, good=good)
    assert (shown["tone"], shown["arrow"]) == (tone, arrow)


def test_a_change_below_the_last_digit_is_none() -> None:
    assert tags.delta(0.0004)["still"]
    assert not tags.delta(None)["known"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.942, "0.942"),
        (1.0, "1.000"),
        (0.0, "0.000"),
        (0.1, "0.100"),
        (0.0183, "0.0183"),
        (0.003884, "0.00388"),
        (0.00001, "0.000010"),
        (None, "–"),
    ],
)
def test_a_score_has_three_digits_that_count(value: float | None, text: str) -> None:
    assert tags.score(value) == text


@pytest.mark.parametrize(
    ("change", "of", "text"),
    [
        (-0.00035, 0.00353, "−0.00035"),
        (0.0004, 0.02, "+0.0004"),
        (-0.9, 0.02, "−0.900"),
        (0.0004, 0.9, None),
        (0.000004, 0.003, None),
        (-0.0004, 0.0, "−0.000400"),
        (0.0, 0.0, None),
    ],
)
def test_a_change_has_the_decimals_of_what_changed(change: float, of: float, text: str | None) -> None:
    shown = tags.delta(change, of=of)
    assert shown["still"] == (text is None)
    assert text is None or shown["text"] == text


def test_a_change_in_percent_has_one_decimal_whatever_changed() -> None:
    assert tags.delta(0.0002, unit="%", of=0.0233)["still"]
    assert tags.delta(0.02, unit="%", of=0.0233)["text"] == "+2.0 %"


def test_scores_and_percentages_are_rounded_and_not_cut() -> None:
    assert tags.score(0.9856) == "0.986"
    assert tags.percent(0.0266) == "2.7 %"
    assert tags.percent(-0.0266) == "−2.7 %"
    assert tags.delta(0.4199)["text"] == "+0.420"
    assert tags.score(None) == tags.percent(None) == "–"


def test_ago() -> None:
    now = datetime(2026, 8, 3, 2, 0, tzinfo=UTC)
    assert tags.ago_text(now - timedelta(seconds=12), now) == "12 s ago"
    assert tags.ago_text(now - timedelta(hours=5), now) == "5 h ago"
    assert tags.ago_text(now - timedelta(days=3), now) == "3 days ago"
    assert tags.ago_text(now + timedelta(minutes=3), now) == "in 3 min"


def test_a_moment_is_written_in_the_person_s_zone() -> None:
    moment = datetime(2026, 8, 3, 0, 0, tzinfo=UTC)
    page = Template("{% load nocturne %}{% when moment %}")
    person = User(email="ana@example.org", timezone="Europe/Berlin")
    assert "02:00" in page.render(Context({"moment": moment, "user": person}))
    nowhere = User(email="ana@example.org", timezone="Mars/Olympus")
    assert "00:00" in page.render(Context({"moment": moment, "user": nowhere}))


def test_names_are_escaped() -> None:
    page = Template('{% load nocturne %}{% badge "running" label %}')
    assert "<b>" not in page.render(Context({"label": "<b>"}))
