"""What a nights worker computes on, found without importing torch."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from typing import Final

import psutil
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

_KNOWN: Final = re.compile(r"cpu|mps|cuda(:\d{1,2})?")


@dataclass(frozen=True)
class Device:
    """A device in torch's spelling, its memory in bytes (0: not known), and the worker's name on it."""

    name: str
    memory_bytes: int

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]

    @property
    def lease_key(self) -> str:
        """What two processes must not use at once: a GPU, or on a processor the same worker's place."""
        host = socket.gethostname()[:80]
        if self.kind == "cpu":
            return f"{host}/{self.worker_name}"
        return f"{host}/{self.kind}:{int(self.name.partition(':')[2] or 0)}"

    @property
    def worker_name(self) -> str:
        """host-device-index; one worker serves one device."""
        index = self.name.partition(":")[2] or "0"
        return f"{socket.gethostname()[:80]}-{self.kind}-{settings.WORKER_INDEX or index}"


def this_device() -> Device:
    """The device of NOCTURNE_DEVICE; the computer's own processor when nothing is said."""
    name = settings.TRAINER_DEVICE
    if not _KNOWN.fullmatch(name):
        raise ImproperlyConfigured(f"NOCTURNE_DEVICE is {name!r}; it must be cpu, mps, cuda or cuda:0.")
    memory = int(psutil.virtual_memory().total) if name == "cpu" else 0
    return Device(name, memory)


# Under this many weights the matrices are so small that a second thread only waits for the first, and on a
# busy machine it waits for very long (50 s a wake of the demo instead of 1 s).
ONE_THREAD_PARAMETERS = 1_000_000


def trainer_threads(parameters: int) -> int:
    """NOCTURNE_TRAINER_THREADS; else one for a small model, as many as this process may use for others."""
    if settings.TRAINER_THREADS:
        return int(settings.TRAINER_THREADS)
    if parameters < ONE_THREAD_PARAMETERS:
        return 1
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
