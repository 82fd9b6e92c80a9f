"""Cycles that no worker holds, and that have read what was erased since: they end where they stand."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from webapp.cycles.choices import State
from webapp.cycles.inputs import REVOKED, revoked_sentence, sets_revoked
from webapp.cycles.models import Cycle
from webapp.cycles.transitions import StateChanged, transition

# A person's pause ends by being cancelled; what waits for a worker fails as it would with one.
_END: Final = {State.QUEUED: State.FAILED, State.BLOCKED: State.FAILED, State.PAUSED: State.CANCELLED}


def cycles_revoke() -> int:
    """For the clock: their snapshots must not be gone on from, and go with the end. How many there were."""
    done = 0
    for cycle in Cycle.objects.filter(state__in=_END).exclude(read_sets={}).only("state", "read_sets"):
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
