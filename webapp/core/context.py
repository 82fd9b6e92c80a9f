"""What every page's frame needs: the theme, and who the person is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.functional import SimpleLazyObject

from webapp.accounts.abilities import abilities_of

if TYPE_CHECKING:
    from django.http import HttpRequest

THEME_COOKIE = "nocturne-theme"
THEMES = ("light", "dark")


def shell(request: HttpRequest) -> dict[str, Any]:
    """`theme` ("light", "dark" or "" for the system's) and `me`, the person's abilities in their workspace.

    `me` asks the database only when a template looks at it.
    """
    chosen = request.COOKIES.get(THEME_COOKIE, "")
    user = getattr(request, "user", None)
    context: dict[str, Any] = {"theme": chosen if chosen in THEMES else ""}
    if user is not None:
        context["me"] = SimpleLazyObject(lambda: abilities_of(user))
    return context
