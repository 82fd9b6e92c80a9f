"""A trainer is read from outside; energy is measured where a counter is, else it is said to be a guess."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from workers import metering
from workers.devices import Device
from workers.metering import Meter, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CPU = Device("cpu", 0)


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    """A process that computes without pause."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def readings(meter: Meter, count: int) -> list[Reading]:
    found: list[Reading] = []
    while len(found) < count:
        if reading := meter.read():
            found.append(reading)
        time.sleep(0.02)
    return found


def test_a_busy_process_is_seen_and_its_energy_estimated(
    busy: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    first, second = readings(Meter(busy.pid, CPU, energy_wh=2.0, rapl=tmp_path), 2)
    assert second.cpu is not None and second.cpu > 0
    assert second.memory is not None and second.memory > 1_000_000
    assert first.source == "estimated"
    assert 2.0 < first.energy_wh < second.energy_wh < 2.1
    assert (second.gpu, second.gpu_memory) == (None, None)


def zone(folder: Path, number: int, name: str) -> Path:
    """One of the kernel's energy counters; 10 J is as far as it counts."""
    made = folder / f"intel-rapl:{number}"
    made.mkdir()
    (made / "name").write_text(f"{name}\n")
    (made / "max_energy_range_uj").write_text("9999999\n")
    (made / "energy_uj").write_text("9000000\n")
    return made / "energy_uj"


def test_energy_counters_are_read_may_wrap_and_count_the_package_once(
    busy: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, board = zone(tmp_path, 0, "package-0"), zone(tmp_path, 1, "psys")
    meter = Meter(busy.pid, CPU, rapl=tmp_path)
    monkeypatch.setattr(metering, "_machine", lambda: 0.0)  # nobody else works
    meter._machine_seconds = -1e-9
    package.write_text("999999\n")  # 2 J on, over the edge
    board.write_text("9500000\n")
    (found,) = readings(meter, 1)
    assert found.source == "measured"
    assert found.energy_wh == pytest.approx(2 / 3600, abs=1e-6)


def test_of_the_machines_energy_a_trainer_bears_its_share(
    busy: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    package = zone(tmp_path, 0, "package-0")
    idle = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        worked, slept = Meter(busy.pid, CPU, rapl=tmp_path), Meter(idle.pid, CPU, rapl=tmp_path)
        package.write_text("9900000\n")
        time.sleep(1.0)
        (hot,), (cold,) = readings(worked, 1), readings(slept, 1)
    finally:
        idle.kill()
        idle.wait()
    assert 0 < hot.energy_wh <= 0.9 / 3600 + 1e-6
    assert cold.energy_wh < 0.3 * hot.energy_wh


def test_a_sum_with_an_estimate_in_it_is_an_estimate(busy: subprocess.Popen[bytes], tmp_path: Path) -> None:
    zone(tmp_path, 0, "package-0")
    (found,) = readings(Meter(busy.pid, CPU, energy_wh=50.0, estimated=True, rapl=tmp_path), 1)
    assert found.source == "estimated"


def test_a_trainer_that_is_gone_disturbs_nobody(busy: subprocess.Popen[bytes], tmp_path: Path) -> None:
    meter = Meter(busy.pid, CPU, rapl=tmp_path)
    busy.kill()
    busy.wait()
    time.sleep(metering.FIRST_SECONDS)
    assert meter.read() is None
    assert Meter(busy.pid, CPU, rapl=tmp_path).read() is None
