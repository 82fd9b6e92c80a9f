"""What the families have in common that a config.json (or a GGUF's table) describes; torch-free.

Their config is the fields of the Hugging Face config that say what the model computes, under the same names,
every one present and checked, and a few own ones that only the tensors tell: `prefix`, what stands before the
names of the inner model ("model.", "transformer.", "bert." or nothing).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from consolidation.errors import shorten
from consolidation.families.described_fields import plain

Shapes = Mapping[str, tuple[int, ...]]

PADDING: Final = 0  # the id that fills up a record of tokens

# What comes home in config.json beside the fields of the description; nothing here changes the tensors.
_COMMON: Final = (
    "architectures", "torch_dtype", "dtype", "transformers_version", "bos_token_id", "eos_token_id",
    "pad_token_id", "sep_token_id", "cls_token_id", "decoder_start_token_id", "initializer_range",
    "use_cache", "id2label", "label2id", "num_labels", "problem_type", "is_decoder",
)  # fmt: skip


class Described(ABC):
    """See `registry.FamilySpec`; what such a family adds to it, with what most of them need.

    Attributes:
        kept: further fields of config.json that come home as they are.
        own: fields of the config that config.json does not have.
        needs: what a config must say for the adapter to compute with it: one of these tables at least.
    """

    name: str
    title: str
    kept: tuple[str, ...] = ()
    own: tuple[str, ...] = ("prefix",)
    needs: tuple[Mapping[str, Any], ...] = (MappingProxyType({}),)
    # None: kept, checked and taken home, and nothing computes with it yet.
    adapter: str | type[Any] | None = None

    def __init__(self) -> None:
        self.limits: dict[str, tuple[int, int]] = {}
        self.fields: list[dict[str, Any]] = []

    def describes(self, config: Mapping[str, Any]) -> bool:
        """Whether a config.json is one of this family, by its `model_type`."""
        return config.get("model_type") in self.known()

    @abstractmethod
    def known(self) -> tuple[str, ...]:
        """The values of `model_type` (or of what stands for it) that this family reads."""

    @abstractmethod
    def validate_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A clean copy; fields that say nothing about the model are dropped.

        Raises:
            NocturneInputError: `hf.config_range`.
        """

    @abstractmethod
    def expected_shapes(self, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]] | None:
        """Every tensor by its Hugging Face name, without buffers and without the second one of a tie."""

    def infer_config(self, shapes: Shapes) -> dict[str, Any] | None:
        """None: tensors do not tell how many heads there are, so the config.json must come along."""
        return None

    @abstractmethod
    def input_width(self, config: Mapping[str, Any]) -> int:
        """Tokens a record can have."""

    def vocabulary(self, config: Mapping[str, Any]) -> int:
        """How many tokens there are: a record is their ids, and 0 fills it up."""
        return int(config["vocab_size"])

    def not_yet(self, config: Mapping[str, Any]) -> str:
        """What such checkpoints are that nothing computes with yet, for a sentence; "" for one that can be
        trained, scored and put to sleep."""
        if self.adapter is None:
            return f"a model of the family {self.name}"
        lacks = [[name for name, value in each.items() if config.get(name) != value] for each in self.needs]
        if not all(lacks):
            return ""
        name = min(lacks, key=len)[0]
        return f"a model of the family {self.name} with {name} = {shorten(config.get(name))}"

    def objective(self, config: Mapping[str, Any]) -> str:
        """What it is trained and scored by: "classification", "language" or "extractive-qa"."""
        return "classification"

    @abstractmethod
    def outputs(self, config: Mapping[str, Any]) -> int:
        """Classes, or words."""

    def layout(self, config: Mapping[str, Any], shapes: Shapes) -> dict[str, Any]:
        """The own fields of the config, which only the names of the tensors tell."""
        return {}

    def left_out(self, name: str) -> str:
        """Why this tensor is no weight and is not kept; "" for one that is."""
        return ""

    def twins(self, config: Mapping[str, Any]) -> dict[str, str]:
        """Tensors that may be there a second time, by the name of the first: a tied output layer."""
        return {}

    def check_tensors(  # noqa: B027 - most families have nothing to add
        self, config: Mapping[str, Any], shapes: Shapes
    ) -> None:
        """What `expected_shapes` cannot say. Raises NocturneInputError."""

    def home_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The config.json that comes home: the checked fields, and those of `config` that are known and
        plain. Whatever else a file's config.json says stays behind.

        Raises:
            NocturneInputError: `hf.config_range`.
        """
        clean = {key: value for key, value in self.validate_config(config).items() if key not in self.own}
        for name in (*_COMMON, *self.kept):
            if name in config and name not in clean:
                clean[name] = plain(name, config[name])
        return dict(sorted(clean.items()))
