"""PyTorch's own random stream, which Dropout and its kin draw from: taken over for a run, then given back.

Without it two days of one seed would differ, and a resumed day would not be the unbroken one, for any net
that drops units while it learns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


class OwnStream:
    """The streams of the processor and of `device`, begun from `seed`."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed, self._device = seed, device
        self._outside: dict[str, Tensor] = {}

    def begin(self) -> None:
        """From now on the streams are the run's."""
        self._outside = self.tensors()
        torch.manual_seed(self._seed)

    def end(self) -> None:
        """The caller's streams go on as if nothing had been drawn."""
        self.load(self._outside)

    def tensors(self) -> dict[str, Tensor]:
        """Where the streams are now, uint8, by kind of device."""
        found = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            found["cuda"] = torch.cuda.get_rng_state(self._device)
        elif self._device.type == "mps":
            found["mps"] = torch.mps.get_rng_state()
        return found

    def load(self, states: Mapping[str, Tensor]) -> None:
        """What `tensors` gave; kinds of device that are not there are left alone."""
        if "cpu" in states:
            torch.set_rng_state(states["cpu"])
        if "cuda" in states and self._device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"], self._device)
        if "mps" in states and self._device.type == "mps":
            torch.mps.set_rng_state(states["mps"])
