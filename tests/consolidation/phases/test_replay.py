"""The loss of a replay step, term by term, against sums done by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from consolidation.cycle import sleep
from consolidation.errors import NocturneInputError
from consolidation.families.module import wrap
from consolidation.memory.sampling import Batch
from consolidation.objectives.classification import Classification
from consolidation.phases import training
from consolidation.phases.accumulating import out_of_memory
from consolidation.phases.reconstructing import LinearDecoders, consistency
from consolidation.phases.replay import elastic, rehearsal
from consolidation.phases.training import FEWEST, probe_every
from consolidation.recipe import preset
from tests.consolidation.helpers import Recorder, bits, hooks, make_records, make_world

if TYPE_CHECKING:
    from consolidation.events import Event
    from tests.consolidation.helpers import World

OBJECTIVE = Classification()
G = torch.Generator().manual_seed(0)
LOGITS = torch.randn(6, 4, generator=G)
Z = torch.randn(6, 4, generator=G)
Y = torch.tensor([0, 1, 2, 3, 0, 1])
X = torch.zeros(6, 8)


def batch(stored: list[bool]) -> Batch:
    kept = torch.tensor(stored)
    return Batch(X, Y, Z * kept[:, None], kept, torch.zeros(6, dtype=torch.long))


def test_it_equals_dark_experience_replay_with_labels() -> None:
    recipe = preset("night", ce=0.7, distill=0.4)
    expected = 0.7 * functional.cross_entropy(LOGITS, Y) + 0.4 * functional.mse_loss(LOGITS, Z)
    assert torch.allclose(rehearsal(OBJECTIVE, LOGITS, batch([True] * 6), recipe).loss, expected)


def test_kl_is_scaled_by_the_square_of_the_temperature() -> None:
    recipe = preset("night", ce=0, distill=1, distill_loss="kl", temperature=3)
    teacher, student = (Z / 3).softmax(1), (LOGITS / 3).softmax(1)
    expected = 9 * (teacher * (teacher / student).log()).sum(1).mean()
    assert torch.allclose(rehearsal(OBJECTIVE, LOGITS, batch([True] * 6), recipe).loss, expected)


def test_memories_without_logits_put_both_weights_on_the_label() -> None:
    recipe = preset("night", ce=0.5, distill=0.5)
    stored = [True, False, True, False, False, True]
    total = 0.0
    for i, has in enumerate(stored):
        ce = float(functional.cross_entropy(LOGITS[i : i + 1], Y[i : i + 1]))
        total += 0.5 * ce + 0.5 * float((LOGITS[i] - Z[i]).square().mean()) if has else ce
    assert float(rehearsal(OBJECTIVE, LOGITS, batch(stored), recipe).loss) == pytest.approx(
        total / 6, rel=1e-5
    )
    none = rehearsal(OBJECTIVE, LOGITS, batch([False] * 6), recipe)
    assert "distill" not in none.parts
    assert torch.allclose(none.loss, functional.cross_entropy(LOGITS, Y))


def test_the_gradient_of_the_elastic_pull_is_its_closed_form() -> None:
    theta = torch.randn(9, generator=G, requires_grad=True)
    reference, fisher = torch.randn(9, generator=G), torch.rand(9, generator=G)
    [gradient] = torch.autograd.grad(elastic({"w": theta}, {"w": reference}, {"w": fisher}), theta)
    assert torch.allclose(gradient, fisher * (theta.detach() - reference))


def test_places_that_fill_a_text_up_count_for_nothing() -> None:
    """A text among longer ones costs what it costs alone."""
    generator = torch.Generator().manual_seed(0)
    clean, noised = (torch.randn(2, 3, 5, 4, generator=generator) for _ in range(2))
    lengths = (5, 2, 4)
    real = torch.arange(5) < torch.tensor(lengths)[:, None]
    alone = [
        consistency(
            [h[row : row + 1, :length] for h in clean],
            [h[row : row + 1, :length] for h in noised],
            tokens=True,
        )
        for row, length in enumerate(lengths)
    ]
    together = consistency(list(clean), list(noised), real)
    assert float(together) == pytest.approx(float(torch.stack(alone).mean()), rel=1e-6)
    assert float(together) != pytest.approx(
        float(consistency(list(clean), list(noised), tokens=True)), rel=1e-3
    )


def test_consistency_is_relative_per_sample_and_summed_over_blocks() -> None:
    clean = [torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[2.0], [1.0]])]
    noised = [torch.tensor([[3.0, 9.0], [1.0, 2.0]]), torch.tensor([[2.0], [0.0]])]
    assert float(consistency(clean, noised)) == pytest.approx((25 / 25 + 4 / 1) / 2 + (0 + 1) / 2)


def test_a_large_token_does_not_drown_the_others_and_an_empty_one_costs_next_to_nothing() -> None:
    def states(*sizes: float) -> list[Tensor]:
        return [torch.ones(1, 3, 4) * torch.tensor(sizes)[:, None]]

    assert float(consistency(states(9, 1, 1), states(9, 2, 1), tokens=True)) == pytest.approx(1 / 3)
    assert float(consistency(states(9, 1, 1), states(9, 2, 1))) == pytest.approx(1 / 83)
    assert float(consistency(states(1, 0, 1), states(1, 0.05, 1), tokens=True)) < 2


def test_channels_of_a_users_own_convolution_are_no_tokens() -> None:
    """After a ReLU a channel may be empty without noise and not with it."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Unflatten(1, (1, 8)), nn.Conv1d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)
    )
    model, records = wrap(net, 8, 4), [make_records(task, 80, 1) for task in range(2)]
    recipe = preset("night", reconstruct="consistency", passes=2.0, lr=0.01)
    heard = Recorder()
    sleep(model, records, [], recipe, on_event=heard)
    assert max(step["reconstruct"] for step in heard.of("step")) < 1


