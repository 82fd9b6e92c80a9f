"""Who may watch what, asked when a socket opens, at each subscription, and again every minute."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from channels.auth import get_user
from channels.db import database_sync_to_async
from django.conf import settings

from webapp.cycles.models import Cycle
from webapp.cycles.selectors import cycle_state

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable

    from webapp.accounts.models import User


async def current_user(session_key: str | None) -> User | None:
    """The person that the session still stands for: logged in, active, password unchanged; else None."""
    if not session_key:
        return None
    engine: Any = import_module(settings.SESSION_ENGINE)
    scope: Any = {"session": engine.SessionStore(session_key)}
    user = await get_user(scope)
    return cast("User", user) if user.is_authenticated and user.is_active else None


@database_sync_to_async
def visible_state(user: User, cycle_id: uuid.UUID) -> dict[str, Any] | None:
    """The cycle's live state for somebody who may see it, else None."""
    cycle = Cycle.objects.visible_to(user).filter(pk=cycle_id).first()
    return None if cycle is None else cycle_state(cycle)


@database_sync_to_async
def still_visible(user: User, cycle_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Those of the cycles that the person may still see."""
    return set(Cycle.objects.visible_to(user).filter(pk__in=list(cycle_ids)).values_list("pk", flat=True))
