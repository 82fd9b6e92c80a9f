"""What the pages say of scores that are no shares of right answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.cycles.compare import metric
from webapp.cycles.gains import gains_of
from webapp.cycles.outcome import outcome
from webapp.projects.models import Task

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project

REPORT: dict[str, Any] = {
    "before": {"prose": 0.05}, "after": {"prose": 0.08}, "gain": {"mean": None, "tasks": {}},
    "metrics": {"before": {"acc": 0.05}, "after": {"acc": 0.08}},
}  # fmt: skip


@pytest.mark.parametrize("page", ["cycle_detail", "cycle_report"])
def test_a_language_model_s_page_tells_its_perplexity_and_what_a_score_is(
    alice: User, project: Project, page: str
) -> None:
    Task.objects.create(project=project, name="prose", position=9)
    more = {"objective": "language", "perplexity": {"before": {"prose": 31.24}, "after": {"prose": 18.0}}}
    cycle = rows.cycle(project, "sleep", "succeeded", report=REPORT | more)
    told = logged_in(alice).get(reverse(page, args=[cycle.pk])).content.decode()
    assert "perplexity 31.2 → 18.0" in told
    assert "the chance that the model gives to the next token" in told
    assert "Average score" in told
    plain = rows.cycle(project, "sleep", "succeeded", report=REPORT)
    told = logged_in(alice).get(reverse(page, args=[plain.pk])).content.decode()
    assert "perplexity" not in told
    assert "Average accuracy" in told


def test_a_gain_over_the_past_is_no_level_to_fall_from(project: Project) -> None:
    """The model before scored better than ever; its night gained a little more, so it forgot nothing."""
    metrics = {"before": {"worst_forgetting": -0.8}, "after": {"worst_forgetting": -0.035}}
    cycle = rows.cycle(project, "sleep", "succeeded", report=REPORT | {"metrics": metrics})
    gains, told = gains_of(cycle), outcome(cycle)
    assert gains and told
    (forgetting,) = told["figures"]
    assert (forgetting["before"], forgetting["delta"]) == (0, pytest.approx(-0.035))
    assert gains.forgetting_change == pytest.approx(-0.035)
    assert metric(cycle, "worst_forgetting") == (0, -0.035)
    lost = {"before": {"worst_forgetting": 0.2}, "after": {"worst_forgetting": 0.3}}
    cycle = rows.cycle(project, "sleep", "succeeded", report=REPORT | {"metrics": lost})
    gains = gains_of(cycle)
    assert gains and gains.forgetting_change == pytest.approx(0.1)
