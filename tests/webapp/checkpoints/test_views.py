"""The checkpoint page, and the way forward and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import reverse
from pytest_django.fixtures import DjangoAssertNumQueries  # noqa: TC002  (a fixture's type)

from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.checkpoints.models import Checkpoint
from webapp.core.models import AuditEntry

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project


def address(checkpoint: Checkpoint, name: str = "checkpoint_detail") -> str:
    return reverse(name, kwargs={"checkpoint_id": checkpoint.pk})


def test_it_shows_scores_lineage_tensors_and_the_file(vera: User, project: Project) -> None:
    rested = rows.night(project)
    page = logged_in(vera).get(address(rested)).content.decode()
    for text in ("0.900", "+0.400", "net.0.weight", "100 × 64", "6,400", rested.sha256, "64 → 100 → 10"):
        assert text in page, text
    assert address(rested, "checkpoint_download") in page
    assert rested.parent is not None
    assert address(rested.parent) in page


def test_rolling_back_is_one_post_and_leaves_a_trace(bob: User, project: Project) -> None:
    rested = rows.night(project)
    before = rested.parent
    assert before is not None
    answer = logged_in(bob).post(address(before, "checkpoint_promote"))
    assert answer["Location"] == reverse("project_detail", kwargs={"project_id": project.pk})
    project.refresh_from_db()
    assert project.current_id == before.pk
    entry = AuditEntry.objects.get(verb="checkpoint_promote")
    assert (entry.actor, entry.object_id, entry.detail["before"]) == (bob, before.pk, str(rested.pk))


def test_a_candidate_becomes_promoted(bob: User, project: Project) -> None:
    current = rows.checkpoint(project)
    candidate = rows.checkpoint(project, "sleep", standing="candidate")
    project.current = current
    project.save()
    logged_in(bob).post(address(candidate, "checkpoint_promote"))
    candidate.refresh_from_db()
    project.refresh_from_db()
    assert (candidate.standing, project.current_id) == ("promoted", candidate.pk)


def test_broken_weights_cannot_become_current(bob: User, project: Project) -> None:
    broken = rows.checkpoint(project, non_finite=True)
    fine = rows.checkpoint(project)
    logged_in(bob).post(address(broken, "checkpoint_promote"))
    project.refresh_from_db()
    assert project.current_id == fine.pk
    assert "weights.non_finite" in logged_in(bob).get(address(broken)).content.decode()


def test_the_current_one_offers_no_button_and_refuses_the_post(bob: User, project: Project) -> None:
    current = rows.checkpoint(project)
    client = logged_in(bob)
    assert address(current, "checkpoint_promote") not in client.get(address(current)).content.decode()
    client.post(address(current, "checkpoint_promote"))
    assert not AuditEntry.objects.filter(verb="checkpoint_promote").exists()


def test_a_viewer_may_look_but_not_promote(vera: User, project: Project) -> None:
    old = rows.checkpoint(project)
    rows.checkpoint(project)
    client = logged_in(vera)
    assert address(old, "checkpoint_promote") not in client.get(address(old)).content.decode()
    answer = client.post(address(old, "checkpoint_promote"))
    assert answer.status_code == 403
    assert "role.missing" in answer.content.decode()


def test_the_page_is_flat_in_rows(
    alice: User, project: Project, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client, counts = logged_in(alice), []
    for wanted in (3, 30):
        while Checkpoint.objects.count() < wanted:
            last = rows.night(project)
        with django_assert_max_num_queries(15) as queries:
            assert client.get(address(last)).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
