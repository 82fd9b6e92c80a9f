"""Each method against its paper's equation, and what all methods have in common."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

from consolidation.baselines.buffer import Memories
from consolidation.baselines.derpp import DarkReplay, ThinDarkReplay
from consolidation.baselines.er import ExperienceReplay
from consolidation.baselines.ewc import OnlineEwc
from consolidation.baselines.joint import Joint
from consolidation.baselines.method import METHODS, Learner, make_method
from consolidation.baselines.pnn import ProgressiveNets
from consolidation.baselines.setting import Hyper
from consolidation.errors import NocturneInputError
from consolidation.weights import new_model
from tests.consolidation.baselines.worlds import CLASSES, CONFIG, TASKS, make_setting, task_data

SINGLE = [name for name in METHODS if name not in ("pnn", "joint")]


def learned(name: str, tasks: int = TASKS, **changes: object) -> Learner:
    method = make_method(name, make_setting(**changes))
    for task in range(tasks):
        method.learn(task, task_data(task))
    return method  # type: ignore[return-value]


# ---------------------------------------------------------------- the equations


def test_derpp_descends_the_sum_of_its_three_terms() -> None:
    method = learned("derpp", 1)
    assert isinstance(method, DarkReplay)
    x, y = torch.rand(16, 12), torch.randint(0, CLASSES, (16,))
    dark = Memories(torch.rand(8, 12), torch.randint(0, CLASSES, (8,)), torch.randn(8, CLASSES))
    labelled = Memories(torch.rand(6, 12), torch.randint(0, CLASSES, (6,)), torch.randn(6, CLASSES))
    loss = functional.cross_entropy(method.model(x), y) + method.replay_terms(dark, labelled)

    with torch.no_grad():
        manual = -method.model(x).log_softmax(1)[torch.arange(16), y].sum() / 16
        manual += 0.3 * (method.model(dark.x) - dark.z).square().sum() / (8 * CLASSES)
        manual -= 0.7 * method.model(labelled.x).log_softmax(1)[torch.arange(6), labelled.y].sum() / 6
    assert float(loss.detach()) == pytest.approx(float(manual), rel=1e-5)


def test_derpp_keeps_the_logits_from_before_the_step() -> None:
    method = DarkReplay(make_setting(epochs=1, buffer=16))
    start = copy.deepcopy(method.model)
    data = task_data(0, 16)
    method.learn(0, data)
    kept = method.buffer
    expected = start(method.setting.inputs(kept.x)).detach()
    assert torch.allclose(kept.z, expected, atol=1e-6)


def test_ewc_penalty_gradient_is_the_closed_form() -> None:
    method = learned("ewc", 2)
    assert isinstance(method, OnlineEwc)
    with torch.no_grad():
        for parameter in method.parameters:
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    gradients = torch.autograd.grad(method.penalty(), method.parameters)
    for g, f, p, a in zip(gradients, method.fisher, method.parameters, method.anchor, strict=True):
        assert torch.allclose(g, 2 * f * (p - a).detach(), rtol=1e-5, atol=1e-9)


def test_ewc_adds_up_the_fisher_and_holds_back_what_it_weighs() -> None:
    one, two, free = learned("ewc", 1), learned("ewc", 2), learned("finetune", 2)
    assert isinstance(one, OnlineEwc) and isinstance(two, OnlineEwc)
    assert all(bool((b >= a).all()) for a, b in zip(one.fisher, two.fisher, strict=True))

    def moved(method: Learner) -> float:
        pairs = zip(one.fisher, method.parameters, one.anchor, strict=True)
        return sum(float((f * (p - a).square()).sum().detach()) for f, p, a in pairs)

    assert moved(two) < 0.8 * moved(free)


def test_er_joins_the_stream_and_as_many_memories_of_the_past() -> None:
    method = learned("er", 1)
    assert isinstance(method, ExperienceReplay)
    x, y = torch.full((16, 12), -1.0), torch.zeros(16, dtype=torch.long)
    both_x, both_y, _ = method.joined(x, y, None)
    assert both_x.shape == (32, 12) and both_y.shape == (32,)
    assert torch.equal(both_x[:16], x)
    held = method.setting.inputs(method.buffer.x)
    assert all(bool((held == row).all(1).any()) for row in both_x[16:])


def test_progressive_columns_never_change_an_old_one() -> None:
    method = ProgressiveNets(make_setting(task_ids=True))
    x = torch.rand(20, 12)
    bits: list[list[bytes]] = []
    answers: list[torch.Tensor] = []
    for task in range(TASKS):
        method.learn(task, task_data(task))
        for old in range(task):
            now = [p.detach().numpy().tobytes() for p in method.columns[old].parameters()]
            assert now == bits[old]
            assert torch.equal(method.logits(x, old), answers[old])
        bits.append([p.detach().numpy().tobytes() for p in method.columns[task].parameters()])
        answers.append(method.logits(x, task))


def test_a_progressive_column_starts_as_the_benchmarks_model_does() -> None:
    def ones(seed: int) -> torch.nn.Module:
        model = new_model("mlp", CONFIG, seed)
        for parameter in model.parameters():
            torch.nn.init.ones_(parameter)
        return model

    column = ProgressiveNets(make_setting(task_ids=True, build=ones)).grow(0)
    assert all(bool((parameter == 1).all()) for parameter in column.layers.parameters())


def test_a_progressive_column_hears_the_older_ones() -> None:
    method = ProgressiveNets(make_setting(task_ids=True))
    for task in range(2):
        method.learn(task, task_data(task))
    x = torch.rand(5, 12)
    before = method.logits(x, 1)
    with torch.no_grad():
        next(iter(method.columns[0].parameters())).add_(0.5)
    assert not torch.allclose(method.logits(x, 1), before)


# ---------------------------------------------------------------- counting


@pytest.mark.parametrize(("name", "expected"), [("finetune", 1.0), ("er", 2.0), ("derpp", 3.0)])
def test_compute_is_what_the_equations_ask_for(name: str, expected: float) -> None:
    method = learned(name, buffer=64)
    examples = TASKS * 2 * 96
    first_step = 16 * (expected - 1)  # nothing to replay yet; then what there is, until 16 are held
    assert method.cost.compute / examples == pytest.approx(
        (expected * examples - first_step) / examples, abs=0.02
    )
    assert method.cost.steps == TASKS * 2 * 6


def test_thinned_derpp_costs_what_it_was_given() -> None:
    data = task_data(0, 96)
    method = ThinDarkReplay(make_setting(epochs=40, buffer=64, ratio=1.15))
    for task in range(TASKS):
        method.learn(task, data)
    assert method.cost.compute / (TASKS * 40 * 96) == pytest.approx(1.15, abs=0.005)


def test_a_night_is_counted_whole() -> None:
    method = make_method("sleep", make_setting(recipe={"fisher_samples": 10, "batch": 8, "fresh": 0}))
    method.learn(0, task_data(0))
    # wake 192, replay .15 of it in steps of 8, Fisher of 10 memories, and a few examples by which the Fisher
    # learns a model's layers; logits of 20 memories forward only
    steps, few = round(0.15 * 192 / 8), 8
    once = 192 + 8 * steps + 10
    assert once <= method.cost.fb <= once + few
    assert method.cost.f >= 20
    method.learn(1, task_data(1))
    twice = 2 * once + 10  # merging asks for the newest memories' Fisher too
    assert twice <= method.cost.fb <= twice + 3 * few
    assert method.cost.steps == 2 * (12 + steps)


def test_joint_training_sees_everything_once_an_epoch_and_only_then_can_be_scored() -> None:
    method = Joint(make_setting())
    for task in range(TASKS):
        assert not method.scored
        method.learn(task, task_data(task))
    assert method.scored and method.cost.fb == TASKS * 2 * 96


# ---------------------------------------------------------------- what all have in common


@pytest.mark.parametrize("name", SINGLE)
def test_one_seed_gives_the_same_bits_and_another_does_not(name: str) -> None:
    first, again, other = learned(name, 2), learned(name, 2), learned(name, 2, seed=6)
    mine = [p.detach() for p in first.parameters]
    assert all(torch.equal(a, b) for a, b in zip(mine, again.parameters, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(mine, other.parameters, strict=True))


def test_every_method_wakes_as_fine_tuning_does() -> None:
    night = learned("sleep", 1, recipe={"duration": 0.0, "merge": 0.0, "prune": 0.0, "strengthen_top": 0.0})
    plain = learned("finetune", 1)
    assert all(torch.equal(a, b) for a, b in zip(night.parameters, plain.parameters, strict=True))


@pytest.mark.parametrize("name", ["er", "derpp", "sleep"])
def test_a_budget_in_bytes_is_kept(name: str) -> None:
    budget = 4000
    for codec in ("float32", "raw", "deflate"):
        method = learned(name, buffer=None, buffer_bytes=budget, codec=codec)
        assert 0.6 * budget < method.stored_bytes() <= budget


def test_memories_of_a_night_are_shared_evenly_and_keep_the_logits_of_their_own_day() -> None:
    method = learned("sleep", buffer=20)
    sizes = [len(kept) for kept in method.memories]  # type: ignore[attr-defined]
    assert sizes == [7, 7, 6]
    assert all(kept.z is not None and kept.z.dtype == "f2" for kept in method.memories)  # type: ignore[attr-defined]


# ---------------------------------------------------------------- refusals


def test_progressive_networks_ask_for_task_ids() -> None:
    with pytest.raises(NocturneInputError, match="--task-ids") as caught:
        make_method("pnn", make_setting())
    assert caught.value.code == "benchmark.task_ids"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"codec": "zip"}, "benchmark.codec"),
        ({"buffer": None}, "benchmark.buffer"),
        ({"buffer_bytes": 100}, "benchmark.buffer"),
        ({"buffer": None, "buffer_bytes": 50}, "benchmark.buffer"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(NocturneInputError) as caught:
        make_method("er", make_setting(**changes))
    assert caught.value.code == code


def test_an_unknown_method_is_answered_with_those_there_are() -> None:
    with pytest.raises(NocturneInputError, match="derpp-thin"):
        make_method("gem", make_setting())


def test_a_learning_rate_that_diverges_is_named() -> None:
    with pytest.raises(NocturneInputError, match="lower learning rate"):
        learned("finetune", hyper=lambda name, records: Hyper(lr=1e20))
