"""The whole corpus through the confined child, with canaries: nothing runs, nothing crashes, nothing is left.

With -m slow, each file gets a child of its own, `python -m workers.inspect`, as in production.
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.consolidation.formats.files import mlp_file, mlp_tensors
from tests.consolidation.formats.folders import (
    GPT2,
    LLAMA,
    TOKENIZER,
    js,
    model,
    numbers,
    packed,
    torch_file,
)
from tests.consolidation.formats.gguf_files import tiny
from tests.hostile.corpus import CANARY, Hostile, payloads, write_corpus
from tests.hostile.mutating import documented
from workers.confine import confinement_level

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT: Final = 2**27
# What is taken in, because nothing about it is wrong: text stays text.
ACCEPTED: Final = frozenset({"A31-globals", "A31-import", "A31-include", "A31-html"})
SAID = "{files} files: {executions} executions, {crashes} crashes, {unknown} unknown codes, {left} left over"


@contextmanager
def listener() -> Iterator[socket.socket]:
    """Somebody on this machine who could be called."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def called(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def good_files(folder: Path) -> list[dict[str, Any]]:
    """One good file of each format; they show that the child works, and load what it needs."""
    mlp_file(folder / "good-0")
    tiny(folder / "good-1", quantised={"blk.0.ffn_up.weight": "Q4_0"})
    torch.save({n: torch.from_numpy(v) for n, v in mlp_tensors().items()}, folder / "good-2")
    with (folder / "good-3").open("wb") as file:
        np.savez_compressed(file, x=np.ones((3, 4), np.float32), y=np.arange(3))
    (folder / "good-4").write_text('{"x": [1, 2.5], "y": 1}\n')
    (folder / "good-5").write_bytes(packed(model(LLAMA) | {"tokenizer.json": js(TOKENIZER)}))
    files = {"config.json": js(GPT2), "pytorch_model.bin": torch_file(numbers(GPT2))}
    (folder / "good-6").write_bytes(packed(files, "tar-gnu"))
    pq.write_table(pa.table({"x": pa.array([[1.0, 2.5]] * 3), "y": [0, 1, 2]}), folder / "good-7")
    (folder / "good-8").write_bytes(gzip.compress(b"a,b,y\n1,2.5,1\n"))
    made = ["checkpoint"] * 3 + ["memories"] * 2 + ["checkpoint"] * 2 + ["memories"] * 2
    return [
        {"file": f"good-{n}", "row": f"good-{n}", "purpose": purpose, "filename": "good.csv.gz"}
        for n, purpose in enumerate(made)
    ]


def environment(**more: str) -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1", **more}


def judge(files: list[Hostile], answers: list[dict[str, Any]]) -> None:
    """The three zeros, and each refusal's sentence; prints the counts."""
    told = list(zip(files, answers, strict=True))
    counts = {
        "files": len(told),
        "executions": sum(bool(answer["seen"]) for _, answer in told),
        "crashes": sum("crash" in answer for _, answer in told),
        "unknown": sum(not documented(a["code"]) for _, a in told if a.get("code")),
        "left": sum(bool(answer["left"]) for _, answer in told),
    }
    print(SAID.format(**counts))
    print(dict(Counter(answer.get("code") for _, answer in told).most_common()))
    bad = [
        (file.row, answer)
        for file, answer in told
        if answer["seen"]
        or answer["left"]
        or "crash" in answer
        or (answer["code"] and not documented(answer["code"]))
        or (answer["code"] == "") != (file.row in ACCEPTED)
    ]
    assert bad == []
    for _, answer in told:
        assert gettempdir() not in answer["message"]
        assert "Traceback" not in answer["message"]
        assert answer["message"].isprintable()


