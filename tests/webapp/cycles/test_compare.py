"""The compare page: the picker, only what differs, and intervals that the kept answers bear out."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.test.utils import CaptureQueriesContext

from tests.support import night
from tests.support.night_script import Night
from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.checkpoints.models import Score
from webapp.cycles.compare import Cell, Row, with_best
from webapp.cycles.compare_answers import CONFIDENCE, Pair, Unpaired, against, answers_of, probes_of
from webapp.cycles.compare_pictures import gain_picture, retention_picture, round_axis
from webapp.cycles.compare_settings import differences, flatten
from webapp.cycles.models import Cycle
from webapp.memories.models import RecordSet
from webapp.projects.models import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.test import Client

    from webapp.accounts.models import User, Workspace
    from webapp.projects.models import Project


@pytest.fixture
def probed(project: Project) -> Project:
    """One task, "returns", with a probe."""
    rows.record_set(Task.objects.get(project=project), "probe")
    rows.checkpoint(project)
    return project


def slept(
    project: Project, right: Sequence[bool] | None = None, *, kind: str = "sleep", **recipe: Any
) -> Cycle:
    """A cycle from the first checkpoint, with these answers of its model to the live probe of "returns"."""
    task = Task.objects.get(project=project, name="returns")
    base = project.checkpoints.get(number=1)
    state = "succeeded" if right is not None else "running"
    made = rows.cycle(project, kind, state, base=base, recipe={"preset": "night"} | recipe)
    made.probes.set(RecordSet.objects.filter(task=task, use="probe", replaced_at=None))
    if right is None:
        return made
    bits = np.array(right, dtype=np.bool_)
    after = float(bits.mean())
    made.report = {"before": {"returns": 0.5}, "after": {"returns": after}, "seconds": 4.0}
    made.verdict = "improved"
    made.save()
    Score.objects.create(
        checkpoint=rows.checkpoint(project, kind, cycle=made), task=task, cycle=made, value=after,
        examples=len(bits), correct=np.packbits(bits).tobytes(),
    )  # fmt: skip
    return made


def page(client: Client, project: Project, *cycles: Cycle, status: int = 200, tail: str = "") -> str:
    query = "&".join(f"cycle={cycle.pk}" for cycle in cycles)
    answer = client.get(f"/projects/{project.pk}/compare/?{query}{tail}")
    assert answer.status_code == status
    return answer.content.decode()


# ---------------------------------------------------------------- the picker


def test_none_and_one_are_the_picker(probed: Project, alice: User) -> None:
    one, _ = slept(probed, [True] * 30), slept(probed, [True] * 30)
    waiting = rows.cycle(probed, "sleep", "queued")
    text = page(logged_in(alice), probed)
    assert "Pick two." in text
    assert text.count('type="checkbox"') == 2
    assert str(waiting) not in text, "what has not begun is nothing to compare"
    text = page(logged_in(alice), probed, one)
    assert "Pick two." in text
    assert f'value="{one.pk}" checked' in text
    assert 'class="versus' not in text.partition("versuspick")[0]
    assert "Pick two." in page(logged_in(alice), probed, one, one), "the same one twice is one"


def test_six_fit_and_the_seventh_is_too_many(probed: Project, alice: User) -> None:
    cycles = [slept(probed, [True] * 30) for _ in range(7)]
    text = page(logged_in(alice), probed, *cycles[:6])
    assert all(f'href="/cycles/{cycle.pk}/"' in text for cycle in cycles[:6])
    text = page(logged_in(alice), probed, *cycles, status=422)
    assert "compare.too_many" in text
    assert "7 cycles are picked and 6 fit side by side. Take away 1." in text
    assert text.count(" checked") == 7, "nobody has to pick again"


def test_the_picker_is_short_whatever_there_is_and_keeps_what_was_picked(
    probed: Project, alice: User
) -> None:
    first, _ = slept(probed, [True] * 30), slept(probed, kind="wake")
    for _ in range(60):
        rows.cycle(probed, "wake", "failed")
    text = page(logged_in(alice), probed, first)
    assert text.count('type="checkbox"') == 51
    assert text.index(f'value="{first.pk}" checked') < text.index("Wake 62"), "the picked one is at the top"
    assert 'name="upto" value="12"' in text, "and the way to the older ones"
    text = page(logged_in(alice), probed, tail="&upto=12&kind=wake")
    assert text.count('type="checkbox"') == 11
    assert "Wake 12<" in text.replace(" <", "<")
    for odd in ("&upto=x&kind=nap", "&upto=99999999999", "&upto=²"):
        assert page(logged_in(alice), probed, tail=odd).count('type="checkbox"') == 50


def test_bad_foreign_and_missing_ids_are_404(
    probed: Project, alice: User, charlie: User, workspace: Workspace
) -> None:
    mine = [slept(probed, [True] * 30), slept(probed, [True] * 30)]
    other = rows.cycle(rows.project_of(workspace, "other"), "sleep", "succeeded")
    theirs = rows.cycle(rows.project_of(charlie.memberships.get().workspace, "theirs"), "sleep", "succeeded")
    client = logged_in(alice)
    for stranger in (other, theirs):
        page(client, probed, *mine, stranger, status=404)
        page(client, probed, *mine, tail=f"&against={stranger.pk}", status=404)
    for odd in ("x", str(uuid.uuid4()), "1", "..%2F"):
        page(client, probed, *mine, tail=f"&cycle={odd}", status=404)
    page(logged_in(charlie), probed, *mine, status=404)
    assert client.post(f"/projects/{probed.pk}/compare/").status_code == 405


# ---------------------------------------------------------------- what differs


def test_only_what_differs_in_dotted_keys() -> None:
    found = differences(
        [
            {"lr": 0.1, "noise": {"kind": "a", "size": 1}, "seed": 3, "old": None},
            {"lr": 0.2, "noise": {"kind": "a", "size": 1.0}, "seed": 3, "new": True},
            {"lr": 0.1, "noise": {"kind": "b", "size": 1}, "seed": 3},
        ],
        order=["noise.kind"],
    )
    assert [setting.key for setting in found.rows] == ["noise.kind", "lr"]
    assert [v.text for v in found.rows[1].values] == ["0.1", "0.2", "0.1"]
    assert [v.unlike for v in found.rows[1].values] == [False, True, False]
    assert [(s.key, [v.absent for v in s.values]) for s in found.lone] == [
        ("new", [True, False, True]),
        ("old", [False, True, True]),
    ]
    assert found.same == 2
    assert "".join(found.rows[0].parts) == "noise.kind"
    assert flatten({"a": {"b": {"c": [1]}, "d": {}}}) == {"a.b.c": [1], "a.d": {}}


def test_true_is_not_one() -> None:
    assert len(differences([{"a": True}, {"a": 1}]).rows) == 1


def test_the_page_shows_the_settings_that_differ_and_counts_the_others(probed: Project, alice: User) -> None:
    one = slept(probed, [True] * 30, noise=0.05, batch=64, seed=0)
    two = slept(probed, [False] * 30, noise=0.25, batch=64, seed=0)
    text = page(logged_in(alice), probed, one, two)
    recipe = text.partition('id="recipe-title"')[2].partition("</section>")[0]
    assert "noise" in recipe
    assert "0.25" in recipe
    assert "batch" not in recipe
    assert "All 3 other settings are the same." in recipe
    other = page(logged_in(alice), probed, one, two, tail=f"&against={two.pk}")
    assert "≠ unlike Sleep 2" in other


# ---------------------------------------------------------------- results


def test_the_best_is_a_word_and_only_where_the_proof_is_the_same(probed: Project, alice: User) -> None:
    one, two = slept(probed, [True] * 20 + [False] * 10), slept(probed, [True] * 25 + [False] * 5)
    text = page(logged_in(alice), probed, one, two)
    assert text.count('<span class="versus__best">best</span>') == 1
    assert "0.833</b> <span" in text
    RecordSet.objects.filter(use="probe").update(replaced_at="2026-01-01T00:00Z")
    fresh = rows.record_set(Task.objects.get(name="returns"), "probe")
    fresh.sha256 = "2" * 64
    fresh.save()
    three = slept(probed, [True] * 30)
    text = page(logged_in(alice), probed, one, three)
    assert '<span class="versus__best">best</span>' not in text
    assert "not proved on the same tasks with the same probes" in text
    assert "Sleep 1 and Sleep 3 were proved on different probes" in text


@pytest.mark.parametrize(
    ("good", "values", "best"),
    [
        ("up", [0.5, 0.9, None], [False, True, False]),
        ("down", [0.5, 0.9, 0.5], [True, False, True]),
        ("up", [0.9001, 0.9004, None], [False, False, False]),
        ("up", [0.9, None, None], [False, False, False]),
        ("up", [0.0183, 0.0179, 0.01834], [True, False, True]),
    ],
)
def test_equal_words_are_equally_good(good: str, values: list[float | None], best: list[bool]) -> None:
    row = with_best(Row("x", "score", good, [Cell(None, value) for value in values]))
    assert [cell.best for cell in row.cells] == best


def test_a_running_one_stands_beside_a_finished_one(probed: Project, alice: User) -> None:
    text = page(logged_in(alice), probed, slept(probed, [True] * 30), slept(probed))
    assert "Sleep 2 has no scores yet." in text
    assert "Nothing can be paired with Sleep 1." in text
    assert 'data-refresh="10"' in text


def test_a_language_models_score_has_its_perplexity_beside_it(probed: Project, alice: User) -> None:
    cycle = slept(probed, [True] * 30)
    cycle.report["perplexity"] = {"before": {"returns": 54.54}, "after": {"returns": 52.61}}
    cycle.save()
    assert "perplexity 54.5 → 52.6" in page(logged_in(alice), probed, cycle, slept(probed, [True] * 30))


def test_the_interval_of_before_and_after_is_the_one_of_the_report(workspace: Workspace, alice: User) -> None:
    line = night.line(workspace=workspace, actor=alice)
    ended = []
    for verdict in ("rejected", "improved"):
        cycle = night.begin(night.sleep_cycle(line, actor=alice))
        night.finish(cycle, Night(seconds=3), verdict=verdict)
        ended.append(Cycle.objects.get(pk=cycle.pk))
        line.refresh_from_db()
        line.last_checkpoint_number += 1
        line.save()
    text = page(logged_in(alice), line, *ended)
    gain = ended[1].report["gain"]["tasks"]["billing"]
    assert f"{gain['low']:+.3f} to {gain['high']:+.3f}" in text
    mean = ended[1].report["gain"]["mean"]["value"]
    assert f"<b>{mean:+.3f}</b>" in text
    assert "Forgetting reached 46.0 % on billing (budget 10 %)." in text
    assert "Paired answers are not kept for" in text, "these scores came without answers"
    assert 'style="' not in text


def test_pictures_lie_inside_their_round_axes(probed: Project) -> None:
    assert round_axis(0.56, 1.0) == [0.4, 0.6, 0.8, 1.0]
    assert round_axis(-0.013, 0.0) == [-0.015, -0.01, -0.005, 0.0]
    axis = round_axis(0.3, 0.3)
    assert axis[0] < 0.3 < axis[-1]
    cycle = slept(probed, [True] * 30)
    assert retention_picture([cycle]) is None
    assert gain_picture([cycle]) is None
    cycle.report = {
        "metrics": {"before": {"retention": 0.6}, "after": {"retention": 0.9}},
        "gain": {"mean": {"value": 0.1, "low": -0.02, "high": 0.2}},
    }
    kept, gain = retention_picture([cycle]), gain_picture([cycle])
    assert kept is not None
    assert (kept.spans[0].tone, kept.spans[0].stroke) == ("good", "M0 13L75 13")
    assert kept.words == ["0.6", "0.7", "0.8", "0.9", "1.0"]
    assert gain is not None
    assert (gain.spans[0].tone, gain.words[0]) == ("plain", "−0.1")


# ---------------------------------------------------------------- answer by answer


def pair_of(first: Cycle, second: Cycle) -> Any:
    cycles = list(Cycle.objects.filter(pk__in=[first.pk, second.pk]).order_by("number"))
    found = against(
        0, 1, cycles=cycles, tasks=["returns"], answers=answers_of(cycles), probes=probes_of(cycles)
    )
    return found.tasks[0]


def test_the_interval_between_two_cycles_is_that_of_their_kept_answers(probed: Project, alice: User) -> None:
    draw = np.random.default_rng(7)
    one = draw.random(333) < 0.6
    two = one ^ (draw.random(333) < np.where(one, 0.03, 0.3))
    first, second = slept(probed, list(one)), slept(probed, list(two))
    pair = pair_of(first, second)
    assert isinstance(pair, Pair)
    assert pair.interval.value == pytest.approx(two.mean() - one.mean())
    won = sum(1 for a, b in zip(one, two, strict=True) if b and not a)
    lost = sum(1 for a, b in zip(one, two, strict=True) if a and not b)
    assert (pair.won, pair.lost, pair.answers, pair.clear) == (won, lost, 333, True)
    # By brute force: questions drawn again with replacement, both models' answers to each kept together.
    picks = draw.integers(0, 333, size=(4000, 333))
    drawn = (two[picks].astype(float) - one[picks]).mean(axis=1)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    assert pair.interval.low == pytest.approx(low, abs=0.006)
    assert pair.interval.high == pytest.approx(high, abs=0.006)
    text = page(logged_in(alice), probed, first, second)
    assert pair.interval.words in text
    assert f"{won} won, {lost} lost of 333" in text
    assert "higher" in text


def test_few_changed_answers_make_no_clear_difference(probed: Project) -> None:
    pair = pair_of(slept(probed, [True] * 296 + [False] * 4), slept(probed, [True] * 300))
    assert pair.interval.low > 0, "the bootstrap alone would be sure"
    assert not pair.clear


def test_no_pair_without_the_same_questions(probed: Project) -> None:
    first, second = slept(probed, [True] * 30), slept(probed, [True] * 40)
    assert isinstance(pair_of(first, second), Unpaired)
    third = slept(probed, [True] * 30)
    assert isinstance(pair_of(first, third), Pair)
    later = rows.cycle(probed, "score", "succeeded")
    Score.objects.filter(cycle=third).update(cycle=later)
    found = pair_of(first, third)
    assert found.sentence == "Paired answers are not kept for Sleep 3.", "another cycle scored v3 since"
    Score.objects.filter(cycle=first).update(correct=b"")
    assert pair_of(first, second).sentence == "Paired answers are not kept for Sleep 1."


# ---------------------------------------------------------------- cost


def test_the_queries_are_few_and_do_not_grow(
    probed: Project, alice: User, django_assert_max_num_queries: Any
) -> None:
    from django.db import connection

    cycles = [slept(probed, [True] * 30) for _ in range(2)]
    client = logged_in(alice)
    with CaptureQueriesContext(connection) as few:
        page(client, probed, *cycles)
    cycles += [slept(probed, [True] * 30, noise=0.1 * n) for n in range(4)]
    for _ in range(80):
        rows.cycle(probed, "wake", "failed")
    with django_assert_max_num_queries(len(few)):
        page(client, probed, *cycles)
    assert len(few) <= 15


def test_the_project_page_leads_here(probed: Project, alice: User) -> None:
    address = f'href="/projects/{probed.pk}/compare/"'
    slept(probed, [True] * 30)
    client = logged_in(alice)
    assert address not in client.get(f"/projects/{probed.pk}/").content.decode()
    slept(probed, [True] * 30)
    assert address in client.get(f"/projects/{probed.pk}/").content.decode()