@pytest.mark.parametrize("shape", [(5, 7), (5, 4, 3, 3), (5, 6, 4)])
def test_a_linear_decoder_is_one_matrix_a_block_and_begins_as_the_identity(shape: tuple[int, ...]) -> None:
    """[n, width], [n, width, h, w] and [n, positions, width]."""
    block = nn.Unflatten(1, shape[1:])
    model = nn.Sequential(block)
    decoders = LinearDecoders(model, [block], math.prod(shape[1:]), torch.device("cpu"))
    h = torch.randn(shape, generator=G)
    assert torch.equal(decoders([h])[0], h)
    matrix, offset = decoders.weights["0/matrix"], decoders.weights["0/offset"]
    with torch.no_grad():
        matrix.normal_(generator=G)
        offset.normal_(generator=G)
    axes = {2: "ni,oi->no", 4: "nihw,oi->nohw", 3: "npi,oi->npo"}[len(shape)]
    bias = offset.reshape(-1, 1, 1) if len(shape) == 4 else offset
    assert torch.allclose(decoders([h])[0], torch.einsum(axes, h, matrix) + bias, atol=1e-5)


def test_linear_decoders_learn_beside_the_model_and_are_not_in_it() -> None:
    """Under heavy noise the best linear guess shrinks the state, so a trained decoder denoises better."""
    losses = {}
    for how in ("consistency", "linear-decoder"):
        world, heard = make_world(reconstruct=how, noise=1.0, passes=60.0, dream=0.0, merge=0.0), Recorder()
        names = set(world.model.state_dict())
        sleep(world.model, world.memories, world.probes, world.recipe, on_event=heard)
        assert set(world.model.state_dict()) == names
        losses[how] = [step["reconstruct"] for step in heard.of("step")]
    assert losses["linear-decoder"][0] == losses["consistency"][0]
    ends = {how: sum(values[-50:]) for how, values in losses.items()}
    assert ends["linear-decoder"] < 0.9 * ends["consistency"]


