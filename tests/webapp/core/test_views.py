"""Tonight, the health check, and how errors look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django.fixtures import DjangoAssertNumQueries  # noqa: TC002  (a fixture's type)

from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.core.views import server_error
from webapp.projects.models import Project

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace


def test_an_empty_house_offers_the_demo_and_the_upload(alice: User) -> None:
    page = logged_in(alice).get("/").content.decode()
    assert "Nothing has slept yet." in page
    assert reverse("demo_start") in page
    assert f"{reverse('project_create')}?then=upload" in page


def test_a_viewer_of_an_empty_house_is_offered_nothing(vera: User) -> None:
    page = logged_in(vera).get("/").content.decode()
    assert "Nothing has slept yet." in page
    assert reverse("demo_start") not in page


def test_it_shows_what_runs_what_comes_and_what_was_proven(alice: User, project: Project) -> None:
    rows.night(project)
    rows.schedule(project, "Weeknights")
    rows.cycle(project, "sleep", "running", stage="NREM replay", step=1240, total_steps=2000, progress=0.62)
    rows.worker("gpu-2")
    page = logged_in(alice).get("/").content.decode()
    for text in (
        "NREM replay",
        "1,240",
        "2,000",
        "Improved",
        "0.900",
        "+0.200",
        "−30.0 %",
        "Weeknights",
        "gpu-2",
    ):
        assert text in page, text
    assert "Nothing has slept yet." not in page


def test_strangers_see_nothing_of_it(charlie: User, project: Project) -> None:
    rows.night(project)
    rows.cycle(project, "sleep", "running")
    page = logged_in(charlie).get("/").content.decode()
    assert "support-bot" not in page


def test_the_number_of_queries_does_not_grow(
    alice: User, workspace: Workspace, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client, counts = logged_in(alice), []
    for wanted in (3, 30):
        while Project.objects.count() < wanted:
            made = rows.project_of(workspace, f"project {Project.objects.count()}")
            rows.night(made)
            rows.schedule(made)
            rows.cycle(made, "sleep", "running")
            rows.worker(f"worker {made.name}")
        with django_assert_max_num_queries(15) as queries:
            assert client.get("/").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_health_check_needs_no_login(db: None) -> None:
    assert Client().get("/healthz").json() == {"ok": True}


def test_a_page_that_is_not_there_says_so(alice: User) -> None:
    answer = logged_in(alice).get("/nowhere/")
    assert answer.status_code == 404
    assert "not_found" in answer.content.decode()


def test_programs_get_the_same_as_json(alice: User) -> None:
    answer = logged_in(alice).get("/nowhere/", headers={"accept": "application/json"})
    assert answer.json()["code"] == "not_found"


def test_a_form_without_its_secret_is_refused_with_a_sentence(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    answer = client.post(reverse("project_create"), {"name": "x"})
    assert answer.status_code == 403
    assert "request.csrf" in answer.content.decode()
    assert not Project.objects.exists()


def test_the_page_for_our_own_faults_asks_no_database(rf: RequestFactory) -> None:
    """No database fixture here: a query would fail this test."""

    answer = server_error(rf.get("/"))
    assert answer.status_code == 500
    assert "server.error" in answer.content.decode()


@pytest.mark.parametrize(("cookie", "shown"), [("dark", True), ("light", True), ('"><script>', False)])
def test_the_theme_comes_with_the_page(alice: User, cookie: str, shown: bool) -> None:
    client = logged_in(alice)
    client.cookies["nocturne-theme"] = cookie
    page = client.get("/").content.decode()
    assert (f'data-theme="{cookie}"' in page) is shown
    assert "<script>" not in page


def test_the_policy_allows_nothing_inline(alice: User) -> None:
    policy = logged_in(alice).get("/")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
