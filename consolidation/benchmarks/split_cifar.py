"""Split CIFAR: a task is a few classes; scored among all classes and among the task's own, from one run.

CIFAR-100 in 10 tasks of 10 when it is in --data (cifar-100-binary/, or cifar100.npz), else the subset of
CIFAR-10 (cifar10_subset.npz) in 5 tasks of 2. ResNet-18 without pretraining, or a small cnn; batches of 32
and as many memories; plain SGD; 50 epochs a task on CIFAR-100 as published, 5 on the subset. The published
runs augment their images and ours do not.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from consolidation.baselines.setting import Hyper, TaskData
from consolidation.benchmarks.benchmark import Benchmark, Options, task_count
from consolidation.benchmarks.data import Array, download, load_npz, missing
from consolidation.errors import NocturneInputError, shorten
from consolidation.memory.store import Transform
from consolidation.weights import new_model

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

SIDE, CHANNELS = 32, 3
WIDTH = CHANNELS * SIDE * SIDE
BINARY = "cifar-100-binary"
URL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
MD5 = "03b5dce01913d631647c71ecec9e9cb8"
TRANSFORM = Transform(scale=1 / 255, mean=0.47, sd=0.25)
MODELS = ("vision", "cnn", "mlp")


# (largest buffer, alpha, beta) of their best DER++ on CIFAR-10
DERPP = ((320, 0.1, 0.5), (1600, 0.2, 0.5), (2**62, 0.1, 1.0))


def hyper(method: str, records: int) -> Hyper:
    """CIFAR-10: what the DER paper tuned, between its buffers that of the nearest (by ratio)."""
    if method.startswith("derpp"):
        _, alpha, beta = next(row for row in DERPP if records <= row[0])
        return Hyper(lr=0.03, alpha=alpha, beta=beta)
    return Hyper(lr=0.03 if method in ("ewc", "pnn") else 0.1, weight=10.0)


def hyper_100(method: str, records: int) -> Hyper:
    """CIFAR-100: the DER repository's; fine-tuning, and so the night's wake, at .03. Online EWC has no
    published weight there and keeps CIFAR-10's."""
    if method.startswith("derpp"):
        return Hyper(lr=0.03, alpha=0.1, beta=0.5)
    return Hyper(lr=0.1 if method == "er" else 0.03, weight=10.0)


def load(options: Options) -> tuple[dict[str, Array], str, str, int]:
    """(arrays, name of the data, layout of a flat image, classes a task).

    Raises:
        NocturneInputError: `benchmark.data`.
    """
    folder = options.data
    if folder is not None:
        if (folder / BINARY / "train.bin").exists():
            return read_binary(folder / BINARY), "CIFAR-100", "chw", 10
        if (folder / "cifar100.npz").exists():
            return load_npz(folder / "cifar100.npz", WIDTH), "CIFAR-100", "hwc", 10
        if (folder / "cifar-100-python").exists():
            raise NocturneInputError(
                "benchmark.data",
                "cifar-100-python holds pickles, which can run code and are never opened. Put the binary "
                "version, cifar-100-binary/ with train.bin and test.bin, into the folder instead.",
            )
        if options.download:
            archive = download(URL, folder / "cifar-100-binary.tar.gz", "md5", MD5)
            unpack(archive, folder / BINARY)
            return read_binary(folder / BINARY), "CIFAR-100", "chw", 10
        if (folder / "cifar10_subset.npz").exists():
            return load_npz(folder / "cifar10_subset.npz", WIDTH), "CIFAR-10, subset", "hwc", 2
    raise missing(
        "CIFAR", folder, "cifar-100-binary/ (train.bin, test.bin), cifar100.npz or cifar10_subset.npz"
    )


