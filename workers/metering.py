"""What a trainer takes of its device, and the energy of it: read from outside, and never in the run's way.

Energy is measured where a counter can be read (NVML for NVIDIA devices, RAPL for Intel and AMD processors, of
which the trainer bears its share of the machine's processor time);
else it is estimated as processor seconds x NOCTURNE_CORE_WATTS, and said to be an estimate.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil
from django.conf import settings

if TYPE_CHECKING:
    from workers.devices import Device

logger = logging.getLogger(__name__)
# Short nights are looked at more often than long ones.
FIRST_SECONDS: Final = 0.25
SAMPLE_SECONDS: Final = 1.0
RAPL: Final = Path("/sys/class/powercap")
MEASURED: Final = "measured"
ESTIMATED: Final = "estimated"


@dataclass(frozen=True, slots=True)
class Reading:
    """One look: `cpu` and `gpu` are shares of the whole device (0 to 1), memory in bytes, power in watts,
    `energy_wh` counted since the cycle's first attempt. What cannot be known is None."""

    cpu: float | None
    memory: int | None
    gpu: float | None
    gpu_memory: int | None
    watts: float | None
    energy_wh: float
    source: str


class Meter:
    """Reads one trainer, four times a second at first, once a second after a while.

    Args:
        pid: the trainer's process; whatever it started counts too.
        device: the device it computes on.
        energy_wh: what earlier attempts of the cycle took.
        estimated: some of that was an estimate, so the sum is one too.
        rapl: where the kernel shows its energy counters.
    """

    def __init__(
        self,
        pid: int,
        device: Device,
        *,
        energy_wh: float = 0.0,
        estimated: bool = False,
        rapl: Path = RAPL,
    ) -> None:
        self._process: psutil.Process | None = None
        with contextlib.suppress(psutil.Error):
            self._process = psutil.Process(pid)
        self._cores = psutil.cpu_count() or 1
        self._gpu = _Gpu.open(device)
        self._rapl = _Rapl.open(rapl)
        self._energy_wh = energy_wh
        self._estimated = estimated
        self._machine_seconds = _machine()
        self._at = self._began = time.monotonic()
        self._cpu_seconds = self._cpu()
        self._due = self._at + FIRST_SECONDS

    def read(self) -> Reading | None:
        """The next reading, or None when it is not time yet or the trainer is gone. Never raises."""
        now = time.monotonic()
        if now < self._due:
            return None
        self._due = now + min(SAMPLE_SECONDS, max(FIRST_SECONDS, (now - self._began) / 20))
        try:
            return self._read(now)
        except (psutil.Error, OSError, ValueError):
            return None

    def _read(self, now: float) -> Reading | None:
        processes = self._processes()
        if not processes:
            return None
        seconds = max(1e-6, now - self._at)
        cpu_seconds = self._cpu()
        busy = max(0.0, cpu_seconds - self._cpu_seconds)
        self._at, self._cpu_seconds = now, cpu_seconds
        joules, source = self._joules(busy, seconds)
        self._energy_wh += joules / 3600
        self._estimated = self._estimated or source == ESTIMATED
        gpu = self._gpu.read() if self._gpu else (None, None)
        return Reading(
            cpu=round(min(1.0, busy / seconds / self._cores), 4),
            memory=sum(_memory(process) for process in processes),
            gpu=gpu[0],
            gpu_memory=gpu[1],
            watts=round(joules / seconds, 2),
            energy_wh=round(self._energy_wh, 6),
            source=ESTIMATED if self._estimated else MEASURED,
        )

    def _joules(self, busy: float, seconds: float) -> tuple[float, str]:
        gpu = self._gpu.joules(seconds) if self._gpu else 0.0
        package = self._rapl.joules() if self._rapl else None
        machine = _machine()
        everybody, self._machine_seconds = machine - self._machine_seconds, machine
        if package is not None:
            # The counters know the whole machine: by processor time, this much of it was ours.
            share = min(1.0, busy / everybody) if everybody > 0 else 0.0
            return package * share + gpu, MEASURED
        return busy * settings.CORE_WATTS + gpu, ESTIMATED

    def _processes(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        with contextlib.suppress(psutil.Error):
            return [self._process, *self._process.children(recursive=True)]
        return []

    def _cpu(self) -> float:
        total = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total


def _machine() -> float:
    """Processor seconds that the whole machine has worked."""
    times = psutil.cpu_times()
    # What guests took is part of "user" and "nice" already.
    idle = (getattr(times, name, 0.0) for name in ("idle", "iowait", "guest", "guest_nice"))
    return float(sum(times) - sum(idle))


def _memory(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


class _Rapl:
    """The kernel's energy counters, one a processor package, in microjoules, wrapping at a known value."""

    def __init__(self, counters: dict[Path, int]) -> None:
        self._ranges = counters
        self._last = {path: int(path.read_text()) for path in counters}

    @classmethod
    def open(cls, folder: Path) -> _Rapl | None:
        """None where there is none, or only root may read it."""
        try:
            zones = [p for p in sorted(folder.glob("intel-rapl:*")) if p.name.count(":") == 1]
            # "psys" is the whole board, packages included: it would count them twice.
            packages = [p for p in zones if (p / "name").read_text().startswith("package")]
            ranges = {p / "energy_uj": int((p / "max_energy_range_uj").read_text()) for p in packages}
            return cls(ranges) if ranges else None
        except (OSError, ValueError):
            return None

    def joules(self) -> float | None:
        """Since the last call; None once a counter cannot be read any more."""
        total = 0
        try:
            for path, wraps_at in self._ranges.items():
                now = int(path.read_text())
                total += (now - self._last[path]) % (wraps_at + 1)
                self._last[path] = now
        except (OSError, ValueError):
            return None
        return total / 1e6


class _Gpu:
    """One NVIDIA device through NVML."""

    def __init__(self, library: Any, handle: Any) -> None:
        self._library, self._handle = library, handle

    @classmethod
    def open(cls, device: Device) -> _Gpu | None:
        """None for another kind of device, or where NVML is not there."""
        if device.kind != "cuda":
            return None
        try:
            import pynvml

            pynvml.nvmlInit()
            return cls(pynvml, pynvml.nvmlDeviceGetHandleByIndex(int(device.name.partition(":")[2] or 0)))
        except Exception as error:  # a library that is absent, or a driver that says no in its own way
            logger.info("the GPU's use is not shown (%s)", type(error).__name__)
            return None

    def read(self) -> tuple[float | None, int | None]:
        """(share of time busy, bytes in use)."""
        with contextlib.suppress(Exception):
            busy = self._library.nvmlDeviceGetUtilizationRates(self._handle).gpu / 100
            return float(busy), int(self._library.nvmlDeviceGetMemoryInfo(self._handle).used)
        return None, None

    def joules(self, seconds: float) -> float:
        """Its power now, held over the time since the last reading."""
        with contextlib.suppress(Exception):
            return float(self._library.nvmlDeviceGetPowerUsage(self._handle)) / 1000 * seconds
        return 0.0
