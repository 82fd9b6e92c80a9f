"""Cycles that no worker holds, and whose snapshot has read what was erased since: they end where they stand.

One without a snapshot begins anew, with the records that are left then.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from django.db.models import Exists, OuterRef

from webapp.cycles.choices import State
from webapp.cycles.inputs import REVOKED, revoked_sentence, sets_revoked
from webapp.cycles.models import Cycle, Snapshot
from webapp.cycles.transitions import StateChanged, transition

# A person's pause ends by being cancelled; what waits for a worker fails as it would with one.
_END: Final = {State.QUEUED: State.FAILED, State.BLOCKED: State.FAILED, State.PAUSED: State.CANCELLED}


def cycles_revoke() -> int:
    """For the clock: their snapshots must not be gone on from, and go with the end. How many there were."""
    done = 0
    begun = Exists(Snapshot.objects.filter(cycle=OuterRef("pk")))
    waiting = Cycle.objects.filter(begun, state__in=_END).exclude(read_sets={})
    for cycle in waiting.only("state", "read_sets"):
        revoked = sets_revoked(cycle.read_sets)
        if not revoked:
            continue
        with suppress(StateChanged):
            transition(
                cycle.pk, to=_END[State(cycle.state)], expect_from=(cycle.state,), fence=True, reason=REVOKED,
                error_code=REVOKED, error_message=revoked_sentence(revoked),
            )  # fmt: skip
            done += 1
    return done
