"""What a row of a cycle says beside its state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import template

from webapp.cycles.page import PAUSABLE
from webapp.cycles.waiting import waiting_reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webapp.cycles.models import Cycle
    from webapp.fleet.models import Worker

register = template.Library()


@register.simple_tag
def why_waiting(cycle: Cycle, workers: Sequence[Worker]) -> str:
    """Why none of the live workers can take it; "" when one can, and when none is alive at all (the page
    says that once for all of its rows)."""
    reason = waiting_reason(cycle, workers) if workers else None
    return reason["message"] if reason else ""


@register.filter
def pausable(cycle: Cycle) -> bool:
    """Whether its state allows a pause."""
    return cycle.state in PAUSABLE
