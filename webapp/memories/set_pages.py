"""One record set: its facts, how long it is kept, what it shaped, its history, and erasing records of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.http import JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from consolidation.families.registry import computable
from webapp.accounts.abilities import abilities_of
from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core.errors import Conflict, InvalidInput
from webapp.core.models import AuditEntry
from webapp.memories import erasing, retention
from webapp.memories.certificate import certificate, shaped_by
from webapp.memories.erasing import MOST_IDS, MOST_LETTERS
from webapp.memories.models import ErasedSet, Erasure, RecordSet, Scope, Use
from webapp.memories.retention import MOST_DAYS
from webapp.memories.selectors import project_fit, set_facts
from webapp.memories.shaped import shaped_directly, with_descendants

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpResponse

    from webapp.accounts.abilities import Abilities
    from webapp.checkpoints.models import Checkpoint
    from webapp.core.requests import MemberRequest

HISTORY_SHOWN: Final = 50
ANSWERERS: Final = 50
_DONE: Final = {
    "record_set_accept": gettext_lazy("came in"),
    "record_set_trash": gettext_lazy("put into the trash"),
    "record_set_restore": gettext_lazy("restored"),
    "record_set_delete": gettext_lazy("deleted for good"),
    "record_set_retain": gettext_lazy("retention changed"),
    "record_set_expire": gettext_lazy("retention over, file deleted"),
    "record_set_rewrite": gettext_lazy("file written again without records"),
}


@require_safe
def record_set_detail(request: MemberRequest, record_set_id: UUID) -> HttpResponse:
    """The set's page."""
    item = _found(request, record_set_id)
    entries = AuditEntry.objects.filter(
        workspace=item.project.workspace, object_id=item.pk, verb__in=_DONE
    ).select_related("actor")
    context = _context(request, item)
    context |= {
        "facts": set_facts(item, tokens=project_fit(item.project).tokens),
        "history": [
            {"entry": entry, "words": _DONE[entry.verb]} for entry in entries.order_by("-id")[:HISTORY_SHOWN]
        ],
        "erased": ErasedSet.objects.filter(record_set=item).select_related("erasure").order_by("-id"),
        "shaped_count": len(shaped_directly([item.pk])),
        "most_days": MOST_DAYS,
        "answerers": _answerers(context["me"], item),
    }
    return render(request, "memories/set.html", context)


@require_POST
def record_set_retain(request: MemberRequest, record_set_id: UUID) -> HttpResponse:
    """How long it is kept; an empty field is for ever."""
    item = _found(request, record_set_id)
    given = request.POST.get("days", "").strip()
    try:
        if given and not (given.isascii() and given.isdigit() and len(given) < 8):
            raise InvalidInput(
                "records.retention",
                _("Write the number of days, or leave the field empty to keep the records."),
            )
        retention.record_set_retain(actor=request.user, record_set=item, days=int(given) if given else None)
    except (InvalidInput, Conflict) as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("Saved."))
    return redirect("record_set_detail", record_set_id=item.pk)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def record_set_erase(request: MemberRequest, record_set_id: UUID) -> HttpResponse:
    """First which records, then what that would erase and a typed number, then it is done."""
    item = _found(request, record_set_id)
    require_role(request.user, item.project.workspace, Role.ADMIN)
    context = _context(request, item)
    if request.method != "POST":
        return render(request, "memories/erase.html", context)
    given = {name: request.POST.get(name, "") for name in ("ids", "subject", "scope")}
    file = request.FILES.get("file")
    if file is not None:
        given["ids"] += "\n" + file.read().decode("ascii", "replace")
    try:
        asked = erasing.wanted(record_set=item, **given)
        typed = request.POST.get("rows", "").replace(",", "").strip()
        if "confirm" in request.POST:
            rows = int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 12 else None
            made = erasing.record_set_erase(actor=request.user, asked=asked, rows=rows)
            messages.success(request, _("Erased. Nothing reads these records any more."))
            return redirect("erasure_detail", erasure_id=made.pk)
        found = erasing.record_set_erase_preview(actor=request.user, asked=asked)
    except (InvalidInput, Conflict) as error:
        return render(
            request, "memories/erase.html", context | {"given": given, "error": error}, status=error.status
        )
    given["ids"] = "\n".join(sorted(one.hex() for one in asked.ids))
    shaped = shaped_directly([hit.record_set.pk for hit in found.hits])
    more: dict[str, Any] = {"given": given, "found": found, "missing": max(0, found.asked - len(found.ids))}
    return render(request, "memories/erase.html", context | more | {"shaped_count": len(shaped)})


@require_safe
def record_set_shaped(request: MemberRequest, record_set_id: UUID) -> HttpResponse:
    """The checkpoints that it shaped."""
    item = _found(request, record_set_id)
    context = _context(request, item) | {"shaped": with_descendants(shaped_directly([item.pk]))}
    return render(request, "memories/shaped.html", context)


@require_safe
def erasure_detail(request: MemberRequest, erasure_id: UUID) -> HttpResponse:
    """The certificate as a page."""
    erasure = _erasure(request, erasure_id)
    sets = erasure.sets.select_related("record_set__task", "record_set__project")
    context = {
        "erasure": erasure,
        "sets": sets,
        "shaped": shaped_by(erasure),
        "me": abilities_of(request.user, erasure.workspace),
    }
    return render(request, "memories/erasure.html", context)


@require_safe
def erasure_certificate(request: MemberRequest, erasure_id: UUID) -> HttpResponse:
    """The certificate as a file."""
    erasure = _erasure(request, erasure_id)
    answer = JsonResponse(certificate(erasure), json_dumps_params={"indent": 1})
    answer["Content-Disposition"] = f'attachment; filename="erasure-{erasure.pk}.json"'
    return answer


def _answerers(me: Abilities, item: RecordSet) -> list[Checkpoint]:
    """The checkpoints whose answers a person may have stored beside these memories, the newest first."""
    if not me.can_edit or item.use != Use.MEMORIES or item.replaced_at or item.trashed_at or item.expired:
        return []
    rows = item.project.checkpoints.filter(non_finite=False).order_by("-number")[:ANSWERERS]
    return [one for one in rows if computable(one.family, one.config)]


def _context(request: MemberRequest, item: RecordSet) -> dict[str, Any]:
    return {
        "item": item,
        "project": item.project,
        "me": abilities_of(request.user, item.project.workspace),
        "scopes": Scope.choices,
        "most_ids": MOST_IDS,
        "most_letters": MOST_LETTERS,
    }


def _found(request: MemberRequest, record_set_id: UUID) -> RecordSet:
    rows = RecordSet.everything.select_related("project__workspace", "task", "cycle")
    return rows.defer("cycle__report").get_visible(request.user, pk=record_set_id)


def _erasure(request: MemberRequest, erasure_id: UUID) -> Erasure:
    return Erasure.objects.select_related("workspace", "project").get_visible(request.user, pk=erasure_id)
