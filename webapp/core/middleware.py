"""Turns our own errors into the page or the JSON that carries the sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import JsonResponse
from django.shortcuts import render

from webapp.core.errors import NocturneError, wants_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse


class ErrorSentenceMiddleware:
    """A NocturneError that leaves a view becomes an answer with its status, its sentence and its code."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer for a NocturneError; anything else goes on to Django's own handling."""
        if not isinstance(exception, NocturneError):
            return None
        if wants_json(request.path, request.headers.get("Accept", "")):
            return JsonResponse(exception.to_json(), status=exception.status)
        return render(request, "errors/sentence.html", {"error": exception}, status=exception.status)