def unpack(archive: Path, target: Path) -> None:
    """train.bin and test.bin of the archive, nothing else of it."""
    # train.bin last: by it the data are known to be there
    sizes = {"test.bin": 10_000 * (WIDTH + 2), "train.bin": 50_000 * (WIDTH + 2)}
    try:
        with tarfile.open(archive) as tar:
            target.mkdir(exist_ok=True)
            for name, size in sizes.items():
                member = tar.getmember(f"{BINARY}/{name}")
                source = tar.extractfile(member) if member.isfile() and member.size <= size else None
                if source is None:
                    raise KeyError(name)
                partial = target / (name + ".part")
                partial.write_bytes(source.read())
                partial.replace(target / name)
    except (KeyError, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise NocturneInputError(
            "benchmark.data", f"{archive.name} is not the archive of CIFAR-100 as published; fetch it again."
        ) from error


def read_binary(folder: Path) -> dict[str, Array]:
    """The binary version: a record is a coarse label, a fine label, 3,072 bytes (channel, row, column).

    Raises:
        NocturneInputError: `benchmark.data`.
    """
    found: dict[str, Array] = {}
    for part in ("train", "test"):
        path = folder / f"{part}.bin"
        data = np.fromfile(path, np.uint8) if path.exists() else np.empty(0, np.uint8)
        if not len(data) or len(data) % (WIDTH + 2):
            raise NocturneInputError(
                "benchmark.data",
                f"{BINARY}/{part}.bin is missing or cut off: its records have {WIDTH + 2} bytes each. Fetch "
                "it again.",
            )
        records = data.reshape(-1, WIDTH + 2)
        found[f"x_{part}"] = np.ascontiguousarray(records[:, 2:])
        found[f"y_{part}"] = records[:, 1].astype(np.int64)
    return found


def make(options: Options, seed: int) -> Benchmark:
    """Classes come in their usual order for every seed, as published; the model's start and the order of
    examples follow the seed."""
    data, name, layout, each = load(options)
    classes = int(max(data["y_train"].max(), data["y_test"].max())) + 1
    tasks = task_count(options.tasks, max(2, classes // each), classes // each)
    outputs = tasks * each
    model = options.model or "vision"
    family, config, about = _model(model, layout, outputs)
    groups = [tuple(range(index * each, (index + 1) * each)) for index in range(tasks)]
    train = [_part(data, "train", group) for group in groups]
    test = [_part(data, "test", group) for group in groups]
    scale = np.float32(TRANSFORM.scale)

    def train_of(index: int) -> TaskData:
        x, y = train[index]
        return TaskData(
            name=f"classes {groups[index][0]}-{groups[index][-1]}", x=x, y=y, classes=groups[index]
        )

    def test_of(index: int) -> tuple[Tensor, Tensor]:
        x, y = test[index]
        return x.float().mul_(float(scale)).sub_(TRANSFORM.mean).div_(TRANSFORM.sd), y

    def build(number: int) -> nn.Module:
        return new_model(family, config, number)

    return Benchmark(
        name="split-cifar", scenario="class-incremental", tasks=tasks, train=train_of, test=test_of,
        build=build, outputs=outputs, epochs=options.epochs or (5 if each == 2 else 50), batch=32,
        replay_batch=32,
        transform=TRANSFORM, hyper=hyper if each == 2 else hyper_100, data=name, model=about,
    )  # fmt: skip


def _part(data: dict[str, Array], part: str, group: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    rows = np.flatnonzero(np.isin(data[f"y_{part}"], group))
    if not len(rows):
        raise NocturneInputError("benchmark.data", f"The {part} images have none of the classes {group}.")
    return torch.from_numpy(data[f"x_{part}"][rows]), torch.from_numpy(data[f"y_{part}"][rows])


def _model(model: str, layout: str, outputs: int) -> tuple[str, dict[str, Any], str]:
    picture = {"input": [CHANNELS, SIDE, SIDE], "layout": layout, "classes": outputs}
    if model == "vision":
        return "vision", picture | {"architecture": "resnet18", "stem": "cifar", "width": 64}, "ResNet-18"
    if model == "cnn":
        layers = {"convolutions": [16, 32, 64], "norm": True, "activation": "relu", "hidden": [128]}
        return "cnn", picture | layers, "cnn 16-32-64-128"
    if model == "mlp":
        names = ["net.0", "net.2", "net.4"]
        return (
            "mlp",
            {"layers": [WIDTH, 200, 100, outputs], "activation": "relu", "names": names},
            "mlp 200-100",
        )
    raise NocturneInputError(
        "benchmark.model", f"The model is {shorten(model)!r}; split-cifar takes one of {', '.join(MODELS)}."
    )
