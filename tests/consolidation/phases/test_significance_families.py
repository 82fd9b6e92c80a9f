"""The per-sample Fisher of every family and every kind of layer against the loop that its definition is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from consolidation.errors import NocturneInputError
from consolidation.memory.order import Walk
from consolidation.memory.sampling import Batch
from consolidation.objectives.classification import Classification
from consolidation.phases.per_sample import add_plainly, choose_ways
from consolidation.phases.significance import estimate_fisher
from consolidation.weights import Fisher, load_fisher, save_fisher
from tests.consolidation.families_helpers import nets, picture_records
from tests.consolidation.helpers import batch_of, hooks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECORDS = picture_records(0, 9, 1)


def fisher(model: nn.Module, mode: str) -> Fisher:
    return estimate_fisher(
        model, RECORDS, samples=99, labels=mode, generator=torch.Generator().manual_seed(4),
        device=torch.device("cpu"),
    )  # fmt: skip


def brute_force(model: nn.Module, mode: str) -> dict[str, Tensor]:
    """One sample at a time, one backward pass for each label."""
    x, y = batch_of(RECORDS)
    order = torch.from_numpy(Walk(len(y), 1, 0).take(len(y)))
    x, y = x[order], y[order]
    with torch.no_grad():
        p = functional.softmax(model(x), 1)
    drawn = torch.multinomial(p, 1, generator=torch.Generator().manual_seed(4)).squeeze(1)
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for row in range(len(x)):
        for label in {"true": [int(y[row])], "sampled": [int(drawn[row])], "exact": range(4)}[mode]:
            model.zero_grad()
            loss = functional.cross_entropy(model(x[row : row + 1]), torch.tensor([label]))
            loss.backward()  # type: ignore[no-untyped-call]
            weight = float(p[row, label]) if mode == "exact" else 1.0
            for name, parameter in model.named_parameters():
                if parameter.grad is not None:
                    total[name] += weight * parameter.grad.square()
    model.zero_grad()
    return {name: tensor / len(x) for name, tensor in total.items()}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert float((found[name] - tensor).norm()) <= 1e-5 * float(tensor.norm()), name


def plain_ones(model: nn.Module) -> list[str]:
    x, y = batch_of(RECORDS)
    return choose_ways(model.eval(), Batch.of(x[:2], y[:2]), Classification()).plain


@pytest.mark.parametrize("mode", ["sampled", "true", "exact"])
@pytest.mark.parametrize("name", list(nets()))
def test_it_equals_brute_force(name: str, mode: str) -> None:
    model = nets()[name]
    found = fisher(model, mode)
    assert (found.samples, found.labels) == (9, mode)
    assert_equal(found.tensors, brute_force(model, mode))
    assert plain_ones(model) == []
    assert hooks(model) == 0


@pytest.mark.parametrize("mode", ["sampled", "true", "exact"])
@pytest.mark.parametrize("size", [1e12, 1e30])
def test_what_overflows_is_one_sentence(size: float, mode: str) -> None:
    model = nets()["cnn with norms"]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(size)
    with pytest.raises(NocturneInputError, match="beyond the largest number") as caught:
        fisher(model, mode)
    assert caught.value.code == "fisher.non_finite"
    assert hooks(model) == 0


class Pictured(nn.Module):
    """Takes flat records as pictures [n, 3, 8, 8]."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.layers(x.reshape(-1, 8, 8, 3).permute(0, 3, 1, 2))
        return h.flatten(2).mean(2)


class Tokens(nn.Module):
    """Eight tokens a record, a position embedding that is used for two of them, and a mean at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(24, 6)
        self.place = nn.Embedding(5, 6, padding_idx=4)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.tensor([0, 1, 2, 3, 0, 4, 2, 2]).expand(len(x), -1)
        h = self.into(x.reshape(-1, 8, 24)) + self.place(places)
        logits: Tensor = self.head(functional.gelu(self.norm(h))).mean(1)
        return logits


class Windows(nn.Module):
    """A Linear layer that sees [n * windows, ...], as windowed attention does."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.head = nn.Linear(48, 5), nn.Linear(20, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.inside(x.reshape(-1, 48)))
        logits: Tensor = self.head(h.reshape(len(x), -1))
        return logits


