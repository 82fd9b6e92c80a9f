"""The fleet page: who works, and nothing of other people's work."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries  # noqa: TC002  (a fixture's type)

from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.fleet.models import Worker

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project


def look(user: User) -> str:
    return logged_in(user).get(reverse("fleet")).content.decode()


def test_without_a_worker_it_gives_the_command(alice: User) -> None:
    page = look(alice)
    assert "No worker. Start one:" in page
    assert "nocturne worker" in page


def test_alive_silent_and_stopped_are_told_apart(alice: User) -> None:
    rows.worker("fresh")
    rows.worker("silent", silent=timedelta(minutes=2))
    Worker.objects.filter(pk=rows.worker("gone").pk).update(stopped_at=timezone.now())
    page = look(alice)
    for badge in ("badge--alive", "badge--late", "badge--stopped"):
        assert page.count(badge) == 1, badge


def test_what_a_worker_runs_is_shown_to_its_workspace_only(
    alice: User, charlie: User, project: Project
) -> None:
    rows.cycle(project, "sleep", "running", worker=rows.worker("gpu-2"))
    assert "support-bot" in look(alice)
    assert "gpu-2" in look(charlie)
    assert "support-bot" not in look(charlie)


def test_it_is_flat_in_rows(alice: User, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    client, counts = logged_in(alice), []
    for wanted in (3, 30):
        while Worker.objects.count() < wanted:
            rows.worker(f"worker {Worker.objects.count()}")
        with django_assert_max_num_queries(15) as queries:
            assert client.get(reverse("fleet")).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
