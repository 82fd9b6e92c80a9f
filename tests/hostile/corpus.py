"""Every hostile file of the rows' own tables, in one list: what the tests refuse one by one, all at once."""

from __future__ import annotations

import pickle
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from tests.consolidation.formats import test_npz as npz
from tests.consolidation.formats.files import npz as npz_file
from tests.consolidation.formats.files import safetensors
from tests.consolidation.formats.folders import LLAMA, model, packed
from tests.consolidation.formats.gguf_files import tiny
from tests.hostile import test_a01_a14_pickles as pickles
from tests.hostile import test_a15_a24_safetensors as tensors
from tests.hostile import test_a25_a31_gguf as ggufs
from tests.hostile import test_a32_a36_tars as tars
from tests.hostile import test_a32_a38_zips as zips
from tests.hostile import test_a39_a45_folders as folders
from tests.hostile import test_a46_a54_records as records
from tests.hostile import test_a48_a49_parquet as parquet

CANARY: Final = "canary"
# Files of megabytes, or of seconds: not for the fast tests.
HEAVY: Final = frozenset({
    "A14-sixteen-megabytes-of-tables", "A14-copies-of-pairs", "A14-copies-of-a-table", "A14-deep-names",
    "A14-deep-lists", "A15-over-the-limit", "A22-100k-tensors", "A22-million-dimensions", "A22-name-of-5-MB",
    "A23-2-MB", "A23-50-MB", "A25-header-over-the-limit", "A27-million-dimensions",
    "A40-large", "A44-large", "A44-deeper", "A44-many-added-tokens",
})  # fmt: skip


class Hostile(NamedTuple):
    """One file: the row it belongs to, what it was uploaded as, and its bytes."""

    row: str
    purpose: str  # "checkpoint" or "memories"
    filename: str
    data: bytes


def corpus(port: int, *, heavy: bool) -> Iterator[Hostile]:
    """All of them, each row once.

    Args:
        port: of somebody who listens here, for the payloads that would call him.
        heavy: the rows of HEAVY too.
    """
    left_out = frozenset() if heavy else HEAVY
    yield from _pickles(port, left_out)
    with TemporaryDirectory() as folder:
        place = Path(folder)
        for row, (_, header, data, length) in tensors.HOSTILE.items():
            if row in left_out:
                continue
            file = safetensors(place / "f", header, data, length=length)
            yield Hostile(row, "checkpoint", "model.safetensors", file.read_bytes())
        for row, template in ggufs.TEMPLATES.items():
            file = tiny(place / "t", more={"tokenizer.chat_template": template})
            yield Hostile(row, "checkpoint", "model.gguf", file.read_bytes())
        for row, (_, members) in (npz.HOSTILE | records.ARRAYS).items():
            yield Hostile(f"npz-{row}", "memories", "r.npz", npz_file(place / "r", members).read_bytes())
    for row, (_, data) in ggufs.ROWS.items():
        if row not in left_out:
            yield Hostile(f"gguf-{row}", "checkpoint", "model.gguf", data)
    yield from _tables()
    yield from _archives()
    yield from _folders(left_out)


def _tables() -> Iterator[Hostile]:
    for row, (_, line) in records.LINES.items():
        yield Hostile(f"jsonl-{row}", "memories", "r.jsonl", records.GOOD * 6 + line)
    for row, (_, line) in records.TABLES.items():
        yield Hostile(f"csv-{row}", "memories", "r.csv", records.HEADER + records.FINE * 5 + line)
    for row, header in records.HEADERS.items():
        yield Hostile(f"csv-header-{row}", "memories", "r.csv", header + records.FINE)
    for row, (_, data) in records.PACKED.items():
        yield Hostile(row, "memories", "r.jsonl.gz", data)
    for row, (_, data) in parquet.HOSTILE.items():
        yield Hostile(row, "memories", "r.parquet", data)


def payloads(port: int) -> dict[str, bytes]:
    """Pickles that do the three things that must never happen: a file, a process, a call to somebody."""
    acts: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "A1-writes-a-file": (open, (CANARY, "w")),
        "A1-starts-a-process": (subprocess.Popen, (["touch", CANARY],)),
        "A1-calls-somebody": (socket.create_connection, (("127.0.0.1", port),)),
    }
    return {row: pickle.dumps(_Call(*act), 2) for row, act in acts.items()}


