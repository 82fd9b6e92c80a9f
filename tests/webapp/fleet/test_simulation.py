"""The queue played ahead: as a slow and plain play of it does, and never against the rules of the claim."""

from __future__ import annotations

from itertools import combinations
from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.fleet.simulation import Asks, Hand, Job, Start, simulate

if TYPE_CHECKING:
    from collections.abc import Hashable

GPU, CPU = Hand("cuda", 80), Hand("cpu", 16)


def job(key: str, project: str = "", lasts: float = 10.0, **asks: int | str) -> Job:
    return Job(key, project or key, Asks(**asks), lasts)  # type: ignore[arg-type]


def starts(
    hands: list[tuple[Hand, float]], jobs: list[Job], busy: dict[Hashable, float] | None = None
) -> dict[str, float]:
    return {str(key): start.at for key, start in simulate(hands, jobs, busy or {}).items()}


def test_one_worker_takes_one_after_the_other() -> None:
    assert starts([(CPU, 5)], [job("a"), job("b", lasts=3), job("c")]) == {"a": 5, "b": 15, "c": 18}


def test_a_project_runs_one_cycle_at_a_time() -> None:
    jobs = [job("a1", "a"), job("a2", "a"), job("b1", "b")]
    assert starts([(CPU, 0), (CPU, 0)], jobs) == {"a1": 0, "b1": 0, "a2": 10}
    assert starts([(CPU, 0)], jobs, {"a": 4}) == {"b1": 0, "a1": 10, "a2": 20}


def test_what_does_not_fit_is_left_for_who_can() -> None:
    jobs = [job("gpu", device="cuda"), job("large", memory_bytes=60), job("small", memory_bytes=8)]
    assert starts([(CPU, 0), (GPU, 0)], jobs) == {"gpu": 0, "small": 0, "large": 10}
    assert starts([(CPU, 0)], jobs) == {"small": 0}
    assert starts([(Hand("cpu", 0), 0)], jobs) == {"large": 0, "small": 10}, "an unknown memory fits all"


def test_of_another_protocol_nothing_is_taken() -> None:
    assert starts([(Hand("cpu", protocol=2), 0)], [job("a", protocol=1)]) == {}


def test_behind_what_nobody_knows_the_end_of_nothing_is_foretold() -> None:
    assert starts([(CPU, 0)], [job("a", lasts=inf), job("b")]) == {"a": 0}
    assert starts([(CPU, inf)], [job("a")]) == {}
    assert starts([(CPU, 0)], [job("a1", "a"), job("b")], {"a": inf}) == {"b": 0}


def test_the_worker_that_ends_a_cycle_may_take_the_next_of_its_project() -> None:
    hands = [(CPU, 0.0)]
    assert starts(hands, [job("a1", "a"), job("a2", "a"), job("b", lasts=1)]) == {"a1": 0, "a2": 10, "b": 20}


# --- against a play that looks at everything at every moment

DEVICES = ("cpu", "cuda")
whole = st.integers(0, 12).map(float)
hands_of = st.lists(
    st.tuples(
        st.builds(Hand, st.sampled_from(DEVICES), st.sampled_from([0, 8, 16]), st.sampled_from([1, 1, 2])),
        whole | st.just(inf),
    ),
    max_size=5,
)
asks_of = st.builds(
    Asks, st.sampled_from(("", *DEVICES)), st.sampled_from([0, 8, 16]), st.sampled_from([1, 1, 2])
)
rows_of = st.lists(
    st.tuples(st.sampled_from("abcde"), asks_of, whole.map(lambda s: s + 1) | st.just(inf)), max_size=14
)
busy_of = st.dictionaries(st.sampled_from("abc"), whole | st.just(inf))


@given(hands_of, rows_of, busy_of)
def test_it_plays_as_the_plain_one(
    hands: list[tuple[Hand, float]], rows: list[tuple[str, Asks, float]], busy: dict[Hashable, float]
) -> None:
    jobs = [Job(place, *row) for place, row in enumerate(rows)]
    found = simulate(hands, jobs, busy)
    assert {key: start.at for key, start in found.items()} == plain(hands, jobs, busy)
    obeys(hands, jobs, busy, found)


def plain(
    hands: list[tuple[Hand, float]], jobs: list[Job], busy: dict[Hashable, float]
) -> dict[Hashable, float]:
    """At every whole second every free hand, the longest idle first, looks through the whole queue."""
    free = [at for _, at in hands]
    until: dict[Hashable, float] = dict(busy)
    begun: dict[Hashable, float] = {}
    horizon = int(sum(x for x in (*free, *until.values(), *(j.lasts for j in jobs)) if x != inf)) + 1
    for second in range(horizon):
        now = float(second)
        for index in sorted(range(len(hands)), key=lambda i: (free[i], i)):
            if free[index] > now:
                continue
            for place, one in enumerate(jobs):
                first = not any(o.project == one.project and o.key not in begun for o in jobs[:place])
                turn = first and one.key not in begun and until.get(one.project, 0.0) <= now
                if turn and hands[index][0].can_take(one.asks):
                    begun[one.key] = now
                    free[index] = until[one.project] = now + one.lasts
                    break
    return begun


def obeys(
    hands: list[tuple[Hand, float]],
    jobs: list[Job],
    busy: dict[Hashable, float],
    found: dict[Hashable, Start],
) -> None:
    ran = [(one, found[one.key]) for one in jobs if one.key in found]
    for one, start in ran:
        assert hands[start.hand][0].can_take(one.asks)
        assert start.at >= max(hands[start.hand][1], busy.get(one.project, 0.0))
    for (one, first), (other, second) in combinations(ran, 2):
        if first.hand == second.hand or one.project == other.project:
            apart = first.at + one.lasts <= second.at or second.at + other.lasts <= first.at
            assert apart, "one worker, and one project, runs one cycle at a time"
        if one.project == other.project:
            assert first.at <= second.at


def test_a_long_queue_on_many_workers_is_played_at_once() -> None:
    hands = [(Hand(DEVICES[n % 2], 8 * (n % 3)), float(n)) for n in range(200)]
    jobs = [job(str(n), str(n % 300), 60 + n % 7, memory_bytes=n % 17) for n in range(2000)]
    assert len(simulate(hands, jobs, {})) == 2000


@pytest.mark.parametrize("asked", ["cpu", ""])
def test_the_kind_of_device_is_what_counts(asked: str) -> None:
    assert CPU.can_take(Asks(asked))
    assert not GPU.can_take(Asks("cpu"))
