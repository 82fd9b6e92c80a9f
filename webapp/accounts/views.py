"""The page behind a one-time link: the first owner's, or an invitation's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from webapp.accounts import services
from webapp.core.errors import Conflict, InvalidInput, NotFound

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

_FIELD_OF = {"account.exists": "email", "account.email": "email", "account.password": "password"}
_BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@login_not_required
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def owner_welcome(request: HttpRequest, token: str) -> HttpResponse:
    """E-mail, name and password; then the person is in. A spent link has a sentence of its own."""
    try:
        invitation = services.invitation_find(token=token)
    except NotFound as error:
        return render(request, "accounts/welcome_spent.html", {"error": error}, status=error.status)
    values = {field: request.POST.get(field, "").strip() for field in ("email", "name")}
    context: dict[str, Any] = {"invitation": invitation, "values": values, "errors": {}}
    if request.method == "POST":
        try:
            user = services.invitation_accept(
                token=token,
                email=values["email"][:254],
                name=values["name"][:120],
                password=request.POST.get("password", ""),
            )
        except (Conflict, InvalidInput) as error:
            context["errors"][_FIELD_OF.get(error.code, "form")] = error
            return render(request, "accounts/welcome.html", context, status=error.status)
        zone = request.POST.get("timezone", "")
        if zone in available_timezones():
            user.timezone = zone
            user.save(update_fields=["timezone"])
        login(request, user, backend=_BACKEND)
        return redirect("home")
    return render(request, "accounts/welcome.html", context)
