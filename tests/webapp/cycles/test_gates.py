"""The guard in the pipeline (R27): what publishing moves, and what no verdict, branch or wake gets past."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.db import connections
from django.urls import reverse
from safetensors.numpy import save_file

from consolidation.formats.checkpoint import inspect_checkpoint
from consolidation.groups import group_scores
from consolidation.guard import judge_sleep
from consolidation.metrics import Row
from consolidation.recipe import preset
from consolidation.report import outcome as found_out
from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.checkpoints.choices import Standing
from webapp.checkpoints.models import Alias, Checkpoint
from webapp.checkpoints.promotion import checkpoint_promote
from webapp.checkpoints.standing import BASE_MOVED, NON_FINITE
from webapp.core.errors import Conflict
from webapp.core.models import AuditEntry
from webapp.cycles.outcome import outcome
from webapp.cycles.publish import Found, Output, publish

if TYPE_CHECKING:
    from pathlib import Path

    from consolidation.guard import Judgement
    from webapp.accounts.models import User
    from webapp.cycles.models import Cycle
    from webapp.projects.models import Project

Bits = dict[str, np.ndarray[Any, np.dtype[np.bool_]]]
HISTORY = [Row("v1", "wake", {"faces": 0.8}, "faces")]


def weights(path: Path, fill: float = 0.5) -> Found:
    """A real checkpoint file, and what the inspector says of it."""
    config = {"layers": [4, 3, 2], "activation": "relu", "names": ["net.0", "net.2"]}
    shapes = {"net.0.weight": (3, 4), "net.0.bias": (3,), "net.2.weight": (2, 3), "net.2.bias": (2,)}
    tensors = {name: np.full(shape, fill, np.float32) for name, shape in shapes.items()}
    raw = path.with_suffix(".raw")
    save_file(tensors, raw, metadata={"nocturne.family": "mlp", "nocturne.config": json.dumps(config)})
    return Found(path, inspect_checkpoint(raw, out=path))


def answers(first: int, second: int) -> Bits:
    """So many right ones of two groups of 100."""
    return {"faces": np.concatenate([np.arange(100) < first, np.arange(100) < second])}


def judged(before: Bits, after: Bits, *, finite: bool = True, **gates: Any) -> Judgement:
    """The engine's own verdict on these answers."""
    groups = {"faces": np.repeat(np.array([0, 1], np.int64), 100)}
    found = found_out(
        kind="sleep", history=HISTORY, before=before, after=after, tasks=["faces"], groups=groups
    )
    return judge_sleep(
        before=before, after=after, rows_before=found.rows_before, rows_after=found.rows_after,
        recipe=preset("night", **gates), finite=finite,
        groups={"before": group_scores(before, groups), "after": group_scores(after, groups)},
    )  # fmt: skip


def output(found: Judgement, model: Found) -> Output:
    return Output(
        report={"gain": found.gains_json()}, verdict=found.verdict, reasons=found.reasons, before={},
        after={}, model=model,
    )  # fmt: skip


IMPROVED = judged(answers(60, 60), answers(80, 80))
SKEWED = "a planted group that pays for the mean"
REJECTED = {
    "NaN weights": judged(answers(60, 60), answers(90, 90), finite=False),
    SKEWED: judged(answers(60, 60), answers(98, 62)),
    "a task over its budget": judged(answers(60, 60), answers(50, 50), forgetting_budget=0.05),
}


@pytest.fixture
def base(project: Project) -> Checkpoint:
    """v1, current, with one alias that follows and one that does not."""
    made = rows.checkpoint(project)
    for name, follows in (("best", True), ("deployed", False)):
        named(project, name, made, follows=follows)
    return made


def named(project: Project, name: str, checkpoint: Checkpoint, *, follows: bool = True) -> None:
    Alias.objects.update_or_create(
        project=project, name=name,
        defaults={"checkpoint": checkpoint, "follows": follows, "moved_at": checkpoint.created_at},
    )  # fmt: skip


def publishing(project: Project, kind: str = "sleep", base: Checkpoint | None = None) -> Cycle:
    return rows.cycle(project, kind, "publishing", base=base or project.current, epoch=1)


def places(project: Project) -> dict[str, int]:
    return {alias.name: alias.checkpoint.number for alias in project.aliases.all()}


def alias_lines(cycle: Cycle) -> list[str]:
    told = outcome(cycle)
    assert told is not None
    lines: list[str] = told["aliases"]
    return lines