class _Call:
    def __init__(self, function: Any, arguments: tuple[Any, ...]) -> None:
        self._made = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self._made


def _pickles(port: int, left_out: frozenset[str]) -> Iterator[Hostile]:
    made: dict[str, bytes] = dict(payloads(port))
    for row, (module, name) in pickles.A1.items():
        made[row] = pickles.call(module, name)
    for full in pickles.A2:
        module, _, name = full.rpartition(".")
        made[f"A2-{full}"] = pickles.call(module, name)
    made |= pickles.A3
    made["A4-payload-then-broken"] = pickles.call("posix", "system")[:-1] + b"\xff" * 30
    made["A6-text"] = b"cposix\nsystem\np0\n(Vtouch canary\np1\ntp2\nRp3\n."
    for row, data in made.items():
        yield Hostile(f"{row}-bare", "checkpoint", "model.bin", data)
        yield Hostile(f"{row}-zipped", "checkpoint", "model.pt", pickles.archive(data))
        yield Hostile(f"{row}-for-records", "memories", "r.npz", data)
    good = pickles.saved(pickles.WEIGHTS)
    for row, (old, new) in pickles.A10.items():
        damaged = good["data.pkl"].replace(old, new)
        yield Hostile(row, "checkpoint", "model.pt", pickles.packed(good | {"data.pkl": damaged}))
    for row, make in pickles.A11.items():
        yield Hostile(row, "checkpoint", "model.pt", make())
    for row, value in pickles.A12.items():
        yield Hostile(row, "checkpoint", "model.pt", pickles.packed(pickles.saved(value())))
    for row, (data, _) in pickles.A14.items():
        if row not in left_out:
            yield Hostile(row, "checkpoint", "model.pt", pickles.archive(data))
    second = good | {"extra.jpg": pickles.call("posix", "system")}
    yield Hostile("A8-a-second-pickle", "checkpoint", "model.pt", pickles.packed(second))


def _archives() -> Iterator[Hostile]:
    made: dict[str, bytes] = {row: data for row, (data, _, _) in zips.CONTRADICTIONS.items()}
    for row, name in zips.PATHS.items():
        plain = "q" * len(name)
        made[f"A32-{row}"] = zips.made({plain: b"x"}).replace(plain.encode(), name.encode())
    for row, (names, _) in zips.NAMES.items():
        made[row] = zips.made(dict.fromkeys(names, b""))
    tared = {row: tars.member(b"first", b"1") + data + tars.END for row, (data, _) in tars.KINDS.items()}
    tared |= {row: data + tars.END for row, (data, _) in tars.LIES.items()}
    tared |= tars.ENDS | tars.DAMAGED | {row: data for row, (data, _) in tars.NESTED.items()}
    for row, data in tared.items():
        yield Hostile(f"tar-{row}", "checkpoint", "model.tar", data)
    for row, data in made.items():
        yield Hostile(f"zip-{row}", "checkpoint", "model.zip", data)
        yield Hostile(f"records-{row}", "memories", "r.npz", data)


def _folders(left_out: frozenset[str]) -> Iterator[Hostile]:
    made: dict[str, Any] = {
        row: folders.LLAMA_WEIGHTS | {"config.json": config} for row, (_, config) in folders.CONFIGS.items()
    }
    made |= {row: folders.indexed(change) for row, (_, change) in folders.INDEXES.items()}
    made |= {row: model(LLAMA) | files for row, files in folders.TOKENIZERS.items()}
    for row, files in made.items():
        if row not in left_out:
            yield Hostile(row, "checkpoint", "model.zip", packed(files, "zip"))
            yield Hostile(f"tar-{row}", "checkpoint", "model.tar", packed(files, "tar-gnu"))


def write_corpus(folder: Path, port: int, *, heavy: bool) -> list[Hostile]:
    """Write each file under its number in `folder`; the list says what they are."""
    files = list(corpus(port, heavy=heavy))
    assert len({file.row for file in files}) == len(files)
    for number, file in enumerate(files):
        (folder / f"{number:04}").write_bytes(file.data)
    return files
