"""The report of a cycle: one self-contained page, for members and for whoever holds a link."""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csp.constants import NONE
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp.accounts.abilities import abilities_of
from webapp.core.errors import Conflict, InvalidInput
from webapp.cycles.choices import TERMINAL
from webapp.reports import services
from webapp.reports.contents import contents, reported
from webapp.reports.models import ReportShare

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse

    from webapp.core.requests import MemberRequest
    from webapp.cycles.models import Cycle

_CSS = Path(__file__).resolve().parents[1] / "static" / "css"


@functools.cache
def _style() -> tuple[SafeString, str]:
    """The style sheet that travels inside the page, and its CSP source; nothing else may load there."""
    text = "\n".join((_CSS / name).read_text() for name in ("tokens.css", "report.css"))
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return mark_safe(text), f"'sha256-{digest}'"  # noqa: S308 - our own two files, nobody's input


def _page(request: HttpRequest, cycle: Cycle, *, member: bool, **more: Any) -> HttpResponse:
    text, source = _style()
    context = contents(cycle) | {"style": text, "style_source": source, "member": member} | more
    response = render(request, "reports/report.html", context)
    response._csp_config = {  # type: ignore[attr-defined]
        "default-src": [NONE], "style-src": [source], "base-uri": [NONE],
        "form-action": [NONE], "frame-ancestors": [NONE],
    }  # fmt: skip
    # The address of a link is its key: it goes nowhere else, and no search engine keeps it.
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex, nofollow"
    return response


@require_GET
@never_cache
def cycle_report(request: MemberRequest, cycle_id: UUID) -> HttpResponse:
    """The report for a member; with ?save it comes as a file that needs nothing but itself."""
    cycle = reported().get_visible(request.user, pk=cycle_id)
    saved = "save" in request.GET
    response = _page(request, cycle, member=True, saved=saved)
    if saved:
        name = f"{cycle.project.name} - {cycle}.html"
        response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return response


@login_not_required
@require_GET
@never_cache
def shared_report(request: HttpRequest, token: str) -> HttpResponse:
    """The report for whoever has a link that works: no names of people, no way further in."""
    cycle = services.report_share_open(token=token)
    return _page(request, reported().get(pk=cycle.pk), member=False, saved=True)


@require_http_methods(["GET", "POST"])
@never_cache
def report_links(request: MemberRequest, cycle_id: UUID) -> HttpResponse:
    """The links to a report; a new one is shown in this answer and never again."""
    cycle = reported().get_visible(request.user, pk=cycle_id)
    link, problem = "", None
    if request.method == "POST":
        days = request.POST.get("days", "")
        try:
            _share, token = services.report_share_create(
                actor=request.user, cycle=cycle, days=int(days) if len(days) < 5 and days.isdecimal() else 0
            )
            link = request.build_absolute_uri(reverse("shared_report", kwargs={"token": token}))
        except (Conflict, InvalidInput) as error:
            problem = error
    may = abilities_of(request.user, cycle.project.workspace)
    context = {
        "cycle": cycle,
        "project": cycle.project,
        "ended": cycle.state in TERMINAL,
        "shares": services.working(cycle),
        "can_edit": may.can_edit,
        "days": services.DAYS,
        "link": link,
        "error": problem,
    }
    return render(request, "reports/links.html", context, status=problem.status if problem else 200)


@require_POST
def report_share_revoke(request: MemberRequest, share_id: UUID) -> HttpResponse:
    """End a link."""
    rows = ReportShare.objects.select_related("cycle__project__workspace")
    share = rows.get_visible(request.user, pk=share_id)
    services.report_share_revoke(actor=request.user, share=share)
    messages.success(request, _("The link does not work any more."))
    return redirect("report_links", cycle_id=share.cycle_id)
