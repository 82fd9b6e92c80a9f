"""Who the person is here: their workspace and their role in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webapp.accounts.choices import Role
from webapp.accounts.models import Membership, User, Workspace
from webapp.core.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser


def workspace_of(user: User | AnonymousUser) -> Workspace:
    """The workspace that the person works in: the first one that they joined.

    Raises:
        NotFound: they belong to none.
    """
    membership = (
        Membership.objects.filter(user=user).select_related("workspace").order_by("created_at", "id").first()
        if user.is_authenticated
        else None
    )
    if membership is None:
        raise NotFound("You belong to no workspace. Ask an owner for an invitation link.")
    return membership.workspace


def role_in(user: User | AnonymousUser, workspace: Workspace) -> Role | None:
    """The person's role in the workspace; None for a stranger."""
    if not user.is_authenticated:
        return None
    role = Membership.objects.filter(user=user, workspace=workspace).values_list("role", flat=True).first()
    return Role(role) if role else None


def has_role(user: User | AnonymousUser, workspace: Workspace, needed: Role) -> bool:
    """Whether the person's role is at least `needed`."""
    role = role_in(user, workspace)
    return role is not None and role.rank >= needed.rank


def require_role(user: User | AnonymousUser, workspace: Workspace, needed: Role) -> Membership:
    """The person's membership, when its role is at least `needed`.

    Raises:
        NotFound: a stranger, to whom the workspace does not exist.
        Forbidden: a member whose role is too small.
    """
    membership = (
        Membership.objects.filter(user=user, workspace=workspace).first() if user.is_authenticated else None
    )
    if membership is None:
        raise NotFound
    if Role(membership.role).rank < needed.rank:
        raise Forbidden(
            f"This needs the role {needed.label.lower()}; yours is {membership.get_role_display().lower()}. "
            "Ask an owner of the workspace to change it."
        )
    return membership
