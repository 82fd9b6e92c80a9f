"""Whose objects are whose: every queryset that serves a person starts at `visible_to(user)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from django.db import models

from webapp.core.errors import NotFound

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from webapp.accounts.models import User

M = TypeVar("M", bound=models.Model)


class VisibleQuerySet(models.QuerySet[M]):
    """A queryset that knows the path from its model to the workspace that owns the row."""

    workspace_path: ClassVar[str] = "workspace"

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """The rows of the workspaces that the person belongs to; nothing without a login."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(**{f"{self.workspace_path}__memberships__user": user})

    def get_visible(self, user: User | AnonymousUser, **lookup: Any) -> M:
        """One row, or the same NotFound for "missing" and "somebody else's"."""
        row = self.visible_to(user).filter(**lookup).first()
        if row is None:
            raise NotFound
        return row


class VisibleThroughProject(VisibleQuerySet[M]):
    """Rows that belong to a project."""

    workspace_path = "project__workspace"


class VisibleThroughCycle(VisibleQuerySet[M]):
    """Rows that belong to a cycle."""

    workspace_path = "cycle__project__workspace"
