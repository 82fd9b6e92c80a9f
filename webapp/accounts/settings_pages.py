"""Settings: the person's own, the workspace's members, and the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django.apps import apps
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from webapp.accounts import services
from webapp.accounts.abilities import abilities_of
from webapp.accounts.choices import Role
from webapp.accounts.models import Membership
from webapp.accounts.selectors import require_role, workspace_of
from webapp.core.audit_words import VERBS
from webapp.core.errors import Conflict, InvalidInput, cut
from webapp.core.models import AuditEntry
from webapp.core.undo import done
from webapp.cycles.transitions import OWN_STEPS

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse

    from webapp.core.requests import MemberRequest

AUDIT_SHOWN = 100


def settings(request: MemberRequest) -> HttpResponse:
    """Profile, password, appearance."""
    values = {"name": request.user.name, "timezone": request.user.timezone}
    return _profile_page(request, values, {})


def _profile_page(request: HttpRequest, values: dict[str, str], errors: dict[str, Any]) -> HttpResponse:
    context = {"values": values, "errors": errors, "zones": sorted(available_timezones())}
    return render(request, "accounts/settings.html", context, status=422 if errors else 200)


@require_POST
def settings_profile(request: MemberRequest) -> HttpResponse:
    """Save the name and the time zone."""
    user = request.user
    values = {
        "name": " ".join(request.POST.get("name", "").split()),
        "timezone": request.POST.get("timezone", ""),
    }
    errors: dict[str, Any] = {}
    if values["timezone"] not in available_timezones():
        errors["timezone"] = InvalidInput(
            "account.timezone",
            _("“%(zone)s” is not a time zone. Choose one of the list.") % {"zone": cut(values["timezone"])},
        )
    user.name = values["name"]
    if not user.name.isprintable():
        errors["name"] = InvalidInput("account.name", _("The name has characters that cannot be shown."))
    try:
        user.clean_fields(exclude=["password", "timezone"])
    except ValidationError as error:
        errors["name"] = InvalidInput("account.name", " ".join(error.messages))
    if errors:
        return _profile_page(request, values, errors)
    user.timezone = values["timezone"]
    user.save(update_fields=["name", "timezone"])
    messages.success(request, _("Saved."))
    return redirect("settings")


@never_cache
def settings_members(request: MemberRequest) -> HttpResponse:
    """Who belongs to the workspace, with which role."""
    return _members_page(request)


def _members_page(request: MemberRequest, invitation_link: str = "", error: Any = None) -> HttpResponse:
    workspace = workspace_of(request.user)
    me = abilities_of(request.user, workspace)
    rows = Membership.objects.filter(workspace=workspace).select_related("user").order_by("created_at", "id")
    assignable = [role for role in Role if role.rank <= me.rank]
    context = {
        "me": me,
        "workspace": workspace,
        "members": rows,
        "roles": assignable,
        "invitation_link": invitation_link,
        "invitation_days": services.INVITATION_DAYS,
        "error": error,
    }
    return render(request, "accounts/members.html", context, status=error.status if error else 200)


def _role(request: HttpRequest) -> Role:
    given = request.POST.get("role", "")
    if given not in Role.values:
        raise InvalidInput(
            "account.role",
            _("“%(role)s” is not a role. Choose viewer, editor, admin or owner.") % {"role": cut(given)},
        )
    return Role(given)


@require_POST
@never_cache
def invitation_create(request: MemberRequest) -> HttpResponse:
    """A one-time link, shown in this answer and never again: only its hash is kept."""
    workspace = workspace_of(request.user)
    _invitation, token = services.invitation_create(
        actor=request.user, workspace=workspace, role=_role(request)
    )
    link = request.build_absolute_uri(reverse("owner_welcome", kwargs={"token": token}))
    return _members_page(request, invitation_link=link)


def _membership(request: MemberRequest, membership_id: UUID) -> Membership:
    return Membership.objects.select_related("workspace", "user").get_visible(request.user, pk=membership_id)


@require_POST
def membership_change(request: MemberRequest, membership_id: UUID) -> HttpResponse:
    """Another role for a member."""
    membership = _membership(request, membership_id)
    require_role(request.user, membership.workspace, Role.ADMIN)
    before = membership.role
    try:
        services.membership_change(actor=request.user, membership=membership, role=_role(request))
    except Conflict as error:
        return _members_page(request, error=error)
    words = _("%(person)s has a new role.") % {"person": membership.user}
    done(request, words, undo=reverse("membership_change", args=[membership.pk]), role=before)
    return redirect("settings_members")


@require_POST
def membership_remove(request: MemberRequest, membership_id: UUID) -> HttpResponse:
    """Take a member out of the workspace, after the dialog asked."""
    membership = _membership(request, membership_id)
    require_role(request.user, membership.workspace, Role.ADMIN)
    try:
        services.membership_remove(actor=request.user, membership=membership)
    except Conflict as error:
        return _members_page(request, error=error)
    messages.success(request, _("%(person)s is no longer a member.") % {"person": membership.user})
    return redirect("settings_members")


def settings_audit(request: MemberRequest) -> HttpResponse:
    """The last entries of the workspace's audit log; for admins.

    Steps that cycles took by themselves are many, and shown when asked for: ?steps.
    """
    workspace = workspace_of(request.user)
    require_role(request.user, workspace, Role.ADMIN)
    steps = "steps" in request.GET
    rows = AuditEntry.objects.filter(workspace=workspace).select_related("actor").order_by("-id")
    kinds = {model._meta.model_name: model._meta.verbose_name for model in apps.get_models()}
    context = {
        "entries": [
            {
                "entry": entry,
                "words": VERBS.get(entry.verb, ""),
                "kind": kinds.get(entry.object_type, entry.object_type),
            }
            for entry in (rows if steps else rows.exclude(verb__in=OWN_STEPS))[:AUDIT_SHOWN]
        ],
        "me": abilities_of(request.user, workspace),
        "shown": AUDIT_SHOWN,
        "steps": steps,
    }
    return render(request, "accounts/audit.html", context)
