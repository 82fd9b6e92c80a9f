"""Text models: our replay loop beside the same arithmetic written straight, and the memory that a night of
SmolLM2 takes.

The arithmetic of MiniLM is that of `engine_replay` with AdamW; of SmolLM2 it is cross-entropy of the next
token and the divergence to the 32 likeliest words that were stored. Both sides run in one process in turns.
Weights and tokens are drawn: neither speed nor memory depends on what they say.
"""

from __future__ import annotations

import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from consolidation.cycle import sleep
from consolidation.families.adapter import adapter_of
from consolidation.families.lora_spec import LoraSpec
from consolidation.families.registry import family_spec
from consolidation.memory.sampling import Sampler
from consolidation.memory.store import Records
from consolidation.phases.replay import ReplayLoss
from consolidation.phases.training import LoopPlan, Training
from consolidation.probes import Probes
from consolidation.recipe import SleepRecipe, presets
from consolidation.run import Entry, Run
from consolidation.weights import new_model
from tests.bench.sections.engine_scaling import resident
from tests.consolidation.lora_helpers import adapted

if TYPE_CHECKING:
    from collections.abc import Callable

    from consolidation.families.lora import LoraModel

MINILM = {
    "model_type": "bert", "vocab_size": 30522, "hidden_size": 384, "intermediate_size": 1536,
    "num_hidden_layers": 6, "num_attention_heads": 12, "max_position_embeddings": 512, "num_labels": 2,
    "head": "sequence-classification",
}  # fmt: skip
SMOLLM2 = {
    "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
    "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
    "max_position_embeddings": 8192, "tie_word_embeddings": True, "rms_norm_eps": 1e-5, "rope_theta": 1e5,
    "prefix": "model.",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Case:
    """Records of `width` tokens in batches; steps a turn and turns of each side."""

    family: str
    config: dict[str, Any]
    width: int
    batch: int
    steps: int
    turns: int

    def model(self) -> nn.Module:
        return new_model(self.family, family_spec(self.family).validate_config(dict(self.config)), 1).eval()


CASES = {
    "minilm": Case("encoder", MINILM, 64, 16, 4, 12),
    "smollm2": Case("causal_lm", SMOLLM2, 128, 2, 1, 12),
}
TASKS, EACH, LR, SIGMA, CLIP, KEPT = 2, 32, 1e-5, 0.05, 1.0, 32
LORA = {
    "peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"],
    "task_type": "CAUSAL_LM",
}  # fmt: skip
LEAST = {f"{name} throughput, ours / plain": 0.9 for name in CASES}
TARGETS = {"smollm2, a night by AdamW, peak GB": 4.0, "smollm2, a night of LoRA, peak GB": 2.5}


def memories(case: Case, each: int = EACH) -> list[Records]:
    rng = np.random.default_rng(0)
    words = case.config["vocab_size"]
    language = case.family == "causal_lm"
    made = []
    for index in range(TASKS):
        x = rng.integers(1, words, (each, case.width), dtype=np.int32)
        if language:
            z = (rng.random((each, case.width, KEPT)) - 8).astype(np.float16)
            top = rng.integers(0, words, z.shape, dtype=np.int32)
            y = np.zeros(each, np.int64)
            answers: dict[str, Any] = {"z": z, "top": top, "objective": "language"}
        else:
            y = rng.integers(0, 2, each)
            answers = {"z": rng.normal(0, 2, (each, 2)).astype(np.float16)}
        classes = words if language else 2
        made.append(Records(task=f"task {index}", x=x, y=y, classes=classes, **answers))
    return made


