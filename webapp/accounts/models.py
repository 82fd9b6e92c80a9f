"""People, workspaces, who belongs where, and the one-time links that let somebody in."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models.functions import Lower

from webapp.accounts.choices import Role
from webapp.core.models import Row
from webapp.core.visibility import VisibleQuerySet


class UserManager(BaseUserManager["User"]):
    """Makes people from an e-mail address."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """A person who logs in with an e-mail address; no password means that they cannot log in yet."""
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save(using=self._db)
        return user


class User(AbstractBaseUser, PermissionsMixin):
    """A person. The e-mail address is the login name."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120, blank=True)
    timezone = models.CharField(max_length=64, default="UTC")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = (models.UniqueConstraint(Lower("email"), name="user_email_unique_any_case"),)

    def __str__(self) -> str:
        return self.email


class WorkspaceQuerySet(VisibleQuerySet["Workspace"]):
    """A workspace is its own owner."""

    def visible_to(self, user: Any) -> WorkspaceQuerySet:
        """The workspaces that the person belongs to."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(memberships__user=user)


class Workspace(Row):
    """A team: everything that can be seen belongs to exactly one."""

    name = models.CharField(max_length=120)
    quota_bytes = models.BigIntegerField()

    objects = WorkspaceQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class Membership(Row):
    """One person in one workspace, with one role."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=8, choices=Role.choices)

    objects = VisibleQuerySet["Membership"].as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["workspace", "user"], name="membership_once"),)

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class Invitation(Row):
    """A one-time link into a workspace; without a workspace, the link that makes the first owner.

    Only the SHA-256 of the token is kept.
    """

    workspace = models.ForeignKey(Workspace, null=True, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=8, choices=Role.choices)
    token_hash = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    objects = VisibleQuerySet["Invitation"].as_manager()

    def __str__(self) -> str:
        return f"invitation as {self.role}"
