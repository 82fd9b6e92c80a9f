"""What a person may do in a workspace, for pages that show a button or leave it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from webapp.accounts.choices import Role
from webapp.accounts.models import Membership, Workspace

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from webapp.accounts.models import User


@dataclass(frozen=True)
class Abilities:
    """The role of one person in one workspace; `role` and `workspace` are None for somebody without any.

    Pages use it to leave out what a service would refuse. The services check again.
    """

    workspace: Workspace | None
    role: Role | None

    @property
    def rank(self) -> int:
        return -1 if self.role is None else self.role.rank

    @property
    def can_edit(self) -> bool:
        """Upload, import, start and cancel cycles."""
        return self.rank >= Role.EDITOR.rank

    @property
    def can_admin(self) -> bool:
        """Schedules, aliases, members, deletion."""
        return self.rank >= Role.ADMIN.rank

    @property
    def is_owner(self) -> bool:
        return self.role == Role.OWNER


def abilities_of(user: User | AnonymousUser, workspace: Workspace | None = None) -> Abilities:
    """The person's abilities in `workspace`, or in the one that they joined first. One query."""
    if not user.is_authenticated:
        return Abilities(None, None)
    rows = Membership.objects.filter(user=user).select_related("workspace").order_by("created_at", "id")
    if workspace is not None:
        rows = rows.filter(workspace=workspace)
    membership = rows.first()
    if membership is None:
        return Abilities(None, None)
    return Abilities(membership.workspace, Role(membership.role))


def home_workspace() -> Workspace | None:
    """The installation's oldest workspace: the one that the first owner's link made."""
    return Workspace.objects.order_by("created_at", "id").first()


def operated_by(user: User | AnonymousUser) -> Workspace | None:
    """The workspace in whose name the person may act on what serves all of them (the workers); None: they may
    not. Until an installation has an admin, that is for the owners of its oldest workspace. One query.
    """
    if not user.is_authenticated:
        return None
    oldest = Workspace.objects.order_by("created_at", "id").values("pk")[:1]
    mine = Membership.objects.filter(user=user, role=Role.OWNER, workspace=oldest)
    found = mine.select_related("workspace").first()
    return found.workspace if found else None
