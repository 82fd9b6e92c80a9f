"""One file through the real confined child, as an upload goes: its answer, its time, its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from consolidation.formats.tokenizer_json import tokenizer_json as written_anew
from tests.consolidation.text_helpers import WORDS, tokenizer_json

ROOT: Final = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Told:
    """What came of it.

    Attributes:
        code: of the refusal; "" for what was taken in.
        message: its sentence.
        info: of what was taken in.
        seconds: of processor; megabytes: at the highest.
        walls: those that stood.
        left: files that it left in its folder.
    """

    code: str
    message: str
    info: dict[str, Any]
    seconds: float
    megabytes: float
    walls: list[str]
    left: list[str]


def reader(folder: Path, objective: str = "classification", longest: int = 64) -> dict[str, Any]:
    """A small tokenizer, as a request names it."""
    raw = written_anew(tokenizer_json())
    (folder / "reader").write_bytes(raw)
    return {
        "path": str(folder / "reader"), "offset": 0, "size": len(raw), "longest": longest,
        "vocabulary": len(WORDS), "objective": objective,
    }  # fmt: skip


def through(path: Path, *, seconds: int = 60, **request: Any) -> Told:
    """The child's answer; a child that dies of anything is an error of the test."""
    scratch = path.parent / "scratch"
    scratch.mkdir()
    asked = {
        "purpose": "records", "path": str(path), "out": str(scratch / "out"), "task": "t", "transform": None,
        "classes": None, "filename": path.name, "limit_bytes": 2**30, "cpu_seconds": seconds,
    }  # fmt: skip
    answer = path.parent / "answer"
    began = time.monotonic()
    with answer.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "workers.inspect"],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.PIPE,
            cwd=scratch,
            env={
                "PATH": os.defpath, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1",
                "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1",
            },
        )  # fmt: skip
        assert child.stdin is not None and child.stderr is not None
        child.stdin.write(json.dumps(asked | request).encode())
        child.stdin.close()
        highest = 0.0
        while (found := os.wait4(child.pid, os.WNOHANG))[0] == 0:
            highest = max(highest, _resident(child.pid))
            time.sleep(0.01)
        child.returncode, usage = os.waitstatus_to_exitcode(found[1]), found[2]
        words = child.stderr.read(2**20)
        child.stderr.close()
    assert child.returncode == 0, (child.returncode, time.monotonic() - began, words.decode()[-2000:])
    told = json.loads(answer.read_bytes())
    error = told.get("error", {"code": "", "message": ""})
    return Told(
        error["code"], error["message"], told.get("info", {}), usage.ru_utime + usage.ru_stime,
        highest, told["walls"], sorted(found.name for found in scratch.iterdir()),
    )  # fmt: skip


def _resident(process: int) -> float:
    """Megabytes that a process has held at most so far; what its parent held counts for `ru_maxrss` too."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return max((int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM:")), default=0.0)
