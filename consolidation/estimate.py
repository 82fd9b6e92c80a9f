"""What a night will cost, told before it begins, by arithmetic alone. Torch-free."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from consolidation.errors import NocturneInputError
from consolidation.families.registry import family_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from consolidation.recipe import SleepRecipe

FLOAT = 4
RUNTIME_BYTES = 300 * 2**20  # an idle process that has imported PyTorch


class Budget(NamedTuple):
    """Steps of one round's replay; `asked` is before the cap on passes."""

    steps: int
    asked: int
    capped: bool


def replay_budget(recipe: SleepRecipe, memories: int) -> Budget:
    """Steps a round: `duration` of the wake's examples when they are known, else `passes`."""
    if recipe.wake_examples is not None:
        examples = recipe.duration * recipe.wake_examples
    else:
        examples = recipe.passes * memories
    asked = round(examples / recipe.batch / recipe.rounds)
    if examples > 0:
        asked = max(1, asked)
    most = math.ceil(recipe.pass_cap * memories / recipe.batch / recipe.rounds) if recipe.pass_cap else asked
    return Budget(min(asked, most), asked, asked > most)


def dream_steps(recipe: SleepRecipe, memories: int) -> int:
    """Steps of one round's dreams."""
    return round(recipe.dream * replay_budget(recipe, memories).steps)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes and steps; `disk_bytes` is the work folder at its fullest plus what is published."""

    steps: int
    examples: int
    peak_memory_bytes: int
    work_bytes: int
    output_bytes: int
    disk_bytes: int

    def to_json(self) -> dict[str, int]:
        return asdict(self)


def estimate(
    recipe: SleepRecipe,
    *,
    family: str,
    config: Mapping[str, Any],
    memories: Sequence[int],
    reference: bool = False,
    snapshots: bool = True,
) -> Estimate:
    """Analytic estimate of a sleep.

    Args:
        memories: records in each set.
        reference: whether the model before waking is given.
        snapshots: whether a workdir is used.

    Raises:
        NocturneInputError: `checkpoint.family`, `checkpoint.config`; `estimate.shapes` for a family whose
            tensors only its library knows.
    """
    spec = family_spec(family)
    shapes = spec.expected_shapes(config)
    if shapes is None:
        raise NocturneInputError(
            "estimate.shapes",
            f"The size of this {spec.title} is known to its library only, so the cost cannot be told by "
            "arithmetic; start the night, its first minute shows the pace.",
        )
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    parameters = sum(sizes.values())
    weights = FLOAT * parameters
    total = sum(memories)
    steps = recipe.rounds * (replay_budget(recipe, total).steps + dream_steps(recipe, total))
    slots = 2 if recipe.optimizer == "adamw" else int(recipe.momentum > 0)
    average = int(recipe.average > 0)
    reshapes = recipe.prune > 0 or recipe.strengthen_top > 0
    fisher = int(reshapes)
    # a snapshot and its predecessor: weights, average, optimiser slots, and the Fisher once there is one;
    # in the replay of a second round, all of them at once
    together = 1 + average + slots + (fisher if recipe.rounds > 1 else 0)
    one = weights * max(together, 1 + fisher)
    undo = weights
    work = (2 * one if snapshots else 0) + undo
    activations = FLOAT * recipe.batch * sum(shape[0] for shape in shapes.values() if len(shape) == 2) * 4
    resident = weights * (2 + average + slots + fisher + (2 if reference else 0)) + activations
    output = weights + fisher * weights // 2
    return Estimate(
        steps=steps,
        examples=steps * recipe.batch,
        peak_memory_bytes=RUNTIME_BYTES + resident,
        work_bytes=work,
        output_bytes=output,
        disk_bytes=work + output,
    )