@pytest.mark.parametrize("micro", [1, 5, 16])
def test_micro_batches_take_the_step_of_the_whole_batch(micro: int) -> None:
    """Also with memories that have no logits, an anchor and the denoising term; without noise, which would
    be drawn in another order."""
    settings = {
        "noise": 0.0, "reconstruct": "consistency", "anchor": 0.5, "passes": 4.0, "dream": 0.0, "prune": 0.0,
        "eta": 0.0, "sampling": "uniform",
    }  # fmt: skip
    ends = []
    for size in (0, micro):
        world, heard = make_world(micro_batch=size, **settings), Recorder()
        sleep(
            world.model, world.memories, world.probes, world.recipe, reference=world.reference, on_event=heard
        )  # fmt: skip
        ends.append((world.model.state_dict(), heard.of("step")))
    (whole, steps), (parts, same) = ends
    for name, tensor in whole.items():
        assert torch.allclose(tensor, parts[name], rtol=0, atol=1e-6), name
    for a, b in zip(steps, same, strict=True):
        for term in ("loss", "ce", "distill", "reconstruct", "anchor", "grad_norm"):
            assert b[term] == pytest.approx(a[term], abs=1e-5), term


class Narrow(nn.Module):
    """An activation that runs out of memory above `room` records."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def forward(self, h: Tensor) -> Tensor:
        if torch.is_grad_enabled() and len(h) > self.room:
            raise torch.OutOfMemoryError(f"{len(h)} records")
        return h.relu()


def narrow(world: World, room: int) -> None:
    cast("nn.ModuleList", world.model.nocturne_hidden)[0] = Narrow(room)


def test_out_of_memory_halves_once_and_goes_on() -> None:
    world, heard = make_world(passes=2.0, dream=0.0, lr=None, fisher_samples=8), Recorder()
    narrow(world, 8)
    report = sleep(world.model, world.memories, world.probes, world.recipe, on_event=heard)
    assert report.steps == 15
    [told] = [log for log in heard.of("log") if "ran out of memory" in log["message"]]
    assert told["message"].startswith(
        "NREM replay ran out of memory with 16 records at a time; it goes on with 8"
    )


def test_out_of_memory_twice_is_one_sentence_and_the_weights_come_back() -> None:
    world = make_world(passes=2.0, dream=0.0, merge=0.0)
    before = bits(world.model)
    narrow(world, 3)
    with pytest.raises(NocturneInputError, match=r"with 8 records at a time.*micro_batch to 4") as caught:
        sleep(world.model, world.memories, world.probes, world.recipe)
    assert caught.value.code == "cycle.out_of_memory"
    assert bits(world.model) == before
    assert hooks(world.model) == 0


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, is_it: bool) -> None:
    assert out_of_memory(error) is is_it


def test_a_weight_that_is_not_finite_after_the_last_step_is_named() -> None:
    """No further loss would show it. (A fault of the machine: no finite step makes one.)"""
    world = make_world(passes=1.0, merge=0.0)
    before = bits(world.model)

    def strike(event: Event) -> None:
        if event.kind == "step" and event.step == 8:
            with torch.no_grad():
                world.model.get_parameter("a.1.weight")[3, 2] = math.inf

    with pytest.raises(
        NocturneInputError, match=r"In NREM replay tensor a\.1\.weight stopped being"
    ) as caught:
        sleep(world.model, world.memories, world.probes, world.recipe, on_event=strike)
    assert caught.value.code == "cycle.diverged"
    assert bits(world.model) == before


def test_all_terms_appear_in_the_events_when_asked_for() -> None:
    world, heard = make_world(anchor=1.0, reconstruct="consistency", passes=0.5), Recorder()
    sleep(world.model, world.memories, world.probes, world.recipe, reference=world.reference, on_event=heard)
    steps = [s for s in heard.of("step") if s["stage"] == "NREM replay"]
    for step in steps:
        terms = (step["ce"], step["distill"], step["reconstruct"], step["anchor"])
        assert all(value is not None and math.isfinite(value) for value in terms)
        ce, distill, reconstruct, anchor = terms
        # the third set's memories have logits, the second's do not: its labels count double
        assert step["loss"] >= 0.5 * ce + 0.5 * distill + 0.1 * reconstruct + anchor - 1e-5
    assert steps[-1]["anchor"] > 0
    assert steps[0]["noise"] == 0.05


def test_a_diverging_recipe_is_a_clear_error_and_the_weights_come_back() -> None:
    world = make_world(lr=100.0, clip=0.0, merge=0.0, distill=100.0, momentum=0.9)
    before = bits(world.model)
    with pytest.raises(NocturneInputError, match="stopped being a finite number at step") as caught:
        sleep(world.model, world.memories, world.probes, world.recipe)
    assert caught.value.code == "cycle.diverged"
    assert bits(world.model) == before
    assert hooks(world.model) == 0


def test_the_passes_are_capped_and_the_event_says_so() -> None:
    world, heard = make_world(passes=100.0, pass_cap=2.0, dream=0.0), Recorder()
    report = sleep(world.model, world.memories, world.probes, world.recipe, on_event=heard)
    assert report.steps == math.ceil(2 * 120 / 16)
    assert heard.of("decision")[0]["name"] == "pass_cap"


def test_without_the_wakes_rate_a_range_test_finds_one_and_changes_nothing_else() -> None:
    world, heard = make_world(lr=None), Recorder()
    sleep(world.model, world.memories, world.probes, world.recipe, on_event=heard)
    [decision] = [d for d in heard.of("decision") if d["name"] == "lr"]
    losses = {float(rate): value for rate, value in decision["detail"]["losses"].items()}
    best = min((v, r) for r, v in losses.items() if v is not None)[1]
    assert heard.of("step")[0]["lr"] == best
    known = make_world(lr=best)
    sleep(known.model, known.memories, known.probes, known.recipe)
    # the noise stream went on during the test, so compare without it
    quiet, same = make_world(lr=None, noise=0), make_world(lr=best, noise=0)
    for one in (quiet, same):
        sleep(one.model, one.memories, one.probes, one.recipe)
    assert bits(quiet.model) == bits(same.model)


def test_a_share_of_the_wakes_rate_is_taken_when_it_is_known() -> None:
    world, heard = make_world(lr=None, wake_lr=0.06, lr_share=0.5), Recorder()
    sleep(world.model, world.memories, world.probes, world.recipe, on_event=heard)
    assert heard.of("step")[0]["lr"] == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("steps", "probe", "dear", "every"),
    [
        (200, 10_000, False, 10),
        (200, 300, True, 10),  # costs less than a tenth of what ten steps of 32 do
        (19, 300, True, 3),  # would pay for itself after 7 steps, but the chart has at least 6 points
        (60, 300, True, 7),
        (1, 10**6, True, 1),
    ],
)
def test_dear_probes_are_fewer(steps: int, probe: int, dear: bool, every: int) -> None:
    assert probe_every(steps, 32, probe, dear) == every


@given(st.integers(1, 10**5), st.integers(0, 10**7))
def test_a_chart_has_points_however_dear_a_probe_is(steps: int, probe: int) -> None:
    assert min(FEWEST, steps) <= steps // probe_every(steps, 32, probe, True) <= 20


def test_an_early_stop_is_an_event() -> None:
    world, heard = make_world(min_gain=1.0, dream=0.0, passes=40), Recorder()
    report = sleep(world.model, world.memories, world.probes, world.recipe, on_event=heard)
    [decision] = [d for d in heard.of("decision") if d["name"] == "early_stop"]
    planned = decision["detail"]["planned"]
    assert planned / 2 <= decision["detail"]["steps"] == report.steps < planned


@pytest.mark.parametrize("average", [0.0, 0.6])
def test_a_night_of_few_probes_can_stop_early_too(average: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "DEAR", 0)
    monkeypatch.setattr(training, "PROBES_SHARE", 1e-9)
    world, heard = make_world(min_gain=1.0, average=average, dream=0.0, passes=40), Recorder()
    sleep(world.model, world.memories, world.probes, world.recipe, on_event=heard)
    [decision] = [d for d in heard.of("decision") if d["name"] == "early_stop"]
    assert decision["detail"]["steps"] < decision["detail"]["planned"]


def test_no_early_stop_before_half_of_the_steps() -> None:
    """Without averaging it began after three probes of twenty."""
    world, heard = make_world(min_gain=1.0, average=0.0, dream=0.0, passes=40), Recorder()
    sleep(world.model, world.memories, world.probes, world.recipe, on_event=heard)
    [decision] = [d for d in heard.of("decision") if d["name"] == "early_stop"]
    assert decision["detail"]["steps"] == pytest.approx(decision["detail"]["planned"] / 2, rel=0.06)
