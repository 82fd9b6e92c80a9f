"""How long cycles take: of what ended well lately, and of what runs now."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import inf
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from webapp.cycles.choices import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

# As many of one project and kind, and as many of one kind of all projects, say how long the next one takes.
OF_PROJECT: Final = 9
OF_KIND: Final = 25
# A guess from one measured rate, or from so few cycles that they have no quarters, may be this far off.
LOOSE: Final = 1.5
_FEW: Final = 4
# Before this much is done its pace says nothing.
_TOLD: Final = 0.02
# Publishing, pausing and cancelling: seconds.
_ENDING: Final = frozenset(state.value for state in (State.PUBLISHING, State.PAUSING, State.CANCELLING))

# A cycle that was never interrupted: the others' hours hold the wait for another worker, or a day's pause.
_MEASURED = """
    c.state IN ('succeeded', 'rejected') AND c.attempt <= 1
    AND c.started_at IS NOT NULL AND c.finished_at > c.started_at
"""
_OF_PROJECT = f"""
    SELECT w.project, w.kind, e.seconds
    FROM unnest(%(projects)s::uuid[], %(kinds)s::text[]) AS w (project, kind)
    CROSS JOIN LATERAL (
        SELECT extract(epoch FROM c.finished_at - c.started_at)::float AS seconds FROM cycles_cycle c
        WHERE c.project_id = w.project AND c.kind = w.kind AND {_MEASURED}
        ORDER BY c.number DESC LIMIT %(most)s) e
"""  # noqa: S608  (no value of anybody's is in it)
# The record of states is in the order of time, and the rows of cycles are not: so its end is read alone.
_OF_KIND = f"""
    SELECT c.kind, extract(epoch FROM c.finished_at - c.started_at)::float AS seconds
    FROM (SELECT t.cycle_id, t.id FROM cycles_transition t WHERE t.to_state IN ('succeeded', 'rejected')
          ORDER BY t.id DESC LIMIT %(most)s) t
    JOIN cycles_cycle c ON c.id = t.cycle_id
    WHERE {_MEASURED} ORDER BY t.id DESC
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Length:
    """A length of time that is not known exactly, in seconds."""

    low: float
    likely: float
    high: float

    def times(self, share: float) -> Length:
        return Length(self.low * share, self.likely * share, self.high * share)


UNKNOWN: Final = Length(0.0, inf, inf)
SOON: Final = Length(0.0, 15.0, 60.0)


def length_of(seconds: Sequence[float]) -> Length | None:
    """The median and the middle half of what was measured; None of nothing."""
    if not seconds:
        return None
    likely = median(seconds)
    if len(seconds) < _FEW:
        return Length(min(*seconds, likely / LOOSE), likely, max(*seconds, likely * LOOSE))
    low, _, high = quantiles(seconds, n=4, method="inclusive")
    return Length(low, likely, high)


def time_left(
    *, state: str, attempt: int, progress: float, elapsed: float, whole: Length | None
) -> Length | None:
    """How much longer a cycle runs that a worker holds; None: nobody can say.

    Args:
        attempt: a second one does not tell its pace, since nobody knows where it went on from.
        progress: the part of 1 that is done.
        elapsed: seconds since its first start.
        whole: how long such cycles take.
    """
    if state in _ENDING:
        return SOON
    if attempt <= 1 and _TOLD <= progress < 1 and elapsed > 0:
        likely = elapsed * (1 - progress) / progress
        return Length(likely / LOOSE, likely, likely * LOOSE)
    if whole is None:
        return None
    if attempt > 1 or progress >= _TOLD:
        return whole.times(max(0.0, 1 - progress))
    if elapsed >= whole.high:
        return None
    return Length(max(0.0, whole.low - elapsed), max(0.0, whole.likely - elapsed), whole.high - elapsed)


class Durations:
    """How long a cycle of a project and kind takes, from the last ones of both, else of the kind."""

    def __init__(
        self,
        of_project: Iterable[tuple[UUID, str, float]] = (),
        of_kind: Iterable[tuple[str, float]] = (),
    ) -> None:
        near: dict[tuple[UUID, str], list[float]] = defaultdict(list)
        far: dict[str, list[float]] = defaultdict(list)
        for project, kind, seconds in of_project:
            near[project, kind].append(seconds)
        for kind, seconds in of_kind:
            far[kind].append(seconds)
        self._near = {key: length_of(values) for key, values in near.items()}
        self._far = {kind: length_of(values[:OF_KIND]) for kind, values in far.items()}

    def of(self, project: UUID, kind: str) -> Length | None:
        """None: no such cycle has ended well yet."""
        return self._near.get((project, kind)) or self._far.get(kind)


def durations_of(wanted: Iterable[tuple[UUID, str]]) -> Durations:
    """What is known of these projects and kinds. Two queries, however many they are; none for nothing."""
    pairs = sorted(set(wanted))
    if not pairs:
        return Durations()
    with connection.cursor() as cursor:
        asked: dict[str, Any] = {
            "projects": [project for project, _ in pairs],
            "kinds": [kind for _, kind in pairs],
            "most": OF_PROJECT,
        }
        cursor.execute(_OF_PROJECT, asked)
        of_project = cursor.fetchall()
        # Scores are many and quick; of the last few hundred ends each kind finds its own.
        cursor.execute(_OF_KIND, {"most": 12 * OF_KIND})
        of_kind = cursor.fetchall()
    return Durations(of_project, of_kind)
