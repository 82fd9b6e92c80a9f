"""Tonight, the search, the health check, and the pages that carry an error's sentence."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from webapp.accounts.abilities import abilities_of
from webapp.core import tonight
from webapp.core.errors import NocturneError, NotFound, wants_json
from webapp.core.search import LONGEST, pages, search
from webapp.storage.selectors import meter_of

if TYPE_CHECKING:
    from django.http import HttpRequest

log = logging.getLogger(__name__)


def home(request: HttpRequest) -> HttpResponse:
    """What runs, what comes next, what the last nights proved, and how much room is left."""
    me = abilities_of(request.user)
    storage = meter_of(me.workspace) if me.workspace else None
    return render(request, "core/home.html", {"me": me, "storage": storage, **tonight.tonight(request.user)})


def search_page(request: HttpRequest) -> HttpResponse:
    """What a few words find; with ?part only the list of it, for the box that `/` opens over any page."""
    text = request.GET.get("q", "").strip()[:LONGEST]
    groups = search(request.user, text)
    context = {"text": text, "groups": groups, "pages": pages() if not text else []}
    template = "core/_found.html" if "part" in request.GET else "core/search.html"
    return render(request, template, context | {"part": "part" in request.GET})


@login_not_required
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while the database answers, 503 otherwise; for load balancers, so it says nothing else."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        log.exception("health check: the database does not answer")
        return JsonResponse({"code": "database.down", "message": "The database does not answer."}, status=503)
    return JsonResponse({"ok": True})


def _sentence(request: HttpRequest, error: NocturneError) -> HttpResponse:
    if wants_json(request.path, request.headers.get("Accept", "")):
        return JsonResponse(error.to_json(), status=error.status)
    return render(request, "errors/sentence.html", {"error": error}, status=error.status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400: a request that no page of ours makes."""
    message = _("The request could not be understood, so nothing was changed. Go back and try again.")
    return _sentence(request, NocturneError("request.invalid", message))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    return _sentence(request, NocturneError("request.forbidden", _("You may not do this here."), status=403))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404, in the same words whether it is missing or somebody else's."""
    return _sentence(request, NotFound())


def server_error(request: HttpRequest) -> HttpResponse:
    """500: asks neither the session nor the database, either may be what failed."""
    message = _("Something broke on our side. Your files and cycles are safe. Try again; the log says more.")
    error = NocturneError("server.error", message, status=500)
    if wants_json(request.path, request.headers.get("Accept", "")):
        return JsonResponse(error.to_json(), status=500)
    return HttpResponse(render_to_string("errors/sentence.html", {"error": error}), status=500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form whose secret does not fit: another tab logged in or out, or cookies are off."""
    message = _(
        "This form is out of date: you logged in or out since it was loaded, or cookies are off. Nothing was "
        "changed. Go back, reload the page and send it again."
    )
    return _sentence(request, NocturneError("request.csrf", message, status=403))
