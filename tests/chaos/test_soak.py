"""A soak that tested nothing does not pass."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.soak import untested

ENDS = Counter({"succeeded": 1, "cancelled": 3})


@pytest.mark.parametrize("done", [{"both": 1}, {"trainer": 1, "supervisor": 1}])
def test_one_that_struck_and_saw_a_success_passes(done: dict[str, int]) -> None:
    assert list(untested(ENDS, Counter(done))) == []


@pytest.mark.parametrize(
    ("ends", "done", "sentences"),
    [
        ({"cancelled": 3}, {"both": 1}, ["no cycle succeeded"]),
        (ENDS, {"supervisor": 1, "freeze": 4}, ["no trainer was struck"]),
        (ENDS, {"trainer": 1, "deploy": 4}, ["no supervisor was struck"]),
        ({}, {}, ["no cycle succeeded", "no trainer was struck", "no supervisor was struck"]),
    ],
)
def test_one_that_tested_nothing_does_not(
    ends: dict[str, int], done: dict[str, int], sentences: list[str]
) -> None:
    found = list(untested(Counter(ends), Counter(done)))
    assert [one.sentence for one in found] == sentences
    assert {(one.kind, one.about) for one in found} == {("broken", "the soak")}
