"""Letting people in: the first owner's link, invitations, and changes of role."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from webapp.accounts.choices import Role
from webapp.accounts.models import Invitation, Membership, User, Workspace
from webapp.accounts.selectors import require_role
from webapp.core import audit
from webapp.core.errors import Conflict, Forbidden, InvalidInput, NotFound

OWNER_LINK_DAYS = 7
INVITATION_DAYS = 7
_FIRST_OWNER_LOCK = 0x6E6F6374  # "noct": one first owner, however many processes ask


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _new_invitation(
    *, workspace: Workspace | None, role: Role, actor: User | None, days: int
) -> tuple[Invitation, str]:
    token = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        workspace=workspace,
        role=role,
        token_hash=_hash(token),
        created_by=actor,
        expires_at=timezone.now() + timedelta(days=days),
    )
    return invitation, token


def owner_exists() -> bool:
    """Whether somebody owns this installation already."""
    return Membership.objects.filter(role=Role.OWNER).exists()


@transaction.atomic
def owner_link_create(*, base_url: str) -> str | None:
    """A fresh one-time link that makes the first owner; None when there is one. Older such links end."""
    if owner_exists():
        return None
    Invitation.objects.filter(workspace=None, used_at=None).delete()
    _, token = _new_invitation(workspace=None, role=Role.OWNER, actor=None, days=OWNER_LINK_DAYS)
    return f"{base_url.rstrip('/')}/welcome/{token}/"


def invitation_find(*, token: str) -> Invitation:
    """The unused, unexpired invitation behind a link.

    Raises:
        NotFound: no such link, or it was used, or it is too old; one answer for all three.
    """
    invitation = (
        Invitation.objects.select_related("workspace")
        .filter(token_hash=_hash(token), used_at=None, expires_at__gt=timezone.now())
        .first()
    )
    if invitation is None or (invitation.workspace is None and owner_exists()):
        raise NotFound(
            "This link was used already, or it is too old. Log in if you have an account; otherwise ask for "
            "a new link (the owner of this machine gets one with `python manage.py owner_link`)."
        )
    return invitation


@transaction.atomic
def invitation_create(*, actor: User, workspace: Workspace, role: Role) -> tuple[Invitation, str]:
    """A one-time link into the workspace; the token is returned once and never stored.

    Raises:
        Forbidden: the actor is no admin, or invites above their own role.
    """
    membership = require_role(actor, workspace, Role.ADMIN)
    if role.rank > Role(membership.role).rank:
        raise Forbidden("Only an owner can invite an owner.")
    invitation, token = _new_invitation(workspace=workspace, role=role, actor=actor, days=INVITATION_DAYS)
    audit.record(
        workspace=workspace, actor=actor, verb="invitation_create", target=invitation, role=str(role)
    )
    return invitation, token


def _fields(error: ValidationError) -> str:
    return " ".join(error.messages)


def _person(*, email: str, name: str, password: str) -> User:
    if not (email.isprintable() and name.isprintable()):
        raise InvalidInput("account.email", "The address or the name has characters that cannot be shown.")
    user = User(email=User.objects.normalize_email(email).lower(), name=name.strip())
    if User.objects.filter(email__iexact=user.email).exists():
        raise Conflict("account.exists", "This e-mail address has an account already. Log in instead.")
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidInput("account.password", _fields(error)) from error
    user.set_password(password)
    try:
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        raise InvalidInput("account.email", _fields(error)) from error
    user.save()
    return user


@transaction.atomic
def invitation_accept(*, token: str, email: str, name: str, password: str) -> User:
    """Make the person and their membership; the first owner's link also makes the workspace.

    Raises:
        NotFound: the link cannot be used (any more).
        Conflict: the address has an account.
        InvalidInput: the address or the password is not acceptable.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_FIRST_OWNER_LOCK])
    invitation = invitation_find(token=token)
    user = _person(email=email, name=name, password=password)
    workspace = invitation.workspace or Workspace.objects.create(
        name=f"{name.strip() or email.split('@')[0]}'s workspace"[:120],
        quota_bytes=settings.WORKSPACE_QUOTA_BYTES,
    )
    membership = Membership.objects.create(workspace=workspace, user=user, role=invitation.role)
    invitation.used_at = timezone.now()
    invitation.save(update_fields=["used_at"])
    audit.record(
        workspace=workspace, actor=user, verb="invitation_accept", target=membership, role=invitation.role
    )
    return user


def _lock(workspace: Workspace) -> None:
    """Changes of roles come one after the other, so that two owners cannot demote each other at once."""
    Workspace.objects.select_for_update().get(pk=workspace.pk)


def _is_last_owner(membership: Membership) -> bool:
    owners = Membership.objects.filter(workspace=membership.workspace, role=Role.OWNER)
    return membership.role == Role.OWNER and not owners.exclude(pk=membership.pk).exists()


def _end_invitations(membership: Membership, *, above: Role | None) -> None:
    """The unused links that the person made end with the rights they were made with."""
    unused = Invitation.objects.filter(
        workspace=membership.workspace, created_by=membership.user, used_at=None
    )
    if above is not None:
        may = above.rank if above.rank >= Role.ADMIN.rank else -1
        unused = unused.filter(role__in=[role for role in Role if role.rank > may])
    unused.delete()


def _guard_change(*, actor: User, membership: Membership) -> None:
    mine = require_role(actor, membership.workspace, Role.ADMIN)
    if membership.role == Role.OWNER and mine.role != Role.OWNER:
        raise Forbidden("Only an owner can change an owner.")
    if _is_last_owner(membership):
        raise Conflict("membership.last_owner", "This is the last owner. Make somebody else an owner first.")


@transaction.atomic
def membership_change(*, actor: User, membership: Membership, role: Role) -> Membership:
    """Give a member another role; the last owner stays one."""
    _lock(membership.workspace)
    membership.refresh_from_db(fields=["role"])
    if role == Role.OWNER:
        require_role(actor, membership.workspace, Role.OWNER)
    if role != membership.role:
        _guard_change(actor=actor, membership=membership)
        membership.role = role
        membership.save(update_fields=["role"])
        _end_invitations(membership, above=role)
        audit.record(
            workspace=membership.workspace,
            actor=actor,
            verb="membership_change",
            target=membership,
            role=str(role),
        )
    return membership


@transaction.atomic
def membership_remove(*, actor: User, membership: Membership) -> None:
    """Take a member out of the workspace, with the links that they made; the last owner stays."""
    _lock(membership.workspace)
    membership.refresh_from_db(fields=["role"])
    _guard_change(actor=actor, membership=membership)
    audit.record(
        workspace=membership.workspace,
        actor=actor,
        verb="membership_remove",
        target=membership,
        user=str(membership.user_id),
    )
    _end_invitations(membership, above=None)
    membership.delete()
