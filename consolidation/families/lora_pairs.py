"""The low-rank pairs of an adapter: their tensors' names, the modules that they change, and their scaling.

Torch-free. Names are those of PEFT: "base_model.model." + the module as transformers names it + ".lora_A" or
".lora_B" + ".weight".
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats.pattern_check import danger

if TYPE_CHECKING:
    from consolidation.families.described import Shapes

PAIR: Final = re.compile(
    r"(?P<path>.+)\.(?P<kind>lora_|lora_embedding_)(?P<half>[AB])(?P<end>(\.default)?(\.weight)?)"
)
BASE: Final = "base_model.model."


class Pair(NamedTuple):
    """What an adapter adds to one module: A [rank, inputs] and B [outputs, rank], by their tensors' names."""

    module: str
    a: str
    b: str
    inputs: int
    outputs: int
    rank: int


def pairs(shapes: Shapes) -> list[Pair]:
    """The pairs of Linear layers among the tensors of an adapter (`LoraSpec.check_tensors` has passed them),
    by the names that transformers gives the modules of the base.

    Raises:
        NocturneInputError: `peft.embedding`: it changes an embedding too.
    """
    found: list[Pair] = []
    for name, shape in sorted(shapes.items()):
        part = PAIR.fullmatch(name)
        if part is None or part["half"] == "B":
            continue
        module = part["path"].removeprefix(BASE)
        other = f"{part['path']}.lora_B{part['end']}"
        if part["kind"] != "lora_" or len(shape) != 2 or len(shapes[other]) != 2:
            raise NocturneInputError(
                "peft.embedding",
                f"The adapter changes {shorten(module)}, which is no linear layer; Nocturne computes with "
                "adapters of linear layers. Train one without it.",
            )
        found.append(Pair(module, name, other, shape[1], shapes[other][0], shape[0]))
    return found


def saved_tensors(shapes: Shapes) -> dict[str, str]:
    """{parameter of the base: tensor} of the modules that the adapter has whole (modules_to_save)."""
    return {name.removeprefix(BASE): name for name in shapes if not PAIR.fullmatch(name)}


def misfit(shapes: Shapes, known: Mapping[str, tuple[int, int]]) -> str:
    """What an adapter of these tensors changes that a model has not: "layers.0.q_proj of 576 inputs and 64
    outputs"; "" when it can lie over it.

    Args:
        known: {module: (inputs, outputs)} of the model (`Described.adaptable`).

    Raises:
        NocturneInputError: `peft.embedding`.
    """
    for pair in pairs(shapes):
        if known.get(pair.module) != (pair.inputs, pair.outputs):
            return f"{shorten(pair.module)} of {pair.inputs:,} inputs and {pair.outputs:,} outputs"
    for name, tensor in saved_tensors(shapes).items():
        module, _, leaf = name.rpartition(".")
        sides = known.get(module)
        inputs, outputs = sides or (0, 0)
        wanted = {(outputs, inputs)} if leaf == "weight" else {(outputs,)}
        if sides is None or tuple(shapes[tensor]) not in wanted:
            return f"{shorten(name)} of {times(tuple(shapes[tensor]))}"
    return ""


def targeted(config: Mapping[str, Any], module: str) -> bool:
    """Whether the config says that this module is changed, as PEFT would read it: by its whole name, by its
    end, or by one pattern. Only for names of a known base, which are short.

    Raises:
        NocturneInputError: `peft.pattern`: the pattern could take for ever, or is none.
    """
    wanted = config["target_modules"]
    if isinstance(wanted, str):
        return _matches(wanted, module, "target_modules")
    return any(module == one or module.endswith(f".{one}") for one in wanted)


def scaling(config: Mapping[str, Any], pair: Pair) -> float:
    """What BA is multiplied by: alpha / r, or alpha / sqrt(r) (rsLoRA, Kalajdzievski 2023).

    Raises:
        NocturneInputError: `peft.pairs`: the rank is not the one that the config gives this module;
            `peft.pattern`: several patterns give it different numbers, or one could take for ever.
    """
    rank = _own(config, "rank_pattern", pair.module, config["r"])
    if rank != pair.rank:
        raise unpaired(
            f"The adapter's config gives {shorten(pair.module)} a rank of {rank:g}; the file has {pair.rank}."
        )
    alpha = _own(config, "alpha_pattern", pair.module, config["lora_alpha"])
    return float(alpha / math.sqrt(pair.rank) if config["use_rslora"] else alpha / pair.rank)


def _own(config: Mapping[str, Any], field: str, module: str, usual: float) -> float:
    """A module's own rank or alpha; the table's order is lost in a database, so all that match must agree."""
    table = config[field]
    told = {value for key, value in table.items() if _matches(rf"(.*\.)?({key})", module, field)}
    if len(told) > 1:
        raise _odd(f"The adapter's {field} gives {shorten(module)} several numbers.")
    return told.pop() if told else usual


def _matches(pattern: str, module: str, field: str) -> bool:
    why = danger(pattern)
    if why:
        raise _odd(f"The adapter's {field} has a pattern that {why}.")
    try:
        return re.fullmatch(pattern, module) is not None
    except (re.error, RecursionError, OverflowError):
        raise _odd(f"The adapter's {field} has {shorten(pattern)}, which is no pattern.") from None


def _odd(sentence: str) -> NocturneInputError:
    return NocturneInputError("peft.pattern", f"{sentence} Name the modules one by one and save it again.")


def times(shape: tuple[int, ...]) -> str:
    """ "4 x 16", for a sentence."""
    return " x ".join(str(size) for size in shape) or "a single number"


def unpaired(sentence: str) -> NocturneInputError:
    """`peft.pairs`: the tensors are no pairs, or not those that the config tells of."""
    return NocturneInputError("peft.pairs", f"{sentence} Save the adapter again.")
