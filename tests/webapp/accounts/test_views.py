"""The doors and the settings."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import DjangoAssertNumQueries  # noqa: TC002  (a fixture's type)

from tests.support.jobs import Lab, worker
from tests.webapp.conftest import logged_in, member
from webapp.accounts.choices import Role
from webapp.accounts.models import Membership, User, Workspace
from webapp.accounts.services import invitation_create, owner_link_create
from webapp.core import audit
from webapp.core.models import AuditEntry
from webapp.cycles.claim import claim

WHO = {"email": "dan@example.org", "name": "Dan", "password": "a long night's rest", "timezone": "Asia/Tokyo"}


def welcome(token: str) -> str:
    return reverse("owner_welcome", kwargs={"token": token})


def membership_of(user: User) -> Membership:
    return Membership.objects.get(user=user)


def test_the_owner_s_link_makes_the_owner_and_logs_them_in(db: None) -> None:
    link = owner_link_create(base_url="http://testserver")
    assert link is not None
    client = Client()
    assert client.get(link).status_code == 200
    assert client.post(link, WHO)["Location"] == "/"
    assert client.get("/").status_code == 200
    dan = User.objects.get()
    assert (membership_of(dan).role, dan.timezone) == (Role.OWNER, "Asia/Tokyo")
    again = client.get(link)
    assert again.status_code == 404
    assert "used already" in again.content.decode()


def test_an_invitation_says_where_to_and_as_what(alice: User, workspace: Workspace) -> None:
    _row, token = invitation_create(actor=alice, workspace=workspace, role=Role.EDITOR)
    page = Client().get(welcome(token)).content.decode()
    assert "Join Lab" in page
    assert "Editor" in page


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("password", "short", "account.password"),
        ("password", "password123", "account.password"),
        ("email", "nobody", "account.email"),
        ("email", "alice@example.org", "account.exists"),
    ],
)
def test_a_bad_answer_keeps_the_link_good(
    alice: User, workspace: Workspace, field: str, value: str, code: str
) -> None:
    _row, token = invitation_create(actor=alice, workspace=workspace, role=Role.EDITOR)
    answer = Client().post(welcome(token), WHO | {field: value})
    assert answer.status_code in {409, 422}
    assert code in answer.content.decode()
    assert Client().post(welcome(token), WHO).status_code == 302


def test_a_wrong_zone_is_ignored_at_the_door(alice: User, workspace: Workspace) -> None:
    _row, token = invitation_create(actor=alice, workspace=workspace, role=Role.EDITOR)
    Client().post(welcome(token), WHO | {"timezone": "Mars/Olympus"})
    assert User.objects.get(email="dan@example.org").timezone == "UTC"


@pytest.mark.parametrize("name", ["account_login", "account_inactive"])
def test_the_doors_are_ours(db: None, name: str) -> None:
    page = Client().get(reverse(name)).content.decode()
    assert 'class="door card stack"' in page


def test_logging_in_and_out(alice: User) -> None:
    client = Client()
    form = {"login": "alice@example.org", "password": "wrong horse"}
    wrong = client.post(reverse("account_login"), form)
    assert 'role="alert"' in wrong.content.decode()
    assert (
        client.post(reverse("account_login"), form | {"password": "correct horse battery"})["Location"] == "/"
    )
    assert client.post(reverse("account_logout"))["Location"] == reverse("account_login") + "?left"
    assert client.get("/").status_code == 302


def test_the_profile_is_saved(vera: User) -> None:
    logged_in(vera).post(reverse("settings_profile"), {"name": " Vera  V ", "timezone": "Europe/Berlin"})
    vera.refresh_from_db()
    assert (vera.name, vera.timezone) == ("Vera V", "Europe/Berlin")


@pytest.mark.parametrize(("field", "value"), [("timezone", "Mars/Olympus"), ("name", "x" * 121)])
def test_a_bad_profile_is_refused_beside_its_field(vera: User, field: str, value: str) -> None:
    form = {"name": "Vera", "timezone": "UTC"} | {field: value}
    answer = logged_in(vera).post(reverse("settings_profile"), form)
    assert answer.status_code == 422
    assert f"account.{field}" in answer.content.decode()
    vera.refresh_from_db()
    assert (vera.name, vera.timezone) == ("", "UTC")


def test_a_link_is_shown_once_and_lets_somebody_in(alice: User, workspace: Workspace) -> None:
    client = logged_in(alice)
    page = client.post(reverse("invitation_create"), {"role": "viewer"}).content.decode()
    found = re.search(r"/welcome/[\w-]+/", page)
    assert found is not None
    assert found[0] not in client.get(reverse("settings_members")).content.decode()
    Client().post(found[0], WHO)
    assert Membership.objects.get(user__email="dan@example.org").role == Role.VIEWER


def test_editors_neither_invite_nor_see_the_buttons(bob: User) -> None:
    client = logged_in(bob)
    assert reverse("invitation_create") not in client.get(reverse("settings_members")).content.decode()
    assert client.post(reverse("invitation_create"), {"role": "viewer"}).status_code == 403
    assert client.get(reverse("settings_audit")).status_code == 403


def test_roles_are_changed_and_members_removed(alice: User, bob: User, vera: User) -> None:
    client = logged_in(alice)
    target = {"membership_id": membership_of(bob).pk}
    client.post(reverse("membership_change", kwargs=target), {"role": "admin"})
    assert membership_of(bob).role == Role.ADMIN
    client.post(reverse("membership_remove", kwargs={"membership_id": membership_of(vera).pk}))
    assert not Membership.objects.filter(user=vera).exists()


def test_the_last_owner_stays(alice: User) -> None:
    target = {"membership_id": membership_of(alice).pk}
    client = logged_in(alice)
    for answer in (
        client.post(reverse("membership_change", kwargs=target), {"role": "viewer"}),
        client.post(reverse("membership_remove", kwargs=target)),
    ):
        assert answer.status_code == 409
        assert "membership.last_owner" in answer.content.decode()
    assert membership_of(alice).role == Role.OWNER


def test_a_role_that_does_not_exist_is_refused(alice: User, bob: User) -> None:
    target = {"membership_id": membership_of(bob).pk}
    answer = logged_in(alice).post(reverse("membership_change", kwargs=target), {"role": "emperor"})
    assert answer.status_code == 422
    assert membership_of(bob).role == Role.EDITOR


def test_the_pages_are_flat_in_rows(
    alice: User, workspace: Workspace, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = logged_in(alice)
    for page in (reverse("settings_members"), reverse("settings_audit")):
        counts = []
        for wanted in (3, 30):
            while AuditEntry.objects.count() < wanted:
                number = AuditEntry.objects.count()
                somebody = member(workspace, f"m{number}@example.org", Role.VIEWER)
                target = membership_of(somebody)
                audit.record(workspace=workspace, actor=somebody, verb="membership_create", target=target)
            with django_assert_max_num_queries(15) as queries:
                assert client.get(page).status_code == 200
            counts.append(len(queries))
        assert counts[0] == counts[1]
        AuditEntry.objects.all().delete()
        User.objects.exclude(pk=alice.pk).delete()


def test_the_audit_log_shows_what_people_did_and_each_step_when_asked(lab: Lab, client: Client) -> None:
    client.force_login(lab.alice)
    lab.wake()
    assert claim(worker=worker()) is not None
    people = client.get("/settings/audit/").content.decode()
    everything = client.get("/settings/audit/?steps").content.decode()
    assert "cycle_start<" in people
    assert ">record set<" in people
    assert "cycle_starting" not in people
    assert "cycle_starting" in everything
    assert "cycle_start<" in everything


@pytest.fixture
def lab(db: None) -> Lab:
    return Lab.make()
