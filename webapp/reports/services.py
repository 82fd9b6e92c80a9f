"""Links to a report: made by an editor, read by whoever has them, ended by time or by hand."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core import audit
from webapp.core.errors import Conflict, InvalidInput, NotFound
from webapp.cycles.choices import TERMINAL
from webapp.reports.models import ReportShare

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from webapp.accounts.models import User
    from webapp.cycles.models import Cycle

DAYS: Final = (1, 7, 30, 90)
MOST_LINKS: Final = 20


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@transaction.atomic
def report_share_create(*, actor: User, cycle: Cycle, days: int) -> tuple[ReportShare, str]:
    """A link to the report of a cycle that ended; the token is returned once and never stored.

    Raises:
        Forbidden: the actor is no editor.
        Conflict: the cycle has not ended, or has MOST_LINKS links that work.
        InvalidInput: `days` is none of DAYS.
    """
    workspace = cycle.project.workspace
    require_role(actor, workspace, Role.EDITOR)
    if days not in DAYS:
        raise InvalidInput("report.days", _("A link lasts 1, 7, 30 or 90 days. Choose one of these."))
    if cycle.state not in TERMINAL:
        raise Conflict("report.running", _("The cycle has not ended. Share its report when it has."))
    if working(cycle).count() >= MOST_LINKS:
        raise Conflict("report.too_many", _("This report has 20 links that work. Revoke one of them first."))
    token = secrets.token_urlsafe(32)
    share = ReportShare.objects.create(
        cycle=cycle,
        token_hash=_hash(token),
        created_by=actor,
        expires_at=timezone.now() + timedelta(days=days),
    )
    audit.record(workspace=workspace, actor=actor, verb="report_share_create", target=share, days=days)
    return share, token


@transaction.atomic
def report_share_revoke(*, actor: User, share: ReportShare) -> None:
    """End a link now; ending it again changes nothing.

    Raises:
        Forbidden: the actor is no editor.
    """
    workspace = share.cycle.project.workspace
    require_role(actor, workspace, Role.EDITOR)
    if ReportShare.objects.filter(pk=share.pk, revoked_at=None).update(revoked_at=Now()):
        audit.record(workspace=workspace, actor=actor, verb="report_share_revoke", target=share)


def report_share_open(*, token: str) -> Cycle:
    """The cycle behind a link, and a tally that it was opened.

    Raises:
        NotFound: no such link, or it expired, or it was revoked; one answer for all three.
    """
    share = (
        ReportShare.objects.select_related("cycle")
        .filter(token_hash=_hash(token), revoked_at=None, expires_at__gt=Now())
        .first()
    )
    if share is None:
        raise NotFound(_("This link does not work any more, or never did. Ask its sender for a new one."))
    ReportShare.objects.filter(pk=share.pk).update(opened=F("opened") + 1, opened_at=Now())
    return share.cycle


def working(cycle: Cycle) -> QuerySet[ReportShare]:
    """The cycle's links that can be opened now, newest first."""
    rows = ReportShare.objects.filter(cycle=cycle, revoked_at=None, expires_at__gt=Now())
    return rows.select_related("created_by").order_by("-created_at")