@pytest.mark.parametrize("heavy", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_whole_corpus_behind_the_walls(heavy: bool, tmp_path: Path) -> None:
    folder, scratch = tmp_path / "corpus", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()
    with listener() as server:
        files = write_corpus(folder, server.getsockname()[1], heavy=heavy)
        good = good_files(folder)
        asked = good + [
            {"file": f"{n:04}", "row": f.row, "purpose": f.purpose, "filename": f.filename}
            for n, f in enumerate(files)
        ]
        done = subprocess.run(
            [sys.executable, "-m", "tests.hostile.confined_list"],
            input=json.dumps(
                {"folder": str(folder), "scratch": str(scratch), "files": asked, "good": len(good)}
            ),
            env=environment(),
            cwd=scratch,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        walls, *answers = map(json.loads, done.stdout.splitlines())
        assert ", ".join(walls) == confinement_level()
        assert not called(server)
    assert [answer["code"] for answer in answers[: len(good)]] == [""] * len(good)
    judge(files, answers[len(good) :])
    assert list(scratch.iterdir()) == []


WATCH = """
import sys
def hear(event, arguments):
    acts = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.", "socket.", "pickle.")
    if event.startswith(acts):
        sys.stderr.write(f"ACT {event}\\n")
sys.addaudithook(hear)
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_file_in_a_child_of_its_own(tmp_path: Path) -> None:
    folder, hook = tmp_path / "corpus", tmp_path / "hook"
    folder.mkdir()
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(WATCH)

    def answer(number: int, file: Hostile) -> dict[str, Any]:
        scratch = tmp_path / f"scratch-{number}"
        scratch.mkdir()
        request = {
            "purpose": file.purpose, "path": str(folder / f"{number:04}"), "out": str(scratch / "out"),
            "filename": file.filename, "family": None, "config": {"activation": "relu"}, "task": "t",
            "transform": None, "classes": None, "strict": False, "limit_bytes": LIMIT, "cpu_seconds": 60,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "workers.inspect"],
            input=json.dumps(request),
            env=environment(PYTHONPATH=f"{hook}:{ROOT}"),
            cwd=scratch,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        seen = [line for line in done.stderr.splitlines() if line.startswith("ACT")]
        found: dict[str, Any] = {"seen": seen}
        if done.returncode != 0:
            return found | {"crash": done.stderr[-300:], "code": None, "message": "", "left": []}
        told = json.loads(done.stdout)
        if told["ok"]:
            for name in ("out", "out.extras"):
                (scratch / name).unlink(missing_ok=True)
        error = told.get("error", {"code": "", "message": ""})
        left = sorted(path.name for path in scratch.iterdir())
        return found | {"code": error["code"], "message": error["message"], "left": left}

    with listener() as server, ThreadPoolExecutor(os.cpu_count()) as pool:
        files = write_corpus(folder, server.getsockname()[1], heavy=True)
        answers = list(pool.map(answer, range(len(files)), files))
        assert not called(server)
    judge(files, answers)


SINGS = """
import os, pickle, sys
from pathlib import Path
from tempfile import gettempdir
sys.path.insert(0, sys.argv[1])
from tests.hostile.confined_list import Listening
listening = Listening(Path("/nowhere"))
data = Path(sys.argv[2]).read_bytes()
listening.armed = True
pickle.loads(data)
listening.armed = False
print(listening.seen)
"""


@pytest.mark.parametrize("row", payloads(9))
def test_the_canaries_would_sing(row: str, tmp_path: Path) -> None:
    """Unpickled without walls, each payload does its deed, and whoever listens hears it."""
    with listener() as server:
        (tmp_path / "payload").write_bytes(payloads(server.getsockname()[1])[row])
        done = subprocess.run(
            [sys.executable, "-c", SINGS, str(ROOT), str(tmp_path / "payload")],
            env=environment(),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        heard = called(server)
    heard_what = {
        "A1-writes-a-file": f"writes {CANARY}",
        "A1-starts-a-process": "subprocess.Popen",
        "A1-calls-somebody": "socket.connect",
    }[row]
    assert heard_what in done.stdout
    assert heard == (row == "A1-calls-somebody")
    if row != "A1-starts-a-process":  # which may still be on its way
        assert (tmp_path / CANARY).exists() == (row == "A1-writes-a-file")
