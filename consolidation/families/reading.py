"""What the families' descriptions have in common: pictures, whole numbers and layer names, checked.

A value may come as JSON or as a form's text ("3x32x32", "10"). Torch-free. Every refusal is a
NocturneInputError (`checkpoint.config`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from consolidation.errors import NocturneInputError, shorten

ACTIVATIONS = ("relu", "gelu", "tanh")
LAYOUTS = ("chw", "hwc")
MOST_SIDE, MOST_CHANNELS = 4096, 4096
_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")

INPUT_FIELD: dict[str, Any] = {
    "name": "input",
    "label": "Input size",
    "kind": "text",
    "placeholder": "3x32x32",
    "help": "Channels x height x width of one picture; the file does not tell it.",
}
LAYOUT_FIELD: dict[str, Any] = {
    "name": "layout",
    "label": "Order of the numbers",
    "kind": "choice",
    "choices": list(LAYOUTS),
    "default": "chw",
    "help": "How a record's numbers lie: chw, channel after channel, or hwc, pixel after pixel.",
}


def refuse(sentence: str) -> NocturneInputError:
    """The error of a description that makes no model."""
    return NocturneInputError("checkpoint.config", sentence)


def only(config: object, known: Iterable[str], family: str) -> Mapping[str, Any]:
    """The config, when it is a table of these fields only."""
    allowed = ", ".join(known)
    if not isinstance(config, Mapping):
        raise refuse(f"The description of a {family} model must be a JSON object: {allowed}.")
    unknown = sorted(str(key) for key in config if key not in known)
    if unknown:
        raise refuse(f"'{shorten(unknown[0])}' is no part of a {family} description: {allowed}.")
    return config


def whole(value: object, what: str, least: int, most: int) -> int:
    """A whole number from `least` to `most`, given as such or as text."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,10}", value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise refuse(f"{what} is {shorten(value)}; allowed: whole numbers {least} to {most}.")
    return value


def choice(value: object, what: str, choices: tuple[str, ...]) -> str:
    """One of the choices."""
    if value not in choices:
        raise refuse(f"{what} is {shorten(value)!r}; choose one of {', '.join(choices)}.")
    return str(value)


def yes_or_no(value: object, what: str) -> bool:
    """True or false, and nothing that is merely like it."""
    if not isinstance(value, bool):
        raise refuse(f"{what} is {shorten(value)!r}; it must be true or false.")
    return value


def picture(value: object) -> list[int]:
    """[channels, height, width] from a list or from text like "3x32x32"."""
    parts: object = re.split(r"\s*[x×,]\s*", value.strip()) if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or len(parts) != 3:
        raise refuse(
            f"The input size is {shorten(value)!r}; give channels, height and width, for example 3x32x32."
        )
    return [
        whole(parts[0], "The number of channels", 1, MOST_CHANNELS),
        whole(parts[1], "The height", 1, MOST_SIDE),
        whole(parts[2], "The width", 1, MOST_SIDE),
    ]


def layer_names(names: object, count: int, family: str) -> list[str]:
    """`count` different dotted names."""
    if not isinstance(names, list | tuple) or len(names) != count:
        raise refuse(f"This {family} model needs {count} layer names, one a layer, in order of application.")
    for name in names:
        if not isinstance(name, str) or len(name) > 200 or not _NAME.fullmatch(name):
            raise refuse(f"{shorten(name)!r} cannot name a layer; use letters, digits, _ and dots.")
    if len(set(names)) != len(names):
        raise refuse("Two layers have the same name; each needs its own.")
    return list(names)


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which net.10 follows net.9."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    """The five tensors of a BatchNorm layer in a checkpoint."""
    shapes: dict[str, tuple[int, ...]] = {
        f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")
    }
    return {**shapes, f"{name}.num_batches_tracked": ()}
