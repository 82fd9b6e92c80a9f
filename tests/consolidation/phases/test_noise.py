from __future__ import annotations

import torch

from consolidation.families.adapter import adapter_of
from consolidation.phases.noise import noisy, recorded
from consolidation.weights import new_model
from tests.consolidation.helpers import CONFIG, batch_of, hooks, make_records

X, _ = batch_of(make_records(0, 500, 1))


def test_noise_has_no_effect_outside_its_context_whatever_the_mode() -> None:
    model = new_model("mlp", CONFIG, 1)
    blocks = adapter_of(model).blocks(model)
    for training in (True, False):
        model.train(training)
        before = model(X)
        with noisy(blocks, 0.3, torch.Generator().manual_seed(0)):
            inside = model(X)
        assert not torch.equal(inside, before)
        assert torch.equal(model(X), before)
        assert hooks(model) == 0


def test_hooks_go_when_the_block_fails() -> None:
    model = new_model("mlp", CONFIG, 1)
    blocks = adapter_of(model).blocks(model)
    try:
        with noisy(blocks, 0.3, torch.Generator()), recorded(blocks):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert hooks(model) == 0


def test_its_size_is_sigma_in_units_of_each_samples_rms() -> None:
    model = new_model("mlp", CONFIG, 1)
    block = adapter_of(model).blocks(model)[0]
    with torch.no_grad(), recorded([block]) as clean:
        model(X)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad(), noisy([block], 0.2, generator), recorded([block]) as noised:
        model(X)
    ratio = (noised[0] - clean[0]).square().mean(1).sqrt() / clean[0].square().mean(1).sqrt()
    assert abs(float(ratio.mean()) - 0.2) < 0.01


def test_a_token_has_noise_of_its_own_size_however_large_another_is() -> None:
    states = torch.ones(2, 5, 400)
    states[:, 0] *= 1000.0
    generator = torch.Generator().manual_seed(1)
    block = torch.nn.Identity()
    with noisy([block], 0.2, generator, tokens=True):
        noise = block(states) - states
    sizes = noise.square().mean(2).sqrt()
    assert torch.allclose(sizes[:, 1:], torch.full((2, 4), 0.2), rtol=0.15)
    assert torch.allclose(sizes[:, 0], torch.full((2,), 200.0), rtol=0.15)


def test_sigma_zero_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    model = new_model("mlp", CONFIG, 1)
    with noisy(adapter_of(model).blocks(model), 0.0, generator):
        assert hooks(model) == 0
        model(X)
    assert torch.equal(generator.get_state(), before)