def test_an_improved_night_moves_the_names_that_follow(
    project: Project, base: Checkpoint, tmp_path: Path
) -> None:
    cycle = publishing(project)
    assert IMPROVED.verdict == "improved"
    ended = publish(cycle_id=cycle.pk, epoch=1, output=output(IMPROVED, weights(tmp_path / "m")))
    project.refresh_from_db()
    assert project.current == Checkpoint.objects.get(cycle=cycle)
    assert places(project) == {"best": 2, "deployed": 1}
    best = Alias.objects.get(name="best")
    assert (best.cycle, best.moved_by) == (cycle, None)
    entry = AuditEntry.objects.get(verb="alias_set")
    assert entry.detail == {"name": "best", "number": 2, "before": 1, "cycle": str(cycle.pk)}
    assert entry.actor is None
    assert alias_lines(ended) == ["`best` now points to v2."]
    publish(cycle_id=cycle.pk, epoch=1, output=output(IMPROVED, weights(tmp_path / "n")))
    assert AuditEntry.objects.filter(verb="alias_set").count() == 1, "published once, moved once"


@pytest.mark.parametrize("why", REJECTED)
def test_what_the_guard_rejects_moves_nothing(
    why: str, alice: User, project: Project, base: Checkpoint, tmp_path: Path
) -> None:
    found, broken = REJECTED[why], why == "NaN weights"
    assert found.verdict == "rejected"
    cycle = publishing(project)
    model = weights(tmp_path / "m", float("nan") if broken else 0.5)
    assert model.info["non_finite"] == broken
    ended = publish(cycle_id=cycle.pk, epoch=1, output=output(found, model))
    project.refresh_from_db()
    made = Checkpoint.objects.get(cycle=cycle)
    assert (ended.state, ended.reasons) == ("rejected", found.reasons)
    assert (project.current, made.standing) == (base, Standing.CANDIDATE)
    assert places(project) == {"best": 1, "deployed": 1}
    assert not AuditEntry.objects.filter(verb="alias_set").exists()
    assert alias_lines(ended) == ["The new version is kept as a candidate; `best` still points to v1."]
    page = logged_in(alice).get(reverse("cycle_detail", args=[cycle.pk])).content.decode()
    assert "Rejected. The project stays on v1." in page
    assert "<code>best</code> still points to v1." in page
    assert ("Promote v2…" in page) != broken
    if broken:
        with pytest.raises(Conflict, match="NaN"):
            checkpoint_promote(actor=alice, checkpoint=made)


def test_the_worst_group_is_named() -> None:
    assert (
        REJECTED[SKEWED].reasons[0].startswith("On faces the gap between the best and the worst group grew")
    )


def test_a_night_that_proved_nothing_moves_nothing(
    project: Project, base: Checkpoint, tmp_path: Path
) -> None:
    found = judged(answers(60, 60), answers(60, 60))
    cycle = publishing(project)
    ended = publish(cycle_id=cycle.pk, epoch=1, output=output(found, weights(tmp_path / "m")))
    project.refresh_from_db()
    assert (ended.verdict, project.current, places(project)["best"]) == ("unchanged", base, 1)
    assert alias_lines(ended) == ["`best` still points to v1."]


@pytest.mark.parametrize("kind", ["sleep", "wake"])
def test_no_report_carries_broken_weights_past_the_gate(
    kind: str, project: Project, base: Checkpoint, tmp_path: Path
) -> None:
    """A report that says "improved" of weights that are NaN is not believed."""
    cycle = publishing(project, kind)
    model = weights(tmp_path / "m", float("nan"))
    ended = publish(cycle_id=cycle.pk, epoch=1, output=output(IMPROVED, model))
    project.refresh_from_db()
    assert (project.current, places(project)["best"]) == (base, 1)
    assert ended.reasons[0] == NON_FINITE
    assert ended.state == ("rejected" if kind == "sleep" else "succeeded")
    told = outcome(ended)
    assert told is not None
    assert told["tone"] == "bad"
    assert "stays on v1" in told["sentence"]


def test_a_result_on_a_base_that_moved_is_a_branch_and_moves_nothing(
    alice: User, project: Project, base: Checkpoint, tmp_path: Path
) -> None:
    cycle = publishing(project)
    newer = rows.checkpoint(project)
    ended = publish(cycle_id=cycle.pk, epoch=1, output=output(IMPROVED, weights(tmp_path / "m")))
    project.refresh_from_db()
    assert (project.current, places(project)["best"]) == (newer, 1)
    assert Checkpoint.objects.get(cycle=cycle).standing == Standing.BRANCH
    assert BASE_MOVED in ended.reasons
    page = logged_in(alice).get(reverse("cycle_detail", args=[cycle.pk])).content.decode()
    assert "To use v3 instead of v2, promote it; to go on from it, put it to sleep." in page
    assert "Promote v3…" in page
    assert "?base=3" in page


