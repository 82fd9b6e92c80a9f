"""What a night will cost, told before it begins, by arithmetic alone. Torch-free."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from consolidation.errors import NocturneInputError
from consolidation.families.registry import family_objective, family_spec, reader, vocabulary
from consolidation.memory.order import RESIDENT_BYTES
from consolidation.stored_size import answer_numbers
from consolidation.token_fit import learnt_at_once

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from consolidation.recipe import SleepRecipe, WakeRecipe

FLOAT = 4
RUNTIME_BYTES = 250 * 10**6  # an idle process that has imported the engine
# Numbers kept a hidden number in a training step (layer, norm, activation, noise, their gradients, the
# libraries' own buffers), found by running the families; the measured ones are in tests/bench (estimate).
KEPT_EACH = 5.5
# Of text models: the transformers library comes on top, and attention keeps less.
TEXT_FAMILIES: Final = frozenset({"encoder", "causal_lm"})
TEXT_RUNTIME_BYTES, TEXT_KEPT_EACH = 400 * 10**6, 3.0
# Of the significance of a text model: records and layer outputs at once (phases.per_sample).
SQUARED_RECORDS, SQUARED_NUMBERS = 256, 2**25


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


class Inversion(NamedTuple):
    """A round's dreams by inversion: batches of them, the forward and backward passes of a batch that making
    all of them takes, and the steps of their replay."""

    batches: int
    steps: int
    replayed: int


def inversion_budget(recipe: SleepRecipe, memories: int) -> Inversion:
    """No more steps to make dreams than to replay them, but one batch of dreams at least."""
    replayed = dream_steps(recipe, memories)
    if replayed == 0 or recipe.dream_kind != "inversion":
        return Inversion(0, 0, replayed)
    batches = max(1, replayed // recipe.inversion_steps)
    return Inversion(batches, batches * recipe.inversion_steps, replayed)


def night_steps(recipe: SleepRecipe, memories: int, extended: float = 0.0) -> int:
    """Steps of all rounds: replay (and its extension, a share), dreams, and making the dreams where they are
    made by steps."""
    dreams = inversion_budget(recipe, memories)
    replayed = math.ceil(replay_budget(recipe, memories).steps * (1 + extended))
    return recipe.rounds * (replayed + dreams.steps + dreams.replayed)


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a few real steps told: seconds a step, parameters, hidden numbers a record."""

    seconds_per_step: float
    parameters: int
    hidden: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes and steps; `disk_bytes` is the work folder at its fullest plus what is published; `minutes` only
    after a dry run, for steps and significance, without probes."""

    steps: int
    examples: int
    peak_memory_bytes: int
    work_bytes: int
    output_bytes: int
    disk_bytes: int
    minutes: float | None = None

    def to_json(self) -> dict[str, int | float | None]:
        return asdict(self)


def estimate(
    recipe: SleepRecipe,
    *,
    family: str,
    config: Mapping[str, Any],
    memories: Sequence[int],
    width: int | None = None,
    reference: bool = False,
    snapshots: bool = True,
    dry_run: DryRun | None = None,
) -> Estimate:
    """Analytic estimate of a sleep.

    Args:
        memories: records in each set; of a night that uses the day, its sample (`recipe.fresh` records at
            most) in the place of the newest task's memories.
        width: numbers, or tokens, of one record at most; None: as many as the model takes.
        reference: whether the model before waking is given.
        snapshots: whether a workdir is used.
        dry_run: from `dry_run.dry_run`; gives minutes, and the sizes of a model whose tensors only a library
            knows.

    Raises:
        NocturneInputError: `checkpoint.family`, `checkpoint.config`; `estimate.shapes` when the sizes of the
        model's tensors are not known and no dry run is given.
    """
    parameters, largest, hidden, frozen = model_sizes(family, config, width, dry_run)
    family, config = reader(family, config)
    total = sum(memories)
    steps = night_steps(recipe, total)
    weights = FLOAT * parameters
    average = int(recipe.average > 0)
    slots = optimizer_slots(recipe)
    # a snapshot and its predecessor: weights, average, optimiser slots, and the Fisher once there is one;
    # in the replay of a second round, all of them at once
    together = 1 + average + slots + int(recipe.rounds > 1)
    one = weights * max(together, 2)
    if reference and recipe.anchor > 0:
        one += weights  # the reference's Fisher
    if recipe.prune_mode == "mask":
        one += parameters  # a byte each
    decoders = FLOAT * decoder_numbers(family, config) if recipe.reconstruct == "linear-decoder" else 0
    one += decoders * (1 + slots)
    work = (2 * one if snapshots else 0) + weights  # and what a stage is taken back by
    output = weights + weights // 2  # the Fisher beside it, in half precision
    spec = family_spec(family)
    clean = spec.validate_config(config)
    width = width or spec.input_width(clean)
    at_once = min(recipe.micro_batch or recipe.batch, recipe.batch)
    at_once = learnt_at_once(at_once, width, words_a_token(family, clean))
    activations = int(FLOAT * kept_each(family) * at_once * hidden)
    if family in TEXT_FAMILIES:
        squared = min(recipe.fisher_samples, total, SQUARED_RECORDS) * hidden
        looked_at = min(squared, max(SQUARED_NUMBERS, hidden))
        activations = max(activations, int(FLOAT * TEXT_KEPT_EACH * looked_at))
    resident = _resident(recipe, weights, FLOAT * largest, reference) + activations + decoders * (2 + slots)
    resident += FLOAT * frozen
    records = FLOAT * total * (width + answer_numbers(family, clean, width))
    resident += records if records <= RESIDENT_BYTES else 0
    # inverted dreams as they are kept, and a batch of them with its gradient and Adam's two
    batches = inversion_budget(recipe, total).batches
    resident += FLOAT * width * at_once * (batches + 4 * int(batches > 0))
    minutes = None
    if dry_run is not None:
        passes = recipe.rounds + (2 if reference and recipe.merge != 0 else 0)
        in_steps = steps + passes * min(recipe.fisher_samples, total) / recipe.batch
        minutes = in_steps * dry_run.seconds_per_step / 60
    return Estimate(
        steps=steps,
        examples=steps * recipe.batch,
        peak_memory_bytes=runtime_bytes(family) + resident,
        work_bytes=work,
        output_bytes=output,
        disk_bytes=work + output,
        minutes=minutes,
    )


class Sizes(NamedTuple):
    """Numbers: of the weights that learn, of the largest tensor among them, of all layers' outputs for one
    record, and of the weights that are only used (an adapter's base)."""

    parameters: int
    largest: int
    hidden: int
    frozen: int


def model_sizes(family: str, config: Mapping[str, Any], width: int | None, dry_run: DryRun | None) -> Sizes:
    """Of an adapter the dry run tells how many weights learn, and its base's description all the rest.

    Raises:
        NocturneInputError: `estimate.shapes`: only a dry run could tell.
    """
    body, inner = reader(family, config)
    shapes = family_spec(body).expected_shapes(inner)
    sizes = [math.prod(shape) for shape in shapes.values()] if shapes is not None else []
    if sizes and body == family:
        return Sizes(sum(sizes), max(sizes), hidden_numbers(family, config, width), 0)
    if dry_run is None:
        raise NocturneInputError(
            "estimate.shapes",
            f"The sizes of this {family} model are not known before it is built, so its memory cannot be "
            "foretold by arithmetic. Do a dry run of it first.",
        )
    hidden = hidden_numbers(body, inner, width) if sizes else dry_run.hidden
    return Sizes(dry_run.parameters, dry_run.parameters // 8, hidden, sum(sizes))


def runtime_bytes(family: str) -> int:
    """What a process holds before it holds a model of this family."""
    return TEXT_RUNTIME_BYTES if family in TEXT_FAMILIES else RUNTIME_BYTES


def kept_each(family: str) -> float:
    """Numbers kept in a training step for each hidden number."""
    return TEXT_KEPT_EACH if family in TEXT_FAMILIES else KEPT_EACH


def optimizer_slots(recipe: SleepRecipe | WakeRecipe) -> int:
    return 2 if recipe.optimizer == "adamw" else int(recipe.momentum > 0)


def _resident(recipe: SleepRecipe, weights: int, largest: int, reference: bool) -> int:
    """Bytes of tensors as large as the model in the stage that holds most of them."""
    before = int(reference)
    scratch = largest if recipe.optimizer == "adamw" else 0
    # weights, gradients, average, optimiser
    loop = weights * (2 + int(recipe.average > 0) + optimizer_slots(recipe) + before) + scratch
    # its Fisher, and in the loop what the pull's gradient is made from
    kept = weights * int(reference and recipe.anchor > 0)
    loop += kept
    later = recipe.rounds > 1 or recipe.dream > 0
    stages = [
        loop + kept + weights * int(later),
        # weights; sum and mean of squares, a sample's gradient, a batch's squares; the last round's Fisher
        weights * (5 + before + int(recipe.rounds > 1)) + kept,
    ]
    if reference and recipe.merge != 0:
        stages.append(max(7 * weights, 4 * weights + 5 * largest))
    return max(stages)


def hidden_numbers(family: str, config: Mapping[str, Any], width: int | None = None) -> int:
    """Outputs of all layers for one record; of a family that is not known here, those of dense layers.

    Args:
        width: tokens of a record; None: as many as the model reads.
    """
    spec = family_spec(family)
    clean = spec.validate_config(config)
    if family == "encoder":
        return _encoder_hidden(clean, width or spec.input_width(clean))
    if family == "causal_lm":
        return (width or spec.input_width(clean)) * _token_hidden(clean)
    if family == "cnn":
        return _cnn_hidden(clean)
    if family == "vision":
        return _resnet_hidden(clean)
    shapes = spec.expected_shapes(clean) or {}
    return sum(shape[0] for shape in shapes.values() if len(shape) > 1)


def words_a_token(family: str, config: Mapping[str, Any]) -> int | None:
    """Logits of each token; None of a model that is no language model."""
    return vocabulary(family, config) if family_objective(family, config) == "language" else None


def decoder_numbers(family: str, config: Mapping[str, Any]) -> int:
    """Weights of the linear decoders, a matrix and an offset for each block; 0 where only a library knows the
    blocks."""
    clean = family_spec(family).validate_config(config)
    widths: list[int] = []
    if family == "mlp":
        widths = clean["layers"][1:-1]
    elif family == "cnn":
        widths = [*clean["convolutions"], *clean["hidden"]]
    elif family == "vision" and "width" in clean:
        widths = [clean["width"] << stage for stage in range(4) for _ in range(2)]
    elif family == "encoder":
        widths = [clean["hidden_size"]] * clean["num_hidden_layers"]
    elif family == "causal_lm":
        layers = clean["n_layer" if clean["model_type"] == "gpt2" else "num_hidden_layers"]
        widths = [text_width(clean)] * layers
    return sum(width * width + width for width in widths)


def text_width(config: Mapping[str, Any]) -> int:
    """Numbers of one token's hidden state; `config` is that of a text model."""
    return int(config["n_embd" if config["model_type"] == "gpt2" else "hidden_size"])


def _token_hidden(config: Mapping[str, Any]) -> int:
    """A token's: embeddings; in each layer the linear layers; and the words."""
    width, words = text_width(config), config["vocab_size"]
    if config["model_type"] == "gpt2":
        layer = 3 * width + width + config["n_inner"] + width
        return int(2 * width + config["n_layer"] * layer + words)
    head = config["head_dim"]
    layer = (config["num_attention_heads"] + 2 * config["num_key_value_heads"]) * head + width
    layer += config.get("num_experts_per_tok", 1) * (2 * config["intermediate_size"] + width)
    layer += config.get("num_local_experts", 0)
    return int(width + config["num_hidden_layers"] * layer + words)


def _encoder_hidden(config: Mapping[str, Any], length: int) -> int:
    """A token's: three embeddings; in each layer query, key, value, two layers back to the width, and one to
    the inner width. A text's: pooler and head."""
    width: int = config["hidden_size"]
    layer = 5 * width + config["intermediate_size"]
    return int(length * (3 * width + config["num_hidden_layers"] * layer) + width + config["num_labels"])


def _cnn_hidden(config: Mapping[str, Any]) -> int:
    _, height, width = config["input"]
    total: int = sum(config["hidden"]) + config["classes"]
    for channels in config["convolutions"]:
        total += channels * height * width
        if config["pooling"] != "none":
            height, width = height // 2, width // 2
    return total


def _resnet_hidden(config: Mapping[str, Any]) -> int:
    _, height, width = config["input"]
    channels: int = config["width"]
    shrink = 2 if config["stem"] == "imagenet" else 1
    height, width = math.ceil(height / shrink), math.ceil(width / shrink)
    total: int = channels * height * width + config["classes"]
    height, width = math.ceil(height / shrink), math.ceil(width / shrink)  # the stem's pooling
    for stage in range(4):
        if stage:
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        layers = 4 if stage == 0 else 5  # two blocks of two, and a projection where the size changes
        total += layers * (channels << stage) * height * width
    return total
