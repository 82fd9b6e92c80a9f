"""How people come in, and what roles protect."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from webapp.accounts.choices import Role
from webapp.accounts.models import Invitation, Membership, User, Workspace
from webapp.accounts.selectors import has_role, require_role, role_in, workspace_of
from webapp.accounts.services import (
    invitation_accept,
    invitation_create,
    invitation_find,
    membership_change,
    membership_remove,
    owner_link_create,
)
from webapp.core.errors import Conflict, Forbidden, InvalidInput, NocturneError, NotFound
from webapp.core.models import AuditEntry

PASSWORD = "correct horse battery"


def token_of(link: str | None) -> str:
    assert link is not None
    return link.rstrip("/").rsplit("/", 1)[1]


@pytest.mark.django_db
def test_the_first_link_makes_an_owner_with_a_workspace_and_works_once() -> None:
    link = owner_link_create(base_url="http://127.0.0.1:8000")
    token = token_of(link)
    owner = invitation_accept(token=token, email="Ana@Example.org", name="Ana", password=PASSWORD)
    assert owner.email == "ana@example.org"
    assert owner.check_password(PASSWORD)
    assert role_in(owner, workspace_of(owner)) == Role.OWNER
    with pytest.raises(NotFound):
        invitation_accept(token=token, email="eve@example.org", name="Eve", password=PASSWORD)
    assert owner_link_create(base_url="http://127.0.0.1:8000") is None
    assert not Invitation.objects.filter(token_hash=token).exists(), "only the hash may be stored"


@pytest.mark.django_db
def test_a_second_owner_link_ends_the_first() -> None:
    first = token_of(owner_link_create(base_url="http://x"))
    second = token_of(owner_link_create(base_url="http://x"))
    with pytest.raises(NotFound):
        invitation_find(token=first)
    assert invitation_find(token=second).role == Role.OWNER


@pytest.mark.django_db(transaction=True)
def test_many_browsers_on_the_first_link_make_one_owner() -> None:
    token = token_of(owner_link_create(base_url="http://x"))

    def enter(number: int) -> bool:
        try:
            invitation_accept(token=token, email=f"p{number}@example.org", name="P", password=PASSWORD)
        except NocturneError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(enter, range(4))) == 1
    assert Workspace.objects.count() == User.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("email", "password", "code"),
    [
        ("ana@example.org", "short", "account.password"),
        ("ana@example.org", "ana@example.org", "account.password"),
        ("not an address", PASSWORD, "account.email"),
    ],
)
def test_bad_details_keep_the_link_usable(email: str, password: str, code: str) -> None:
    token = token_of(owner_link_create(base_url="http://x"))
    with pytest.raises(InvalidInput) as refused:
        invitation_accept(token=token, email=email, name="Ana", password=password)
    assert refused.value.code == code
    assert User.objects.count() == 0
    assert invitation_find(token=token)


def test_an_old_invitation_is_refused(alice: User, workspace: Workspace) -> None:
    invitation, token = invitation_create(actor=alice, workspace=workspace, role=Role.EDITOR)
    Invitation.objects.filter(pk=invitation.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(NotFound):
        invitation_accept(token=token, email="dan@example.org", name="Dan", password=PASSWORD)


def test_an_invitation_gives_the_role_that_it_names(alice: User, workspace: Workspace) -> None:
    _, token = invitation_create(actor=alice, workspace=workspace, role=Role.VIEWER)
    dan = invitation_accept(token=token, email="dan@example.org", name="Dan", password=PASSWORD)
    assert role_in(dan, workspace) == Role.VIEWER
    with pytest.raises(Conflict):
        _, again = invitation_create(actor=alice, workspace=workspace, role=Role.OWNER)
        invitation_accept(token=again, email="DAN@example.org", name="Dan", password=PASSWORD)


def test_only_admins_invite_and_only_owners_invite_owners(
    alice: User, bob: User, charlie: User, workspace: Workspace
) -> None:
    with pytest.raises(Forbidden):
        invitation_create(actor=bob, workspace=workspace, role=Role.VIEWER)
    with pytest.raises(NotFound):
        invitation_create(actor=charlie, workspace=workspace, role=Role.VIEWER)
    membership_change(actor=alice, membership=Membership.objects.get(user=bob), role=Role.ADMIN)
    with pytest.raises(Forbidden):
        invitation_create(actor=bob, workspace=workspace, role=Role.OWNER)


def test_the_last_owner_stays(alice: User, bob: User, workspace: Workspace) -> None:
    mine = Membership.objects.get(user=alice)
    with pytest.raises(Conflict) as refused:
        membership_change(actor=alice, membership=mine, role=Role.VIEWER)
    assert refused.value.code == "membership.last_owner"
    with pytest.raises(Conflict):
        membership_remove(actor=alice, membership=mine)
    membership_change(actor=alice, membership=Membership.objects.get(user=bob), role=Role.OWNER)
    membership_change(actor=alice, membership=mine, role=Role.VIEWER)
    assert role_in(alice, workspace) == Role.VIEWER


def test_an_admin_cannot_touch_an_owner(alice: User, bob: User, workspace: Workspace) -> None:
    membership_change(actor=alice, membership=Membership.objects.get(user=bob), role=Role.ADMIN)
    with pytest.raises(Forbidden):
        membership_remove(actor=bob, membership=Membership.objects.get(user=alice))
    with pytest.raises(Forbidden):
        membership_change(actor=bob, membership=Membership.objects.get(user=bob), role=Role.OWNER)


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_demote_each_other_leave_one_owner(
    alice: User, bob: User, workspace: Workspace
) -> None:
    Membership.objects.filter(user=bob).update(role=Role.OWNER)

    def demote(pair: tuple[User, User]) -> str:
        try:
            membership_change(
                actor=pair[0], membership=Membership.objects.get(user=pair[1]), role=Role.VIEWER
            )
        except NocturneError as error:
            return error.code
        finally:
            connection.close()
        return "done"

    for _ in range(5):
        Membership.objects.filter(workspace=workspace).update(role=Role.OWNER)
        with ThreadPoolExecutor(2) as pool:
            said = sorted(pool.map(demote, [(alice, bob), (bob, alice)]))
        assert said == ["done", "role.missing"]


def test_links_end_with_the_rights_that_they_were_made_with(
    alice: User, bob: User, workspace: Workspace
) -> None:
    theirs = Membership.objects.get(user=bob)
    membership_change(actor=alice, membership=theirs, role=Role.ADMIN)
    _, as_admin = invitation_create(actor=bob, workspace=workspace, role=Role.ADMIN)
    membership_remove(actor=alice, membership=theirs)
    with pytest.raises(NotFound):
        invitation_find(token=as_admin)


@pytest.mark.parametrize(("email", "name"), [("a\0@example.org", "Ana"), ("ana@example.org", "A\0na")])
@pytest.mark.django_db
def test_characters_that_cannot_be_shown_are_refused(email: str, name: str) -> None:
    token = token_of(owner_link_create(base_url="http://x"))
    with pytest.raises(InvalidInput):
        invitation_accept(token=token, email=email, name=name, password=PASSWORD)


def test_roles_include_the_ones_before(alice: User, vera: User, charlie: User, workspace: Workspace) -> None:
    assert has_role(alice, workspace, Role.VIEWER)
    assert has_role(vera, workspace, Role.VIEWER)
    assert not has_role(vera, workspace, Role.EDITOR)
    with pytest.raises(Forbidden):
        require_role(vera, workspace, Role.EDITOR)
    with pytest.raises(NotFound):
        require_role(charlie, workspace, Role.VIEWER)


def test_every_change_leaves_an_audit_row(alice: User, bob: User, workspace: Workspace) -> None:
    membership_change(actor=alice, membership=Membership.objects.get(user=bob), role=Role.ADMIN)
    membership_remove(actor=alice, membership=Membership.objects.get(user=bob))
    verbs = list(AuditEntry.objects.visible_to(alice).values_list("verb", flat=True))
    assert verbs == ["membership_change", "membership_remove"]
    assert not Membership.objects.filter(user=bob).exists()


@pytest.mark.django_db
def test_the_owner_link_command_prints_it_again_until_there_is_an_owner(
    capsys: pytest.CaptureFixture[str],
) -> None:
    call_command("owner_link")
    token = token_of(capsys.readouterr().out.strip())
    invitation_accept(token=token, email="ana@example.org", name="Ana", password=PASSWORD)
    with pytest.raises(CommandError, match="has an owner"):
        call_command("owner_link")
