"""The named people of the tests: alice owns, bob edits, vera looks on, charlie is a stranger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client

from webapp.accounts.choices import Role
from webapp.accounts.models import Membership, User, Workspace
from webapp.projects.services import project_create, task_create

if TYPE_CHECKING:
    from webapp.projects.models import Project


def member(workspace: Workspace, email: str, role: Role) -> User:
    """A person with a role in the workspace."""
    user = User.objects.create_user(email, "correct horse battery")
    Membership.objects.create(workspace=workspace, user=user, role=role)
    return user


@pytest.fixture
def workspace(db: None) -> Workspace:
    return Workspace.objects.create(name="Lab", quota_bytes=10**9)


@pytest.fixture
def alice(workspace: Workspace) -> User:
    return member(workspace, "alice@example.org", Role.OWNER)


@pytest.fixture
def bob(workspace: Workspace) -> User:
    return member(workspace, "bob@example.org", Role.EDITOR)


@pytest.fixture
def vera(workspace: Workspace) -> User:
    return member(workspace, "vera@example.org", Role.VIEWER)


@pytest.fixture
def charlie(db: None) -> User:
    elsewhere = Workspace.objects.create(name="Elsewhere", quota_bytes=10**9)
    return member(elsewhere, "charlie@example.org", Role.OWNER)


@pytest.fixture
def project(alice: User, workspace: Workspace) -> Project:
    made = project_create(actor=alice, workspace=workspace, name="support-bot")
    task_create(actor=alice, project=made, name="returns")
    return made


def logged_in(user: User) -> Client:
    """A browser in which the person is logged in."""
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client