def plain(case: Case) -> Callable[[int], None]:
    """A turn of `n` steps as a person would write them for this very model."""
    model = case.model()
    sets = memories(case)
    x = torch.from_numpy(np.concatenate([records.x for records in sets])).float()
    y = torch.from_numpy(np.concatenate([records.y for records in sets]))
    z = torch.from_numpy(np.concatenate([np.asarray(records.z, np.float32) for records in sets]))
    top = None
    if sets[0].top is not None:
        top = torch.from_numpy(np.concatenate([np.asarray(records.top) for records in sets])).long()
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=LR, weight_decay=0.0)
    average = [parameter.detach().clone() for parameter in parameters]
    done = 0

    def hook(_module: nn.Module, _args: Any, out: Any) -> Any:
        h = out[0] if isinstance(out, tuple) else out
        rms = h.detach().square().mean(-1, keepdim=True).sqrt()
        noised = h + SIGMA * rms * torch.randn_like(h)
        return (noised, *out[1:]) if isinstance(out, tuple) else noised

    for block in adapter_of(model).blocks(model):
        block.register_forward_hook(hook)

    def loss_of(rows: Tensor) -> Tensor:
        logits = model(x[rows])
        if top is None:
            label = functional.cross_entropy(logits, y[rows])
            return 0.5 * label + 0.5 * functional.mse_loss(logits, z[rows])
        said = functional.log_softmax(logits[:, :-1], -1)
        ids = x[rows].long() - 1
        ce = functional.nll_loss(said.flatten(0, 1), ids[:, 1:].flatten())
        told, chosen = z[rows][:, :-1], said.gather(-1, top[rows][:, :-1])
        rest_told = torch.log1p(-told.exp().sum(-1))
        rest_said = torch.log1p(-chosen.exp().sum(-1).clamp_max(1 - 1e-6))
        apart = (told.exp() * (told - chosen)).sum(-1) + rest_told.exp() * (rest_told - rest_said)
        return 0.5 * ce + 0.5 * apart.mean()

    def turn(steps: int) -> None:
        nonlocal done
        for _ in range(steps):
            rows = torch.randint(len(x), (case.batch,))
            optimizer.zero_grad()
            loss = loss_of(rows)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, CLIP)
            optimizer.step()
            done += 1
            with torch.no_grad():
                for mean, parameter in zip(average, parameters, strict=True):
                    mean.lerp_(parameter, 1 / done)
            if not torch.isfinite(loss):
                raise FloatingPointError

    return turn


def night(**changes: Any) -> SleepRecipe:
    """The page's night of a text model, with a rate, for the wake is not known."""
    return dataclasses.replace(presets(text=True)["night"], **({"lr": LR, "clip": CLIP} | changes))


def ours(case: Case) -> Callable[[int], None]:
    """A turn of `n` steps of the engine's loop, with a listener, as a night on a page has one."""
    model, sets = case.model(), memories(case)
    recipe = night(noise=SIGMA, batch=case.batch, average=1.0)
    device = torch.device("cpu")
    run = Run(
        model=model, recipe=recipe, probes=Probes([], device), plan=[Entry("NREM replay", 1, 1)], identity="",
        workdir=None, stop=lambda: None, device=device, on_event=lambda _event: None,
    )  # fmt: skip
    plan = LoopPlan(
        steps=10**9, lr=LR, optimizer="adamw", momentum=0.0, clip=CLIP, noise=SIGMA, average=1.0
    )  # fmt: skip
    sampler = Sampler(sets, case.batch, recipe.sampling, 0)
    loop = Training(run, plan, sampler, ReplayLoss(run, recipe, None, sets))
    loop.average_from = 0
    return loop.advance


def throughput(case: Case) -> dict[str, float]:
    """Medians over turns, the sides alternating: steps a second of both, and ours over the plain one's."""
    loops = {"plain": plain(case), "ours": ours(case)}
    speed: dict[str, list[float]] = {side: [] for side in loops}
    for loop in loops.values():
        loop(case.steps)
    for index in range(case.turns):
        for side in sorted(loops, reverse=index % 2 == 1):
            began = time.perf_counter()
            loops[side](case.steps)
            speed[side].append(case.steps / (time.perf_counter() - began))
    found = {f"{side}, steps/s": round(statistics.median(values), 3) for side, values in speed.items()}
    ratio = statistics.median(a / b for a, b in zip(speed["ours"], speed["plain"], strict=True))
    return found | {"throughput, ours / plain": round(ratio, 3)}


def peak(kind: str) -> float:
    """GB at the peak of a process that does one night of SmolLM2: "adamw" or "lora"."""
    code = f"from tests.bench.sections.engine_text import alone; alone({kind!r})"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    return float(done.stdout.strip().splitlines()[-1]) / 1e9


def alone(kind: str) -> None:
    """The child of `peak`: a whole night of the page's recipe, batches of 16 x 128 tokens, snapshots written;
    of an adapter with the model before waking, so with merging."""
    torch.set_num_threads(1)
    case = CASES["smollm2"]
    sets = memories(case, 16)
    recipe = night(passes=2.0, min_gain=0.0, fisher_samples=8)
    with tempfile.TemporaryDirectory() as folder:
        model, reference = case.model(), None
        if kind == "lora":
            model = adapted(Path(folder), LORA, model)
            reference = cast("LoraModel", model).beside(LoraSpec().validate_config(LORA))
        sleep(model, sets, [records.take(np.arange(8)) for records in sets], recipe, workdir=folder,
              reference=reference)  # fmt: skip
    print(resident("VmHWM"))  # ru_maxrss would count the parent that it was forked from


def measure() -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name, case in CASES.items():
        found |= {f"{name} {what}": value for what, value in throughput(case).items()}
    torch.set_num_threads(threads)
    return found | {
        "smollm2, a night by AdamW, peak GB": round(peak("adamw"), 2),
        "smollm2, a night of LoRA, peak GB": round(peak("lora"), 2),
    }
