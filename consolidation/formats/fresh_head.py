"""A new head for a BERT that has none of its own, begun as transformers begins it; without torch.

Weights are normal with the config's `initializer_range` (.02) and biases zero (Devlin et al. 2019, appendix
A.2), from a seed; the pooler too, where classification needs one and the file has none. A head that predicts
words is left out for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.errors import shorten
from consolidation.families.encoder_spec import PREFIX, EncoderSpec
from consolidation.families.text_model import NEW_HEADS
from consolidation.formats.refusal import refuse
from consolidation.formats.strict_json import write_json
from consolidation.formats.tensor_source import Piece, TensorShape, TensorSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from consolidation.families.registry import FamilySpec

CLASSIFICATION, QUESTIONS = NEW_HEADS
_REPLACED: Final = frozenset({"none", "masked-lm", "pretraining"})
_CLASSES: Final = {CLASSIFICATION: "BertForSequenceClassification", QUESTIONS: "BertForQuestionAnswering"}
_USUAL: Final = 0.02
_CONFIG: Final = "config.json"


@dataclass(frozen=True)
class Head:
    """What a person asks for.

    Attributes:
        kind: one of NEW_HEADS.
        classes: labels to tell apart; of question answering always 2, the start and the end.
        seed: of the new weights.
    """

    kind: str
    classes: int = 2
    seed: int = 0


def with_head(
    source: TensorSource, spec: FamilySpec, config: Mapping[str, Any], head: Head
) -> tuple[TensorSource, dict[str, Any]]:
    """The model with a new head, and its config. Its tensors get the names that transformers gives them.

    Args:
        source: settled, its shapes checked.
        config: validated.

    Raises:
        NocturneInputError: `checkpoint.head`: it is no BERT, or has a head already.
    """
    if not isinstance(spec, EncoderSpec):
        raise refuse(
            "checkpoint.head",
            f"A new head can be put on a BERT; this is of the family {shorten(spec.name, 40)}. Upload it "
            "without asking for one.",
        )
    if config["head"] not in _REPLACED:
        raise refuse(
            "checkpoint.head",
            f"The model has a head for {config['head'].replace('-', ' ')} already, so it gets no new one. "
            "Upload it as it is.",
        )
    names = {_renamed(name, config["prefix"]): name for name in source.tensors if not name.startswith("cls.")}
    left = len(source.tensors) - len(names)
    pooler = config["pooler"] or head.kind == CLASSIFICATION
    classes = head.classes if head.kind == CLASSIFICATION else 2
    asked = {
        **config, "prefix": PREFIX, "head": head.kind, "num_labels": classes, "label_names": [],
        "pooler": pooler,
    }  # fmt: skip
    described = spec.validate_config(asked)
    wanted = spec.expected_shapes(described)
    words = source.tensors[names[f"{PREFIX}embeddings.word_embeddings.weight"]].dtype
    dtype = words if words in _WRITERS else "F32"
    home = _home(source, described)
    made = _numbers(
        {name: shape for name, shape in wanted.items() if name not in names},
        scale=_scale(home), seed=head.seed, dtype=dtype,
    )  # fmt: skip

    def read(name: str) -> Iterator[Piece]:
        return iter([made[name]]) if name in made else source.read(names[name])

    tensors = {new: source.tensors[old] for new, old in names.items()}
    tensors |= {name: TensorShape(dtype, wanted[name]) for name in made}
    files = dict(source.companions)
    if home is not None:
        files[_CONFIG] = write_json(home, name=_CONFIG)
    return replace(
        source, tensors=tensors, read=read, companions=files,
        notes=(*source.notes, _note(head, classes, pooler=not config["pooler"] and pooler, left=left)),
    ), described  # fmt: skip


def _renamed(name: str, prefix: str) -> str:
    return name if prefix else PREFIX + name


def _home(source: TensorSource, described: Mapping[str, Any]) -> dict[str, Any] | None:
    """The config.json that goes home; None where none came."""
    if _CONFIG not in source.companions:
        return None
    home: dict[str, Any] = json.loads(source.companions[_CONFIG])
    home["architectures"] = [_CLASSES[described["head"]]]
    home["id2label"] = {str(at): f"LABEL_{at}" for at in range(described["num_labels"])}
    home["label2id"] = {f"LABEL_{at}": at for at in range(described["num_labels"])}
    home.pop("num_labels", None)
    home.pop("problem_type", None)
    return dict(sorted(home.items()))


def _scale(home: Mapping[str, Any] | None) -> float:
    told = (home or {}).get("initializer_range")
    return float(told) if isinstance(told, float) and 0.0 < told <= 1.0 else _USUAL


def _numbers(
    shapes: Mapping[str, tuple[int, ...]], *, scale: float, seed: int, dtype: str
) -> dict[str, bytes]:
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in shapes.items():
        if name.endswith(".bias"):
            values = np.zeros(shape, np.float32)
        else:
            values = rng.normal(0.0, scale, shape).astype(np.float32)
        found[name] = _WRITERS[dtype](values)
    return found


def _half_of_32(values: NDArray[np.float32]) -> bytes:
    """bfloat16: the upper half of a float32, rounded to the nearest even one."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


_WRITERS: Final = {
    "F64": lambda values: values.astype("<f8").tobytes(),
    "F32": lambda values: values.astype("<f4").tobytes(),
    "F16": lambda values: values.astype("<f2").tobytes(),
    "BF16": _half_of_32,
}


def _note(head: Head, classes: int, *, pooler: bool, left: int) -> str:
    what = f"{classes:,} classes" if head.kind == CLASSIFICATION else "question answering"
    also = ", with a pooler" if pooler else ""
    gone = f" The head that predicted words was left out ({left} tensors)." if left else ""
    return f"A new head for {what} was added{also}: random weights (seed {head.seed}), not trained yet.{gone}"
