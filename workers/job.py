"""What the supervisor tells the trainer: one JSON file. No Django, no torch."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROTOCOL = 1
JOB_FILE = "job.json"
OUT_DIR = "out"
WORK_DIR = "work"
LOG_FILE = "trainer.log"
MANIFEST = "manifest.json"
REPORT = "report.json"
MODEL = "model.safetensors"
MEMORIES = "memories.safetensors"
FISHER = "fisher.safetensors"

# How the trainer ends.
OK, BAD_INPUT, FAULT, STOPPED = 0, 2, 3, 4


@dataclass(frozen=True, kw_only=True)
class Job:
    """One attempt at one cycle. Paths are absolute; `work` and `out` lie in the attempt's own folder."""

    cycle: str
    epoch: int
    kind: str
    recipe: dict[str, Any]
    checkpoint: str | None = None
    init: dict[str, Any] | None = None
    # What an adapter lies over, the reference too.
    base: str | None = None
    reference: str | None = None
    reference_fisher: str | None = None
    memories: list[str] = field(default_factory=list)
    probes: list[str] = field(default_factory=list)
    data: str | None = None
    awake: str | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    work: str
    out: str
    device: str = "cpu"
    threads: int = 1
    # What this attempt does differently (consolidation.changes).
    extended: float = 0.0
    micro_batch: int = 0
    # Limits of the process: private memory and the largest file, in bytes; 0: none.
    memory_bytes: int = 0
    file_bytes: int = 0
    protocol: int = PROTOCOL

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        partial = path.with_name(path.name + ".part")
        partial.write_text(json.dumps(dataclasses.asdict(self), indent=1))
        partial.replace(path)

    def inputs(self) -> list[Path]:
        """The files that the attempt reads."""
        given = (self.checkpoint, self.base, self.reference, self.reference_fisher, self.data, self.awake)
        return [Path(path) for path in (*given, *self.memories, *self.probes) if path]

    @classmethod
    def load(cls, path: Path) -> Job:
        """Read what `save` wrote. Raises ValueError for another protocol."""
        data = json.loads(path.read_text())
        if data.get("protocol") != PROTOCOL:
            raise ValueError(f"job protocol {data.get('protocol')}, this trainer speaks {PROTOCOL}")
        return cls(**data)


def fsync(path: Path) -> None:
    """Flush a file or a folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
