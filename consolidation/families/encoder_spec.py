"""The `encoder` family, described without torch: BERT with the head that it came with (Devlin et al. 2019).

config = the fields of config.json that say what is computed, e.g. {"model_type": "bert", "hidden_size": 768,
...}, and what only the tensors tell: {"prefix": "bert.", "head": "sequence-classification", "pooler": true,
"norms": "weight"}. `norms` is how the scale of a LayerNorm is called; the oldest files say gamma and beta.
`label_names` are what config.json calls the classes 0, 1, ... ("id2label"); [] where it does not, or calls
them LABEL_0 and so on, which says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from consolidation.families.described import Described, Shapes
from consolidation.families.described_fields import (
    ACTIVATIONS,
    MOST_HEADS,
    MOST_INNER,
    MOST_LABELS,
    MOST_LAYERS,
    MOST_PLACES,
    MOST_WIDTH,
    MOST_WORDS,
    choice,
    flag,
    number,
    refuse,
    whole,
)

PREFIX: Final = "bert."
HEADS: Final = (
    "none", "sequence-classification", "token-classification", "question-answering", "masked-lm",
    "pretraining",
)  # fmt: skip
_WORDS_HEADS: Final = frozenset({"masked-lm", "pretraining"})
# Names of classes that are kept: so many letters in all, and each.
_MOST_LETTERS: Final = 20_000
_MOST_OF_ONE: Final = 200
_SAYS_NOTHING: Final = re.compile(r"LABEL_\d+|[+-]?\d+(\.0*)?")


class EncoderSpec(Described):
    """See `registry.FamilySpec` and `described.Described`."""

    name = "encoder"
    title = "Text encoder (BERT)"
    adapter = "consolidation.families.encoder:EncoderAdapter"
    needs: tuple[Mapping[str, Any], ...] = (
        MappingProxyType({"head": "sequence-classification", "pooler": True}),
        MappingProxyType({"head": "question-answering", "num_labels": 2}),
    )
    own: tuple[str, ...] = ("prefix", "head", "pooler", "norms", "num_labels", "label_names")
    kept: tuple[str, ...] = (
        "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout",
        "position_embedding_type",
    )  # fmt: skip

    def known(self) -> tuple[str, ...]:
        return ("bert",)

    def validate_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        width = whole(config, "hidden_size", 1, MOST_WIDTH)
        heads = whole(config, "num_attention_heads", 1, MOST_HEADS)
        if width % heads:
            raise refuse(f"A width of {width} cannot be shared by {heads} attention heads.")
        choice(config, "position_embedding_type", ("absolute",), "absolute")
        for name in ("is_decoder", "add_cross_attention"):
            if flag(config, name, False):
                raise refuse(f"A BERT with {name} is a decoder, which is not read. Choose an encoder.")
        labels = _labels(config)
        head = choice(config, "head", HEADS, "none")
        return {
            "model_type": choice(config, "model_type", self.known()),
            "vocab_size": whole(config, "vocab_size", 1, MOST_WORDS),
            "hidden_size": width,
            "intermediate_size": whole(config, "intermediate_size", 1, MOST_INNER),
            "num_hidden_layers": whole(config, "num_hidden_layers", 1, MOST_LAYERS),
            "num_attention_heads": heads,
            "hidden_act": choice(config, "hidden_act", ACTIVATIONS, "gelu"),
            "max_position_embeddings": whole(config, "max_position_embeddings", 1, MOST_PLACES, 512),
            "type_vocab_size": whole(config, "type_vocab_size", 1, MOST_WORDS, 2),
            "layer_norm_eps": number(config, "layer_norm_eps", 0.0, 1.0, 1e-12),
            "tie_word_embeddings": flag(config, "tie_word_embeddings", True),
            "num_labels": labels,
            "label_names": _label_names(config, labels) if head == "sequence-classification" else [],
            "prefix": choice(config, "prefix", (PREFIX, ""), PREFIX),
            "head": head,
            "pooler": flag(config, "pooler", True),
            "norms": choice(config, "norms", ("weight", "gamma"), "weight"),
        }

    def expected_shapes(self, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        clean = self.validate_config(config)
        width, prefix = clean["hidden_size"], clean["prefix"]
        found: dict[str, tuple[int, ...]] = {
            f"{prefix}embeddings.{part}_embeddings.weight": (clean[size], width)
            for part, size in (
                ("word", "vocab_size"),
                ("position", "max_position_embeddings"),
                ("token_type", "type_vocab_size"),
            )
        }
        found |= _norm(f"{prefix}embeddings.LayerNorm", clean)
        for number_ in range(clean["num_hidden_layers"]):
            found |= _layer(f"{prefix}encoder.layer.{number_}", clean)
        if clean["pooler"]:
            found |= _dense(f"{prefix}pooler.dense", width, width)
        return found | _head(clean)

    def input_width(self, config: Mapping[str, Any]) -> int:
        return int(config["max_position_embeddings"])

    def objective(self, config: Mapping[str, Any]) -> str:
        return "extractive-qa" if config["head"] == "question-answering" else "classification"

    def vocabulary(self, config: Mapping[str, Any]) -> int:
        """A token of the second segment is its id + vocab_size."""
        return int(config["vocab_size"]) * min(2, int(config["type_vocab_size"]))

    def outputs(self, config: Mapping[str, Any]) -> int:
        return int(config["vocab_size" if config["head"] in _WORDS_HEADS else "num_labels"])

    def adaptable(self, config: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        named = {**config, "prefix": PREFIX, "norms": "weight"}
        for name, shape in self.expected_shapes(named).items():
            module = name.removesuffix(".weight")
            if len(shape) == 2 and not module.startswith(f"{PREFIX}embeddings."):
                found[module] = (shape[1], shape[0])
        return found

    def layout(self, config: Mapping[str, Any], shapes: Shapes) -> dict[str, Any]:
        pooler = any(name.endswith("pooler.dense.weight") for name in shapes)
        head = "none"
        if "qa_outputs.weight" in shapes:
            head = "question-answering"
        elif "classifier.weight" in shapes:
            head = "sequence-classification" if pooler else "token-classification"
        elif "cls.predictions.bias" in shapes:
            head = "pretraining" if "cls.seq_relationship.weight" in shapes else "masked-lm"
        return {
            "prefix": PREFIX if any(name.startswith(PREFIX) for name in shapes) else "",
            "head": head,
            "pooler": pooler,
            "norms": "gamma" if any(name.endswith("LayerNorm.gamma") for name in shapes) else "weight",
        }

    def left_out(self, name: str) -> str:
        return "the numbers of the positions" if name.endswith("embeddings.position_ids") else ""

    def twins(self, config: Mapping[str, Any]) -> dict[str, str]:
        if not config["tie_word_embeddings"] or config["head"] not in _WORDS_HEADS:
            return {}
        return {
            "cls.predictions.decoder.weight": f"{config['prefix']}embeddings.word_embeddings.weight",
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        }


def _labels(config: Mapping[str, Any]) -> int:
    """How many classes: said as such, or by their names; two if nothing is said."""
    names = config.get("id2label")
    if config.get("num_labels") is None and isinstance(names, Mapping):
        return whole({"id2label": len(names)}, "id2label", 1, MOST_LABELS)
    return whole(config, "num_labels", 1, MOST_LABELS, 2)


def _label_names(config: Mapping[str, Any], count: int) -> list[str]:
    """What the classes 0, 1, ... are called; [] unless each has a name of its own that says something."""
    told = config.get("label_names")  # of a config that was checked before
    if isinstance(table := config.get("id2label"), Mapping):
        told = [table.get(str(at), table.get(at)) for at in range(count)] if len(table) == count else None
    if not isinstance(told, list) or len(told) != count:
        return []
    names = [name.strip() for name in told if isinstance(name, str)]
    if len({name.casefold() for name in names}) < count or sum(map(len, names)) > _MOST_LETTERS:
        return []
    good = all(name and name.isprintable() and len(name) <= _MOST_OF_ONE for name in names)
    return names if good and not any(map(_SAYS_NOTHING.fullmatch, names)) else []


def _dense(name: str, width: int, out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, width), f"{name}.bias": (out,)}


def _norm(name: str, clean: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    scale, shift = ("gamma", "beta") if clean["norms"] == "gamma" else ("weight", "bias")
    return {f"{name}.{scale}": (clean["hidden_size"],), f"{name}.{shift}": (clean["hidden_size"],)}


def _layer(name: str, clean: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    width, inner = clean["hidden_size"], clean["intermediate_size"]
    found: dict[str, tuple[int, ...]] = {}
    for part in ("query", "key", "value"):
        found |= _dense(f"{name}.attention.self.{part}", width, width)
    found |= _dense(f"{name}.attention.output.dense", width, width)
    found |= _norm(f"{name}.attention.output.LayerNorm", clean)
    found |= _dense(f"{name}.intermediate.dense", width, inner)
    found |= _dense(f"{name}.output.dense", inner, width)
    return found | _norm(f"{name}.output.LayerNorm", clean)


def _head(clean: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    width, words = clean["hidden_size"], clean["vocab_size"]
    if clean["head"] == "question-answering":
        return _dense("qa_outputs", width, clean["num_labels"])
    if clean["head"] in {"sequence-classification", "token-classification"}:
        return _dense("classifier", width, clean["num_labels"])
    if clean["head"] not in _WORDS_HEADS:
        return {}
    found: dict[str, tuple[int, ...]] = {"cls.predictions.bias": (words,)}
    found |= _dense("cls.predictions.transform.dense", width, width)
    found |= _norm("cls.predictions.transform.LayerNorm", clean)
    if not clean["tie_word_embeddings"]:
        found |= _dense("cls.predictions.decoder", width, words)
    return found | (_dense("cls.seq_relationship", width, 2) if clean["head"] == "pretraining" else {})
