"""Objectives against sums done by hand: what is asked, what it costs, how it is scored and what is kept."""

from __future__ import annotations

import math

import pytest
import torch

from consolidation.objectives.classification import Classification
from consolidation.objectives.extractive_qa import SHIFT, ExtractiveQa, best_spans
from consolidation.objectives.language import Language
from consolidation.objectives.objective import IGNORED, Stored, narrowed

G = torch.Generator().manual_seed(3)
LANGUAGE, READER = Language(), ExtractiveQa()
# ids + 1: four tokens, and two and what fills up
X = torch.tensor([[4.0, 1.0, 2.0, 6.0], [3.0, 3.0, 0.0, 0.0]])
OUT = torch.randn(2, 4, 7, generator=G)


def test_a_language_model_is_asked_for_every_token_after_the_first_and_after_the_context() -> None:
    plain = LANGUAGE.targets(X, torch.tensor([0, 0]))
    assert plain.tolist() == [[0, 1, 5, IGNORED], [2, IGNORED, IGNORED, IGNORED]]
    prompted = LANGUAGE.targets(X, torch.tensor([2, 1]))
    assert prompted.tolist() == [[IGNORED, 1, 5, IGNORED], [2, IGNORED, IGNORED, IGNORED]]


def test_its_loss_is_the_mean_over_tokens_and_its_score_their_geometric_mean_chance() -> None:
    targets = LANGUAGE.targets(X, torch.tensor([0, 0]))
    p = OUT.softmax(-1)
    logs = [-math.log(float(p[0, place, word])) for place, word in enumerate((0, 1, 5))]
    assert float(LANGUAGE.nll(OUT, targets)[0]) == pytest.approx(sum(logs), rel=1e-5)
    assert float(LANGUAGE.loss(OUT, targets)[0]) == pytest.approx(sum(logs) / 3, rel=1e-5)
    assert float(LANGUAGE.scores(OUT, targets)[0]) == pytest.approx(math.exp(-sum(logs) / 3), rel=1e-5)
    assert float(LANGUAGE.scores(OUT * math.nan, targets)[0]) == 0


def test_drawn_targets_follow_the_model_and_leave_out_what_is_not_asked() -> None:
    targets = LANGUAGE.targets(X, torch.tensor([0, 0]))
    sure = torch.full((2, 4, 7), -50.0)
    sure[..., 6] = 50.0
    drawn = LANGUAGE.sampled(sure, targets, G)
    assert drawn.tolist() == [[6, 6, 6, IGNORED], [6, IGNORED, IGNORED, IGNORED]]


def test_the_likeliest_are_kept_with_their_log_chances_and_the_distance_is_a_kl() -> None:
    other = torch.randn(2, 4, 7, generator=G)
    targets = LANGUAGE.targets(X, torch.tensor([0, 0]))
    top = OUT.log_softmax(-1).topk(3, -1)
    stored = Stored(top.values, top.indices.int())
    found = LANGUAGE.distance(other, targets, stored, "mse", 1.0)
    p, q = OUT.softmax(-1), other.softmax(-1)
    by_hand = 0.0
    for place in range(3):
        rest_p, rest_q = 1.0, 1.0
        for word in top.indices[0, place].tolist():
            a, b = float(p[0, place, word]), float(q[0, place, word])
            by_hand += a * math.log(a / b)
            rest_p, rest_q = rest_p - a, rest_q - b
        by_hand += rest_p * math.log(rest_p / rest_q)
    assert float(found[0]) == pytest.approx(by_hand / 3, rel=1e-4)
    itself = LANGUAGE.distance(OUT, targets, LANGUAGE.stored(OUT), "mse", 2.0)
    assert float(itself.abs().max()) < 1e-3


def test_all_words_kept_or_one_sure_answer_make_no_infinite_distance() -> None:
    targets = LANGUAGE.targets(X, torch.tensor([0, 0]))
    sure = torch.zeros(2, 4, 7)
    sure[..., 2] = 200.0
    out = sure.clone().requires_grad_()
    apart = LANGUAGE.distance(out, targets, LANGUAGE.stored(OUT), "mse", 2.0)
    apart.sum().backward()  # type: ignore[no-untyped-call]
    assert out.grad is not None
    assert bool(torch.isfinite(apart).all())
    assert bool(torch.isfinite(out.grad).all())


def test_places_that_only_fill_up_are_cut_off_what_is_stored() -> None:
    targets = LANGUAGE.targets(X, torch.tensor([0, 0]))
    long = torch.zeros(2, 9, 7)
    stored = LANGUAGE.stored(torch.cat([OUT, long[:, 4:]], 1))
    whole = LANGUAGE.distance(OUT * 0.5, targets, LANGUAGE.stored(OUT), "mse", 1.0)
    assert torch.equal(LANGUAGE.distance(OUT * 0.5, targets, stored, "mse", 1.0), whole)


def test_an_answer_is_scored_by_how_much_of_it_the_likeliest_span_covers() -> None:
    out = torch.full((3, 2, 6), -5.0)
    for row, (start, end) in enumerate([(1, 3), (2, 4), (5, 5)]):
        out[row, 0, start], out[row, 1, end] = 5.0, 5.0
    assert [span.tolist() for span in best_spans(out)] == [[1, 2, 5], [3, 4, 5]]
    targets = READER.targets(torch.zeros(3, 6), torch.full((3,), 1 * SHIFT + 3))
    assert targets.tolist() == [[1, 3]] * 3
    assert READER.scores(out, targets).tolist() == pytest.approx([1.0, 2 / 3, 0.0])


def test_a_span_never_ends_before_it_begins() -> None:
    out = torch.zeros(1, 2, 4)
    out[0, 0, 3], out[0, 1, 0] = 9.0, 9.0
    start, end = best_spans(out)
    assert int(start) <= int(end)


def test_stored_positions_beyond_a_shorter_batch_count_for_nothing() -> None:
    out = torch.randn(2, 2, 6, generator=G)
    out[:, :, 4:] = -1e4
    short = out[:, :, :4]
    targets = torch.tensor([[0, 1], [1, 2]])
    apart = READER.distance(short, targets, READER.stored(out), "mse", 1.0)
    assert float(apart.abs().max()) < 1e-3


def test_a_head_of_its_own_is_all_that_counts_for_a_task() -> None:
    objective = Classification()
    out, z = torch.randn(2, 4, generator=G), torch.randn(2, 4, generator=G)
    head = torch.tensor([[0, 2], [2, 4]])
    y = torch.tensor([1, 2])
    own = [torch.log_softmax(out[0, :2], 0)[1], torch.log_softmax(out[1, 2:], 0)[0]]
    loss = objective.loss(narrowed(out, head), y)
    assert loss.tolist() == pytest.approx([-float(each) for each in own], rel=1e-5)
    apart = objective.distance(out, y, Stored(z, None), "mse", 2.0, head)
    by_hand = [float((out[0, :2] - z[0, :2]).square().mean()), float((out[1, 2:] - z[1, 2:]).square().mean())]
    assert apart.tolist() == pytest.approx(by_hand, rel=1e-5)
    wild = out.clone()
    wild[0, 3] = 99.0
    assert objective.scores(narrowed(wild, head), narrowed(out, head).argmax(1)).tolist() == [True, True]
