"""Why a cycle still waits, in a sentence. No cycle but those of its own project is ever named in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from webapp.cycles.choices import State
from webapp.cycles.waiting import behind_blocked, waiting_reason
from webapp.fleet.forecast import hand_of
from webapp.fleet.selectors import takes_cycles
from webapp.fleet.simulation import Asks

if TYPE_CHECKING:
    from uuid import UUID

    from webapp.cycles.models import Cycle
    from webapp.fleet.forecast import Entry, Outlook


@dataclass(frozen=True, slots=True)
class Reason:
    """A stable code and the sentence. `stuck`: it will not begin before somebody does something."""

    code: str
    message: str
    stuck: bool = False


class Reasons:
    """Why the cycles of one outlook wait."""

    def __init__(self, outlook: Outlook) -> None:
        self._outlook = outlook
        self._alive = outlook.alive()
        self._working = {entry.worker for entry in outlook.held}
        self._running = {entry.project: entry for entry in outlook.held}
        self._known = {entry.id for entry in outlook.queue}
        self._first: dict[tuple[UUID, int], Entry] = {}
        for entry in outlook.queue:
            self._first.setdefault((entry.project, entry.protocol), entry)

    def of(self, cycle: Cycle) -> Reason:
        """The first thing that stands in its way; what needs somebody comes before what only takes time."""
        if cycle.state == State.BLOCKED:
            words = cycle.error_message or _("Something that it needs is not there.")
            return Reason(cycle.error_code or "cycle.blocked", words, stuck=True)
        if stuck := waiting_reason(cycle, self._alive):
            return Reason(stuck["code"], stuck["message"], stuck=True)
        return self._blocked(cycle) or self._project(cycle) or self._line(cycle)

    def _blocked(self, cycle: Cycle) -> Reason | None:
        """As the claim has it: a blocked cycle keeps its project's turn."""
        first = self._outlook.blocked.get((cycle.project_id, cycle.protocol))
        if first is None or cycle.queued_at is None or first.queued_at is None:
            return None
        if (first.queued_at, first.number) > (cycle.queued_at, cycle.number):
            return None
        told = behind_blocked(first.title)
        return Reason(told["code"], told["message"], stuck=True)

    def _project(self, cycle: Cycle) -> Reason | None:
        if running := self._running.get(cycle.project_id):
            words = _("%(title)s of this project runs; a project runs one cycle at a time.")
            return Reason("cycle.project_runs", words % {"title": running.title})
        first = self._first.get((cycle.project_id, cycle.protocol))
        if first is not None and first.id != cycle.pk:
            words = _("%(title)s of this project comes first.")
            return Reason("cycle.project_waits", words % {"title": first.title})
        return None

    def _line(self, cycle: Cycle) -> Reason:
        if cycle.pk not in self._known:
            words = _("So many cycles are before it that its start cannot be told yet.")
            return Reason("cycle.far", words)
        asks = Asks(cycle.device, cycle.memory_bytes, cycle.protocol)
        takers = [w for w in self._alive if takes_cycles(w) and hand_of(w).can_take(asks)]
        if any(worker.pk not in self._working for worker in takers):
            expected = self._outlook.expected.get(cycle.pk)
            if expected is not None and expected.high <= settings.CLAIM_POLL_SECONDS:
                return Reason("cycle.next", _("A worker is free and takes it in a moment."))
            return Reason("cycle.older_first", _("Older cycles are taken first."))
        words = ngettext(
            "The one worker that can take it is busy.",
            "All %(n)d workers that can take it are busy.",
            len(takers),
        )
        return Reason("cycle.workers_busy", words % {"n": len(takers)})