class Shaken(nn.Module):
    """A net that changes a noted output in place, like ReLU(inplace=True) after a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(192, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        h += 0.5
        logits: Tensor = self.last(functional.relu(h, inplace=True))
        return logits


def ruled() -> dict[str, nn.Module]:
    """Nets whose every parameter has a rule."""
    torch.manual_seed(7)
    return {
        "stride, dilation and groups": Pictured(
            nn.Conv2d(3, 6, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(2, 1)),
            nn.Tanh(),
            nn.Conv2d(6, 4, 3, groups=2, bias=False),
        ),
        "same padding": Pictured(
            nn.Conv2d(3, 5, (3, 5), padding="same"), nn.Tanh(), nn.Conv2d(5, 4, 1, padding="valid")
        ),
        "depthwise": Pictured(nn.Conv2d(3, 6, 3, padding=1, groups=3), nn.GELU(), nn.Conv2d(6, 4, 1)),
        "group norm": Pictured(nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6), nn.Tanh(), nn.Conv2d(6, 4, 1)),
        "tokens": Tokens(),
        "windows": Windows(),
        "in place": Shaken(),
    }


@pytest.mark.parametrize("name", list(ruled()))
def test_every_rule_equals_brute_force(name: str) -> None:
    model = ruled()[name].eval()
    assert plain_ones(model) == []
    for mode in ("sampled", "exact"):
        assert_equal(fisher(model, mode).tensors, brute_force(model, mode))


class Tied(nn.Module):
    """One matrix used twice: by a layer and, transposed, without one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(192, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        logits: Tensor = self.last(torch.tanh(h @ self.first.weight @ self.first.weight.T))
        return logits


class Twice(nn.Module):
    """A layer run twice, a parameter outside any layer, and a layer that no rule knows."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.again, self.last = nn.Linear(192, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.mix = nn.Bilinear(8, 8, 8)

    def forward(self, x: Tensor) -> Tensor:
        h = self.scale * torch.tanh(self.into(x))
        h = torch.tanh(self.again(torch.tanh(self.again(h))))
        logits: Tensor = self.last(self.mix(h, h))
        return logits


class Choosy(Tied):
    """Python branches on a value, which no vectorised map can follow."""

    def forward(self, x: Tensor) -> Tensor:
        h = super().forward(x)
        return h * 2 if float(x.sum()) > 0 else h


@pytest.mark.parametrize(
    ("make", "plain"),
    [
        (Tied, ["first.weight"]),
        (Twice, ["scale", "again.weight", "again.bias", "mix.weight", "mix.bias"]),
        (
            lambda: Pictured(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")),
            ["layers.0.weight", "layers.0.bias"],
        ),
    ],
    ids=["tied", "twice", "reflected"],
)
def test_what_no_rule_is_right_for_is_found_plainly(make: Callable[[], nn.Module], plain: list[str]) -> None:
    torch.manual_seed(8)
    model = make()
    assert plain_ones(model) == plain
    for mode in ("sampled", "exact"):
        assert_equal(fisher(model, mode).tensors, brute_force(model, mode))


def test_a_model_that_branches_on_values_goes_sample_by_sample() -> None:
    torch.manual_seed(9)
    model = Choosy().eval()
    x, y = batch_of(RECORDS)
    total = {"first.weight": torch.zeros(8, 192)}
    add_plainly(model, total, Batch.of(x, y), y, None, Classification())
    assert_equal(
        {"first.weight": total["first.weight"] / 9},
        {"first.weight": brute_force(model, "true")["first.weight"]},
    )


def test_memories_in_chunks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nets()["resnet18"]
    whole = fisher(model, "true").tensors
    for name in ("PIECE", "WINDOWS"):
        monkeypatch.setattr(f"consolidation.phases.squares.{name}", 64)
    monkeypatch.setattr("consolidation.phases.per_sample.ACTIVATIONS", 1)
    assert (
        choose_ways(model, Batch.of(*(part[:2] for part in batch_of(RECORDS))), Classification()).chunk == 1
    )
    assert_equal(fisher(model, "true").tensors, whole)


@pytest.mark.parametrize("name", ["cnn", "cnn with norms", "resnet18"])
def test_the_square_of_a_batch_mean_is_about_one_batch_too_small(name: str) -> None:
    model = nets()[name]
    x, _ = batch_of(RECORDS)
    exact = sum(float(tensor.sum()) for tensor in fisher(model, "exact").tensors.values())
    wrong, draws = 0.0, 300
    generator = torch.Generator().manual_seed(1)
    for _ in range(draws):
        model.zero_grad()
        logits = model(x)
        drawn = torch.multinomial(functional.softmax(logits.detach(), 1), 1, generator=generator).squeeze(1)
        functional.cross_entropy(logits, drawn).backward()  # type: ignore[no-untyped-call]
        wrong += sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None) / draws
    # the gradients of sampled labels have mean 0, so those of B samples add up as their squares do
    assert wrong == pytest.approx(exact / len(x), rel=0.15)


@pytest.mark.parametrize("name", list(nets()))
def test_it_is_stored_beside_every_family(name: str, tmp_path: Path) -> None:
    found = fisher(nets()[name], "exact")
    save_fisher(found, tmp_path / "f")
    back = load_fisher(tmp_path / "f")
    assert (back.samples, back.labels) == (9, "exact")
    for key, tensor in found.tensors.items():
        assert back.tensors[key].shape == tensor.shape
        assert float((back.tensors[key] - tensor).norm()) <= 1e-3 * float(tensor.norm())
