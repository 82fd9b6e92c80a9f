"""Who may talk to the upload application: the checks that Django's middleware makes for pages, made here.

A cookie travels with every request that a browser makes, whoever's page asked for it. Two independent facts
are therefore required: the Origin header, which no page can forge, is one of ours; and the CSRF token in a
header equals the one in the cookie, checked by Django's own middleware.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.middleware.csrf import CsrfViewMiddleware

from webapp.core.errors import NocturneError

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from webapp.uploads.body import Scope

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class LoginRequired(NocturneError):
    """Nobody is logged in (401)."""

    status = 401

    def __init__(self) -> None:
        super().__init__("login.required", "Log in first, then try again.")


def check_request(scope: Scope) -> None:
    """Raises NocturneError: `csrf.failed` (403) for a request that another site's page may have made,
    `request.host` (400) for a host name that is not ours."""
    # The token is in a header, so the check must not look for it in the body: it gets none.
    request = ASGIRequest({**scope, "query_string": b""}, BytesIO())
    try:
        request.get_host()
    except DisallowedHost:
        raise NocturneError("request.host", "This server is not called that. Use its own address.") from None
    if request.method in _SAFE:
        return
    if request.headers.get("Origin") not in settings.ORIGINS:
        raise _refused("The request did not come from one of Nocturne's own pages.")
    guard = CsrfViewMiddleware(_unreachable)
    guard.process_request(request)
    if guard.process_view(request, _unreachable, (), {}) is not None:
        raise _refused("The page is too old, or cookies are blocked.")


def _refused(why: str) -> NocturneError:
    return NocturneError(
        "csrf.failed", f"{why} Nothing was changed. Reload the page and try again.", status=403
    )


def _unreachable(request: HttpRequest) -> HttpResponse:
    raise AssertionError("only the middleware's checks are used")
