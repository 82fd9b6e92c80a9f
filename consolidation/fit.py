"""Whether model, memories and probes belong together, asked before anything is computed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from consolidation.errors import NocturneInputError, shorten
from consolidation.families.registry import family_objective, family_spec, vocabulary
from consolidation.memory.store import live_sets
from consolidation.token_fit import asked_at_once, check_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import nn

    from consolidation.memory.store import Records
    from consolidation.recipe import SleepRecipe

CHUNK = 4096
_MEANT = {
    "classification": "examples with a class each",
    "language": "texts to go on with",
    "extractive-qa": "questions with the place of their answer",
}
_DOES = {
    "classification": "tells classes apart",
    "language": "says the next word",
    "extractive-qa": "finds answers in a text",
}


def check_fit(model: nn.Module, sets: Iterable[Records], what: str) -> None:
    """Raises NocturneInputError when records do not fit the model.

    Codes: `records.width`, `records.objective`, `records.classes`, `records.label_range`,
    `records.non_finite`; of text, those of `token_fit.check_tokens` too.

    Args:
        what: for the sentence: "memories", "probe records" or "training records".
    """
    width, outputs = io_widths(model)
    for records in sets:
        name = shorten(records.task)
        words = vocabulary_of(model)
        if words is None and records.width != width:
            raise NocturneInputError(
                "records.width",
                f"The {what} of '{name}' have {records.width} numbers each; the model takes {width}. "
                "Choose records made for this model.",
            )
        _same_objective(model, records, name, what)
        logits = outputs if records.z is None or records.top is not None else records.z.shape[1]
        classes = records.objective == "classification"
        if classes and (int(records.y.max()) >= outputs or logits != outputs):
            raise NocturneInputError(
                "records.classes",
                f"The {what} of '{name}' have {records.classes} classes; the model tells {outputs} apart. "
                "Choose records made for this model.",
            )
        _finite(records, name, what)
        if words is not None:
            check_tokens(records, words, width, what, gaps=records.objective != "language")
        if not classes:
            _answered_inside(records, outputs, name, what)


def _same_objective(model: nn.Module, records: Records, name: str, what: str) -> None:
    """Raises NocturneInputError (`records.objective`, `records.classes`)."""
    wanted = objective_name(model)
    if records.objective != wanted:
        raise NocturneInputError(
            "records.objective",
            f"The {what} of '{name}' are {_MEANT[records.objective]}; the model {_DOES[wanted]}. Choose "
            f"records that are {_MEANT[wanted]}.",
        )
    head, outputs = records.head, io_widths(model)[1]
    if head is not None and head[1] > outputs:
        raise NocturneInputError(
            "records.classes",
            f"The {what} of '{name}' are for the columns {head[0]} to {head[1] - 1} of the model's head; it "
            f"has {outputs}. Choose records made for this model.",
        )


def _answered_inside(records: Records, outputs: int, name: str, what: str) -> None:
    """Raises NocturneInputError (`records.label_range`) where an answer lies outside of its record, or a
    stored one is none that the model can give."""
    y = np.asarray(records.y)
    if records.objective == "language":
        wrong = y >= records.width
    else:
        wrong = (y >> 16 > y & 0xFFFF) | (y & 0xFFFF >= records.width)
    if wrong.any():
        raise NocturneInputError(
            "records.label_range",
            f"Record {int(wrong.argmax())} of the {what} of '{name}' has its answer outside of its "
            f"{records.width:,} tokens. Correct it, or leave the record out.",
        )
    if records.top is None:
        return
    most = outputs if records.objective == "language" else records.width
    for place in range(0, len(records), CHUNK):
        top = np.asarray(records.top[place : place + CHUNK])
        if top.size and (int(top.min()) < 0 or int(top.max()) >= most):
            raise NocturneInputError(
                "records.classes",
                f"The stored answers of the {what} of '{name}' are of another model: one is "
                f"{int(top.max()):,}, and here there are {most:,}. Choose records made for this model.",
            )


def asked_of(model: nn.Module, most: int, width: int) -> int:
    """Records of `width` numbers that go through this model at a time where it is only asked."""
    words = io_widths(model)[1] if objective_name(model) == "language" else 1
    return asked_at_once(most, width, vocabulary_of(model), words)


def objective_name(model: nn.Module) -> str:
    """ "classification", "language" or "extractive-qa"."""
    family = getattr(model, "nocturne_family", None)
    config = cast("dict[str, Any]", getattr(model, "nocturne_config", {}))
    return "classification" if family is None else family_objective(family, config)


def io_widths(model: nn.Module) -> tuple[int, int]:
    """Numbers per record and classes of a model that `load_model`, `new_model` or `wrap` made."""
    spec = family_spec(getattr(model, "nocturne_family", None))
    config = cast("dict[str, Any]", model.nocturne_config)
    return spec.input_width(config), spec.outputs(config)


def vocabulary_of(model: nn.Module) -> int | None:
    """How many tokens a text model knows; None for a model whose records are plain numbers."""
    family = getattr(model, "nocturne_family", None)
    return None if family is None else vocabulary(family, cast("dict[str, Any]", model.nocturne_config))


def check_learns(model: nn.Module) -> None:
    """Raises NocturneInputError (`weights.frozen`) when no weight may move."""
    if not any(weight.requires_grad for weight in model.parameters()):
        raise NocturneInputError(
            "weights.frozen",
            "No weight of the model may learn: it has none, or requires_grad is off for all of them. Call "
            "model.requires_grad_(True), or turn it on for the layers that may change.",
        )


def check_dreams(model: nn.Module, recipe: SleepRecipe) -> None:
    """Raises NocturneInputError (`cycle.dream_inversion`) when dreams are to be made from statistics that the
    model does not have."""
    if recipe.dream == 0 or recipe.dream_kind != "inversion":
        return
    if not any(_batch_norm(m) and m.running_mean is not None for m in model.modules()):
        raise NocturneInputError(
            "cycle.dream_inversion",
            "Dreams by inversion are made from the running statistics of BatchNorm layers; this model has "
            "none, so nothing would hold them near what it has seen. Set dream_kind to mixup, or dream to 0.",
        )


def _batch_norm(module: nn.Module) -> bool:
    """By its class's name, because this file is torch-free and subclasses count."""
    return any(kind.__name__ == "_BatchNorm" for kind in type(module).__mro__)


