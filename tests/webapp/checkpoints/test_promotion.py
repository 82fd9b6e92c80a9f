"""Forward to a candidate, back to an older version: what comes along, what is named, who is too late."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from django.db import connections
from django.urls import reverse

from tests.webapp import rows
from tests.webapp.conftest import logged_in
from tests.webapp.core.test_undo import undo
from webapp.checkpoints.aliases import alias_set
from webapp.checkpoints.choices import Standing
from webapp.checkpoints.models import Alias, Checkpoint
from webapp.checkpoints.promotion import checkpoint_promote
from webapp.checkpoints.promotion_plan import before, promotion_plan
from webapp.checkpoints.standing import BASE_MOVED
from webapp.core.errors import Conflict, Forbidden
from webapp.core.models import AuditEntry
from webapp.cycles.models import Cycle
from webapp.cycles.outcome import outcome

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project

BUDGET = "Forgetting reached 7.1 % on SST-2 (budget 5 %)."


def kept(project: Project, verdict: str = "rejected", reason: str = BUDGET) -> Checkpoint:
    """What a night left without promoting it: the current checkpoint stays."""
    current = project.current
    state = "rejected" if verdict == "rejected" else "succeeded"
    slept = rows.cycle(project, "sleep", state, base=current, verdict=verdict, reasons=[reason])
    standing = Standing.BRANCH if reason == BASE_MOVED else Standing.CANDIDATE
    made = rows.checkpoint(project, "sleep", cycle=slept, standing=standing)
    project.current = current
    project.save()
    return made


def named(project: Project, name: str, checkpoint: Checkpoint, *, follows: bool = True) -> Alias:
    return Alias.objects.create(
        project=project, name=name, checkpoint=checkpoint, follows=follows, moved_at=checkpoint.created_at
    )


def places(project: Project) -> dict[str, int]:
    return {alias.name: alias.checkpoint.number for alias in project.aliases.all()}


@pytest.fixture
def line(project: Project) -> list[Checkpoint]:
    return [rows.checkpoint(project) for _ in range(3)]


@pytest.mark.parametrize("verdict", ["rejected", "unchanged"])
def test_the_outcome_says_that_a_person_promoted_it_all_the_same(
    alice: User, project: Project, line: list[Checkpoint], verdict: str
) -> None:
    made = kept(project, verdict)
    assert made.cycle is not None
    before = outcome(Cycle.objects.get(pk=made.cycle.pk))
    checkpoint_promote(actor=alice, checkpoint=made)
    after = outcome(Cycle.objects.get(pk=made.cycle.pk))
    assert before is not None
    assert after is not None
    assert "kept as a candidate" in before["sentence"]
    assert after["sentence"] == f"{verdict.capitalize()}, but a person promoted {made} all the same."


def test_aliases_come_along_only_when_asked_and_only_from_what_is_left(
    alice: User, project: Project, line: list[Checkpoint]
) -> None:
    named(project, "best", line[2])
    named(project, "nightly", line[0])
    named(project, "deployed", line[2], follows=False)
    checkpoint_promote(actor=alice, checkpoint=line[1])
    assert places(project) == {"best": 3, "nightly": 1, "deployed": 3}
    checkpoint_promote(actor=alice, checkpoint=line[2])
    done = checkpoint_promote(actor=alice, checkpoint=line[1], aliases=True)
    assert (done.left, done.aliases) == (line[2].pk, ["best"])
    assert places(project) == {"best": 2, "nightly": 1, "deployed": 3}
    moved = AuditEntry.objects.filter(verb="alias_set").latest("id")
    assert (moved.actor, moved.detail["before"], moved.detail["number"]) == (alice, 3, 2)
    assert AuditEntry.objects.filter(verb="checkpoint_promote").latest("id").detail["aliases"] == ["best"]


def test_an_editor_rolls_back_and_leaves_the_names_to_admins(
    bob: User, project: Project, line: list[Checkpoint]
) -> None:
    named(project, "best", line[2])
    with pytest.raises(Forbidden):
        checkpoint_promote(actor=bob, checkpoint=line[1], aliases=True)
    checkpoint_promote(actor=bob, checkpoint=line[1])
    project.refresh_from_db()
    assert (project.current, places(project)) == (line[1], {"best": 3})


def test_the_dialog_s_version_must_still_be_the_current_one(
    alice: User, project: Project, line: list[Checkpoint]
) -> None:
    for was in ("", str(line[0].pk)):
        with pytest.raises(Conflict, match="v3 is current by now") as refused:
            checkpoint_promote(actor=alice, checkpoint=line[1], was=was)
        assert refused.value.code == "conflict.current_moved"
    checkpoint_promote(actor=alice, checkpoint=line[1], was=str(line[2].pk))


@pytest.mark.django_db(transaction=True)
def test_of_two_who_roll_back_at_once_one_is_told(
    alice: User, project: Project, line: list[Checkpoint]
) -> None:
    named(project, "best", line[2])

    def back(target: Checkpoint) -> str:
        try:
            checkpoint_promote(actor=alice, checkpoint=target, was=str(line[2].pk), aliases=True)
        except Conflict as error:
            return error.code
        finally:
            connections.close_all()
        return "done"

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(back, line[:2]))
    assert sorted(told) == ["conflict.current_moved", "done"]
    project.refresh_from_db()
    assert project.current == line[told.index("done")]
    assert places(project) == {"best": project.current.number}


def test_undo_takes_back_the_pointer_the_names_and_the_standing(alice: User, project: Project) -> None:
    current = rows.checkpoint(project)
    candidate = kept(project)
    named(project, "best", current)
    named(project, "nightly", candidate)  # was there before, so it stays there
    fields = {"was": str(current.pk), "aliases": "best"}
    undo(logged_in(alice), reverse("checkpoint_promote", args=[candidate.pk]), **fields)
    project.refresh_from_db()
    candidate.refresh_from_db()
    assert (project.current, candidate.standing) == (current, Standing.CANDIDATE)
    assert places(project) == {"best": 1, "nightly": 2}


def test_what_the_line_went_on_from_stays_promoted(alice: User, project: Project) -> None:
    first = rows.checkpoint(project)
    branch = kept(project, "improved", BASE_MOVED)
    checkpoint_promote(actor=alice, checkpoint=branch)
    branch.refresh_from_db()
    assert branch.standing == Standing.PROMOTED
    project.refresh_from_db()
    rows.checkpoint(project)
    checkpoint_promote(actor=alice, checkpoint=branch)
    checkpoint_promote(actor=alice, checkpoint=first)
    branch.refresh_from_db()
    assert branch.standing == Standing.PROMOTED


def test_the_plan_names_all_that_changes(project: Project, line: list[Checkpoint]) -> None:
    best, deployed = named(project, "best", line[2]), named(project, "deployed", line[2], follows=False)
    elsewhere = named(project, "old", line[0])
    waits = rows.cycle(project, "wake", "queued")
    works = rows.cycle(project, "sleep", "running", base=line[2])
    scored = rows.cycle(project, "score", "queued", base=line[2])
    plan = promotion_plan(
        line[1], left=line[2], aliases=[best, deployed, elsewhere], unfinished=[waits, works, scored]
    )
    assert (plan.back, plan.doubt, plan.brings, plan.names) == (True, None, True, "best")
    assert (plan.along, plan.stay, plan.begin, plan.beside) == ([best], [deployed], [waits], [works])


def test_a_roll_back_leads_to_the_nearest_ancestor_that_computes(project: Project) -> None:
    first = rows.checkpoint(project)
    rows.checkpoint(project, non_finite=True)
    last = rows.checkpoint(project)
    every = list(Checkpoint.objects.filter(project=project))
    assert before(last, every) == first
    assert before(first, every) is None


def test_the_project_page_offers_the_way_back_with_what_it_changes(
    alice: User, bob: User, vera: User, project: Project, line: list[Checkpoint]
) -> None:
    named(project, "best", line[2])
    rows.cycle(project, "wake", "queued")
    rows.cycle(project, "sleep", "running", base=line[2])
    address = reverse("project_detail", args=[project.pk])
    page = logged_in(alice).get(address).content.decode()
    for text in (
        "Roll back to v2…",
        "Roll back to v2?",
        "v3 → <b>v2</b>",
        'name="aliases" value="best" checked',
        "Wake 1 will begin from v2",
        "Sleep 2 goes on from v3; its result will be a branch",
    ):
        assert text in page, text
    editor = logged_in(bob).get(address).content.decode()
    assert 'name="aliases"' not in editor
    assert "stays at v3; an admin can move it" in editor
    viewer = logged_in(vera).get(address).content.decode()
    assert "Roll back" not in viewer
    assert "aliaschip" in viewer


@pytest.mark.parametrize(
    ("verdict", "reason", "words"),
    [
        ("rejected", BUDGET, "It was rejected:"),
        ("unchanged", "No significant change of the mean score on proof.", "It is unchanged:"),
        ("improved", BASE_MOVED, "It is a branch:"),
    ],
)
def test_what_was_kept_stands_on_every_page_with_its_reason_and_a_way(
    verdict: str, reason: str, words: str, alice: User, project: Project
) -> None:
    current = rows.checkpoint(project)
    named(project, "best", current)
    candidate = kept(project, verdict, reason)
    assert candidate.cycle is not None
    client, said = logged_in(alice), reason.replace("'", "&#x27;")
    for address in (
        reverse("project_detail", args=[project.pk]),
        reverse("checkpoint_detail", args=[candidate.pk]),
        reverse("cycle_detail", args=[candidate.cycle.pk]),
    ):
        page = client.get(address).content.decode()
        assert said in page, address
        assert "Promote v2…" in page, address
        dialog = page[page.index('<dialog class="dialog" id="promote-2"') :]
        dialog = dialog[: dialog.index("</dialog>")]
        for text in (words, said, "Promote all the same?", 'name="aliases" value="best">'):
            assert text in dialog, (address, text)
        assert ("Put it to sleep…" in page or "Put v2 to sleep…" in page) == (reason == BASE_MOVED), address
    client.post(reverse("checkpoint_promote", args=[candidate.pk]), {"was": str(current.pk)})
    project.refresh_from_db()
    assert (project.current, places(project)) == (candidate, {"best": 1})
    after = client.get(reverse("checkpoint_detail", args=[candidate.pk])).content.decode()
    assert "A person promoted it all the same." in after
    assert f"?base={candidate.number}" not in after


def test_programs_roll_back_over_http(
    alice: User, charlie: User, project: Project, line: list[Checkpoint]
) -> None:
    alias_set(actor=alice, project=project, name="best", checkpoint=line[2], follows=True)
    address, kind = f"/api/checkpoints/{line[1].pk}/promote", "application/json"
    late = logged_in(alice).post(address, {"was": str(line[0].pk)}, content_type=kind)
    assert (late.status_code, late.json()["code"]) == (409, "conflict.current_moved")
    body = {"was": str(line[2].pk), "aliases": True}
    done = logged_in(alice).post(address, body, content_type=kind).json()
    assert done == {
        "current": {"id": str(line[1].pk), "number": 2}, "before": str(line[2].pk), "aliases": ["best"],
    }  # fmt: skip
    assert logged_in(alice).post(address, {}, content_type=kind).json()["code"] == "checkpoint.current"
    assert logged_in(charlie).post(address, {}, content_type=kind).status_code == 404


def test_a_branch_is_chosen_on_the_new_sleep_page(alice: User, project: Project) -> None:
    rows.checkpoint(project)
    branch = kept(project, "improved", BASE_MOVED)
    page = logged_in(alice).get(reverse("cycle_create", args=[project.pk]) + f"?base={branch.number}")
    assert f'<option value="{branch.number}" selected>' in page.content.decode()