def test_a_wake_moves_no_name_and_says_so(
    alice: User, project: Project, base: Checkpoint, tmp_path: Path
) -> None:
    cycle = publishing(project, "wake")
    ended = publish(cycle_id=cycle.pk, epoch=1, output=output(IMPROVED, weights(tmp_path / "m")))
    project.refresh_from_db()
    assert (project.current, places(project)["best"]) == (Checkpoint.objects.get(cycle=cycle), 1)
    assert alias_lines(ended) == ["`best` still points to v1: a wake is not judged, so it moves no alias."]
    page = logged_in(alice).get(reverse("cycle_detail", args=[cycle.pk])).content.decode()
    assert "Roll back to v1…" in page


def test_several_names_are_one_sentence(project: Project, base: Checkpoint, tmp_path: Path) -> None:
    named(project, "nightly", base)
    cycle = publishing(project)
    ended = publish(cycle_id=cycle.pk, epoch=1, output=output(IMPROVED, weights(tmp_path / "m")))
    assert alias_lines(ended) == ["`best` and `nightly` now point to v2."]


def test_the_page_of_a_night_that_was_rolled_back_says_so(
    alice: User, project: Project, base: Checkpoint, tmp_path: Path
) -> None:
    cycle = publishing(project)
    publish(cycle_id=cycle.pk, epoch=1, output=output(IMPROVED, weights(tmp_path / "m")))
    address = reverse("cycle_detail", args=[cycle.pk])
    assert "Improved. v2 is now the project&#x27;s current" in logged_in(alice).get(address).content.decode()
    checkpoint_promote(actor=alice, checkpoint=base)
    page = logged_in(alice).get(address).content.decode()
    assert "Improved. v2 became current; since then the project was rolled back to v1." in page
    assert "Promote v2…" in page


@pytest.mark.django_db(transaction=True)
def test_a_publish_and_a_roll_back_at_once_leave_one_truth(
    alice: User, project: Project, tmp_path: Path
) -> None:
    """Whoever is first: the pointer, the standing, the names and the record agree."""
    for turn in range(6):
        older, left = rows.checkpoint(project), rows.checkpoint(project)
        named(project, "best", left)
        cycle, night = publishing(project), output(IMPROVED, weights(tmp_path / f"m{turn}", 0.5 + turn))

        def ends(cycle: Cycle = cycle, night: Output = night) -> str:
            try:
                return publish(cycle_id=cycle.pk, epoch=1, output=night).state
            finally:
                connections.close_all()

        def back(older: Checkpoint = older, left: Checkpoint = left) -> str:
            try:
                checkpoint_promote(actor=alice, checkpoint=older, was=str(left.pk), aliases=True)
            except Conflict as error:
                return error.code
            finally:
                connections.close_all()
            return "back"

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.submit(ends), pool.submit(back)
            assert first.result() == "succeeded"
            rolled = second.result()
        project.refresh_from_db()
        made, best = Checkpoint.objects.get(cycle=cycle), Alias.objects.get(name="best")
        if rolled == "back":
            assert (project.current, best.checkpoint, made.standing) == (older, older, Standing.BRANCH)
        else:
            assert rolled == "conflict.current_moved"
            assert (project.current, best.checkpoint, made.standing) == (made, made, Standing.PROMOTED)


@pytest.mark.django_db(transaction=True)
def test_two_publishes_on_one_base_promote_one(project: Project, tmp_path: Path) -> None:
    """One active cycle a project is the rule; a late second result still moves nothing."""
    left = rows.checkpoint(project)
    named(project, "best", left)
    first = publishing(project)
    publish(cycle_id=first.pk, epoch=1, output=output(IMPROVED, weights(tmp_path / "a")))
    second = publishing(project, base=left)

    def ends(turn: int) -> str:
        night = output(IMPROVED, weights(tmp_path / f"b{turn}", 0.7))
        try:
            return publish(cycle_id=second.pk, epoch=1, output=night).state
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(ends, range(2))) == {"succeeded"}
    project.refresh_from_db()
    assert project.current == Checkpoint.objects.get(cycle=first)
    assert Checkpoint.objects.get(cycle=second).standing == Standing.BRANCH
    assert AuditEntry.objects.filter(verb="alias_set").count() == 1