def check_batch(model: nn.Module, batch: int) -> None:
    """Raises NocturneInputError (`cycle.batchnorm_batch`) when a waking batch has too few records for norms.

    A BatchNorm layer takes mean and variance from the batch that it is trained on; one record has none.
    """
    for name, module in model.named_modules():
        if _batch_norm(module) and batch < 2:
            raise NocturneInputError(
                "cycle.batchnorm_batch",
                f"The model has BatchNorm layers (the first is {shorten(name)}), which learn from the "
                "differences between the records of a batch, so a batch of 1 cannot be learned from. Take a "
                "batch of 2 or more.",
            )


def _finite(records: Records, name: str, what: str) -> None:
    z = records.z
    parts: list[Callable[[slice], Any]] = [records.raw] if records.dtype.kind == "f" else []
    parts += [] if z is None else [z.__getitem__]
    for part in parts:
        for place in range(0, len(records), CHUNK):
            values = np.asarray(part(slice(place, place + CHUNK)))
            bad = ~np.isfinite(values.reshape(len(values), -1)).all(1)
            if bad.any():
                raise NocturneInputError(
                    "records.non_finite",
                    f"Record {place + int(bad.argmax())} of the {what} of '{name}' holds NaN or an "
                    "infinite number. Correct it, or leave the record out.",
                )


def _inputs(records: Records, width: int) -> Iterator[bytes]:
    """A digest of what the model is given for each record: the same image is the same, in whatever precision
    it was stored and whatever label it carries; the same text, however far it is filled up (to `width`)."""
    fill = bytes(4 * (width - records.width))
    for place in range(0, len(records), CHUNK):
        for row in records.inputs(slice(place, place + CHUNK)):
            yield hashlib.blake2b((row + np.float32(0)).tobytes() + fill, digest_size=16).digest()


def without_probes(sets: list[Records], probes: list[Records], what: str) -> tuple[list[Records], int]:
    """The sets without deleted and expired records and without those that are also in a probe (they would
    prove nothing), and how many of the latter went.

    Raises:
        NocturneInputError: `memories.empty` when nothing is left.
    """
    width = max((records.width for records in [*sets, *probes]), default=0)
    held_out = {digest for records in probes for digest in _inputs(records, width)}
    originals = {row.tobytes() for records in probes for row in np.asarray(records.ids)}
    left, dropped = [], 0
    for records in live_sets(sets):
        if not held_out:
            left.append(records)
            continue
        shared = np.array([digest in held_out for digest in _inputs(records, width)], dtype=np.bool_)
        # what was packed lossily is no longer equal to the probe's record, but keeps its id, also unpacked
        shared |= np.array([row.tobytes() in originals for row in np.asarray(records.ids)], np.bool_)
        dropped += int(shared.sum())
        if shared.all():
            continue
        left.append(records.take(np.flatnonzero(~shared)) if shared.any() else records)
    if not left:
        raise NocturneInputError(
            "memories.empty",
            f"There is nothing to learn from: no {what}, or all of it is in the probes too. Add records.",
        )
    return left, dropped
