"""Two cycles answer by answer: the same proof questions put to both models, from the answers that were kept.

Only the scores keep single answers, in proof order. Two of them are paired when each was written
by the cycle that stands in the column and both were proved on the same probe; else the page says why not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _

from consolidation.answers import unpack_one
from consolidation.guard import LEAST_ANSWERS, paired_gains, sign_test
from webapp.checkpoints.models import Score
from webapp.cycles.choices import TERMINAL, Kind
from webapp.cycles.compare import Interval, scored_tasks
from webapp.cycles.models import Cycle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from consolidation.answers import Answers

CONFIDENCE: Final = 0.95
SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """The second model's score minus the first's, over `answers` shared answers of which `won` are better
    in the second and `lost` in the first. `clear`: the interval leaves out 0, an exact sign test of the
    changed answers agrees, and there are enough of them: what a verdict asks for too."""

    interval: Interval
    answers: int
    won: int
    lost: int
    clear: bool


@dataclass(frozen=True, slots=True)
class Unpaired:
    """Why two cycles cannot be compared on a task: in a word or two, and in a sentence."""

    word: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Against:
    """One cycle against another: for each task a pair or why there is none, and the mean over the pairs."""

    mean: Pair | None
    tasks: list[Pair | Unpaired]

    @property
    def paired(self) -> int:
        """Over how many tasks the mean is."""
        return sum(isinstance(task, Pair) for task in self.tasks)

    @property
    def refusals(self) -> list[str]:
        """The reasons, each once."""
        return list(dict.fromkeys(t.sentence for t in self.tasks if isinstance(t, Unpaired)))


def probes_of(cycles: Sequence[Cycle]) -> list[dict[str, str]]:
    """For each cycle {task: sha256 of its probe}. One query."""
    found: dict[UUID, dict[str, str]] = {cycle.pk: {} for cycle in cycles}
    rows = Cycle.objects.filter(pk__in=found, probes__isnull=False)
    for pk, task, sha256 in rows.values_list("pk", "probes__task__name", "probes__sha256"):
        found[pk][task] = sha256
    return [found[cycle.pk] for cycle in cycles]


def answers_of(cycles: Sequence[Cycle]) -> list[dict[str, Answers]]:
    """For each cycle {task: answers in proof order} of the model that it left. One query.

    Scores that another cycle wrote, or that keep no answers, are left out.
    """
    left = [_left(cycle) for cycle in cycles]
    kept: dict[tuple[Any, Any], dict[str, Answers]] = {}
    rows = Score.objects.filter(checkpoint__in=[pk for pk in left if pk], cycle__in=[c.pk for c in cycles])
    for place, cycle, task, examples, packed in rows.values_list(
        "checkpoint_id", "cycle_id", "task__name", "examples", "correct"
    ):
        if examples and len(packed) in ((examples + 7) // 8, 4 * examples):
            kept.setdefault((place, cycle), {})[task] = unpack_one(bytes(packed), examples)
    return [kept.get((pk, cycle.pk), {}) for pk, cycle in zip(left, cycles, strict=True)]


def _left(cycle: Cycle) -> UUID | None:
    """The checkpoint whose scores are the cycle's "after"; a scoring changes nothing."""
    if cycle.kind == Kind.SCORE:
        return cycle.base_id
    result = getattr(cycle, "result", None)
    return None if result is None else result.pk


def against(
    first: int,
    second: int,
    *,
    cycles: Sequence[Cycle],
    tasks: Sequence[str],
    answers: Sequence[Mapping[str, Answers]],
    probes: Sequence[Mapping[str, str]],
) -> Against:
    """Cycle `second` against cycle `first`, by their places in the sequences."""
    refused = {task: _refusal(task, (first, second), cycles, answers, probes) for task in tasks}
    shared = [task for task in tasks if refused[task] is None]
    before = {task: answers[first][task] for task in shared}
    after = {task: answers[second][task] for task in shared}
    mean, gains = paired_gains(before, after, confidence=CONFIDENCE, seed=SEED)
    return Against(
        _pair(mean, before, after) if mean else None,
        [refused[task] or _pair(gains[task], {task: before[task]}, {task: after[task]}) for task in tasks],
    )


def _refusal(
    task: str,
    places: tuple[int, int],
    cycles: Sequence[Cycle],
    answers: Sequence[Mapping[str, Answers]],
    probes: Sequence[Mapping[str, str]],
) -> Unpaired | None:
    first, second = places
    for place in places:
        cycle = {"cycle": str(cycles[place])}
        if not scored_tasks(cycles[place]):
            ended = cycles[place].state in TERMINAL
            words = _("%(cycle)s left no scores.") if ended else _("%(cycle)s has no scores yet.")
            return Unpaired(_("no scores"), words % cycle)
        if task not in scored_tasks(cycles[place]):
            words = _("%(cycle)s was not scored on every task.")
            return Unpaired(_("not scored"), words % cycle)
        if task not in answers[place]:
            return Unpaired(_("not kept"), _("Paired answers are not kept for %(cycle)s.") % cycle)
    one, other = probes[first].get(task), probes[second].get(task)
    if one is None or one != other or len(answers[first][task]) != len(answers[second][task]):
        words = _("%(first)s and %(second)s were proved on different probes, so their answers make no pairs.")
        names = {"first": str(cycles[first]), "second": str(cycles[second])}
        return Unpaired(_("other probe"), words % names)
    return None


def _pair(
    gain: tuple[float, float, float], before: Mapping[str, Answers], after: Mapping[str, Answers]
) -> Pair:
    value, low, high = gain
    won = sum(int((after[task] > before[task]).sum()) for task in before)
    lost = sum(int((before[task] > after[task]).sum()) for task in before)
    answers = sum(len(bits) for bits in before.values())
    proven = answers >= LEAST_ANSWERS and sign_test(before, after) <= 1 - CONFIDENCE
    score = sum(float(after[task].mean()) for task in after) / len(after)
    clear = proven and (low > 0 or high < 0)
    return Pair(Interval(value, low, high, score), answers, won, lost, clear)
