"""The typed API at /api/: operation ids are service names, errors have one shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_not_required
from django.urls import URLPattern, URLResolver
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.security import django_auth

from webapp.checkpoints.api import router as checkpoints
from webapp.core.errors import NocturneError
from webapp.cycles.api import router as cycles
from webapp.fleet.api import router as fleet
from webapp.live.api import router as live
from webapp.memories.api import router as memories
from webapp.storage.api import router as storage
from webapp.uploads.api import router as uploads

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

api = NinjaAPI(
    title="Nocturne",
    version="1",
    auth=django_auth,
    docs_url=None,
    urls_namespace="api",
    openapi_url="openapi.json",
)
api.add_router("", checkpoints)
api.add_router("", cycles)
api.add_router("", fleet)
api.add_router("", live)
api.add_router("", memories)
api.add_router("", storage)
api.add_router("", uploads)


@api.exception_handler(NocturneError)
def _sentence(request: HttpRequest, error: NocturneError) -> HttpResponse:
    return api.create_response(request, error.to_json(), status=error.status)


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    fields = ", ".join(str(item["loc"][-1]) for item in error.errors[:5])
    body = {
        "code": "request.invalid",
        "message": f"These fields are missing or have the wrong type: {fields}.",
    }
    return api.create_response(request, body, status=422)


@api.exception_handler(AuthenticationError)
def _login(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return api.create_response(
        request, {"code": "login.required", "message": "Log in first, then try again."}, status=401
    )


@api.exception_handler(HttpError)
def _http(request: HttpRequest, error: HttpError) -> HttpResponse:
    return api.create_response(
        request, {"code": "request.refused", "message": str(error)}, status=error.status_code
    )


def api_urls() -> tuple[list[URLResolver | URLPattern], str, str]:
    """The API's addresses. A program that is not logged in gets a 401 as JSON from the API's own check, not
    the redirect to the login page that `LoginRequiredMiddleware` has for people."""
    patterns, app_name, namespace = api.urls
    for pattern in patterns:
        if isinstance(pattern, URLPattern) and pattern.name not in {"openapi-json", "api-root"}:
            pattern.callback = login_not_required(pattern.callback)
    return patterns, app_name, namespace
