"""What a wake, or a scoring, will cost, told before it begins, by arithmetic alone. Torch-free."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from consolidation.estimate import (
    FLOAT,
    TEXT_FAMILIES,
    DryRun,
    Estimate,
    kept_each,
    model_sizes,
    optimizer_slots,
    runtime_bytes,
    text_width,
    words_a_token,
)
from consolidation.families.registry import family_spec, reader, vocabulary
from consolidation.memory.order import RESIDENT_BYTES
from consolidation.stored_size import answer_bytes, answer_numbers
from consolidation.token_fit import asked_at_once, learnt_at_once

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consolidation.estimate import DryRun
    from consolidation.recipe import WakeRecipe

# Records at a time through the model where it is only asked (probes.CHUNK, memory.remembering.CHUNK).
PROBED, ASKED = 256, 1024
# Outputs of one layer that are there together while a model is only asked: before and after it, its norm's
# and its activation's.
KEPT_ASKED: Final = 4
# Besides its numbers and logits: label, id, alignment; and the file's header.
RECORD_BYTES, HEADER_BYTES = 32, 64 * 2**10


def wake_estimate(
    recipe: WakeRecipe,
    *,
    family: str,
    config: Mapping[str, Any],
    rows: int,
    record_bytes: int,
    width: int | None = None,
    snapshots: bool = True,
    dry_run: DryRun | None = None,
) -> Estimate:
    """Analytic estimate of a wake.

    Args:
        rows: records of the training set.
        record_bytes: of one of them in its file.
        width: numbers, or tokens, of one record at most; None: as many as the model takes.
        snapshots: whether a workdir is used.
        dry_run: sizes of a model whose tensors only a library knows.

    Raises:
        NocturneInputError: `checkpoint.family`, `checkpoint.config`; `estimate.shapes` when the sizes of the
        model's tensors are not known and no dry run is given.
    """
    parameters, largest, hidden, frozen = model_sizes(family, config, width, dry_run)
    family, config = reader(family, config)
    spec = family_spec(family)
    clean = spec.validate_config(config)
    width = width or spec.input_width(clean)
    words = vocabulary(family, clean)
    weights, slots = FLOAT * parameters, optimizer_slots(recipe)
    steps = math.ceil(recipe.epochs * rows / recipe.batch)
    # weights, gradients, optimiser
    moved = weights * (2 + slots) + (FLOAT * largest if recipe.optimizer == "adamw" else 0)
    floats = FLOAT * rows * (width + answer_numbers(family, clean, width))
    resident = floats if floats <= RESIDENT_BYTES else 0
    one = widest_numbers(family, clean, width)
    told = rows if recipe.selection in {"herding", "max-loss"} else min(recipe.memories, rows)
    learnt = learnt_at_once(recipe.batch, width, words_a_token(family, clean))
    learning = int(FLOAT * kept_each(family) * learnt * hidden) + resident
    at_once = max(PROBED, min(ASKED, told))
    asked = FLOAT * KEPT_ASKED * one * asked_at_once(at_once, width, words)
    if recipe.selection == "herding":
        asked += FLOAT * rows * last_numbers(family, clean)
    kept = min(recipe.memories, rows) * (record_bytes + answer_bytes(family, clean, width) + RECORD_BYTES)
    if recipe.memory_bytes is not None:
        kept = min(kept, recipe.memory_bytes)
    kept += HEADER_BYTES if kept else 0
    snapshot = weights * (1 + slots)
    work = (2 * snapshot if snapshots else 0) + weights  # and what the stage is taken back by
    return Estimate(
        steps=steps,
        examples=steps * recipe.batch,
        peak_memory_bytes=runtime_bytes(family) + FLOAT * frozen + moved + max(learning, asked) + kept,
        work_bytes=work,
        output_bytes=weights + kept,
        disk_bytes=work + weights + kept,
    )


def score_estimate(
    *,
    family: str,
    config: Mapping[str, Any],
    rows: int = 0,
    width: int | None = None,
    snapshots: bool = True,
    dry_run: DryRun | None = None,
) -> Estimate:
    """Analytic estimate of a scoring: the model, one layer's answers to a handful of records, and the answers
    that are to be stored.

    Args:
        rows: memories whose answers are stored; width: numbers of one of them.

    Raises:
        NocturneInputError: as `wake_estimate`.
    """
    sizes = model_sizes(family, config, None, dry_run)
    family, config = reader(family, config)
    weights = FLOAT * sizes.parameters
    spec = family_spec(family)
    clean = spec.validate_config(config)
    words, whole = vocabulary(family, clean), spec.input_width(clean)
    width = width or whole
    asked, answered = (
        FLOAT * KEPT_ASKED * widest_numbers(family, clean, one) * asked_at_once(count, one, words)
        for count, one in ((PROBED, whole), (min(ASKED, rows), width))
    )
    # As they come, and once more when they are put together.
    kept = 2 * rows * answer_bytes(family, clean, width)
    work = 2 * weights if snapshots else 0
    return Estimate(
        steps=0,
        examples=0,
        peak_memory_bytes=(
            runtime_bytes(family) + weights + FLOAT * sizes.frozen + max(asked, answered + kept)
        ),
        work_bytes=work,
        output_bytes=0,
        disk_bytes=work,
    )


def widest_numbers(family: str, config: Mapping[str, Any], width: int | None = None) -> int:
    """The most numbers that one layer gives for one record of `width`, its input among them; `config` is
    validated."""
    wide = [width or family_spec(family).input_width(config)]
    if family == "encoder":
        wide.append(wide[0] * max(config["hidden_size"], config["intermediate_size"]))
    elif family == "causal_lm":
        wide.append(wide[0] * config["vocab_size"])
    elif family == "cnn":
        _, height, width = config["input"]
        for channels in config["convolutions"]:
            wide.append(channels * height * width)
            if config["pooling"] != "none":
                height, width = height // 2, width // 2
        wide += config["hidden"]
    elif family == "vision" and "width" in config:
        _, height, width = config["input"]
        shrink = 2 if config["stem"] == "imagenet" else 1
        wide.append(config["width"] * math.ceil(height / shrink) * math.ceil(width / shrink))
    else:
        shapes = family_spec(family).expected_shapes(config) or {}
        wide += [shape[0] for shape in shapes.values() if len(shape) > 1]
    return max(wide)


def last_numbers(family: str, config: Mapping[str, Any]) -> int:
    """Numbers of the last hidden state of one record; where only a library knows it, those of the outputs."""
    if family == "mlp" and len(config["layers"]) > 2:
        return int(config["layers"][-2])
    if family == "cnn" and config["hidden"]:
        return int(config["hidden"][-1])
    if family == "vision" and "width" in config:
        return int(config["width"]) * 8
    if family in TEXT_FAMILIES:
        return text_width(config)
    return max(family_spec(family).outputs(config), 0)
