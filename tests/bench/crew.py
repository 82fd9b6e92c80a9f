"""Workers as the launcher starts them, to be killed and started again by whoever measures."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.jobs import eventually
from tests.support.processes import BEAT, CHORES, NIGHTS, QUIET, process, trainer_of

if TYPE_CHECKING:
    import subprocess

    import psutil

    from webapp.cycles.models import Cycle


class Crew:
    """Nights workers by their index, with chores and clock when a tick is given.

    Args:
        database_url: whose cycles they run.
        nights: how many nights workers.
        lease: seconds that a claim holds.
        tick: seconds between two looks of the clock; 0: nobody ticks.
        faults: what goes wrong on purpose (webapp.core.faults).
    """

    def __init__(
        self, database_url: str, *, nights: int, lease: int, tick: int = 0, faults: str = ""
    ) -> None:
        self._url, self._count, self._lease, self._tick = database_url, nights, lease, tick
        self._faults = faults
        self._all = ExitStack()
        self._nights: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self._logs = Path(self._all.enter_context(tempfile.TemporaryDirectory(prefix="noct-crew-")))
        if self._tick:
            self._start("chores", *CHORES, *QUIET)
            schedule = str(self._logs / "beat-schedule")
            self._start("beat", *BEAT, "-s", schedule, ready="beat: Starting")
        for index in range(self._count):
            self.start_nights(str(index))
        return self

    def __exit__(self, *_: object) -> None:
        self._all.close()

    def start_nights(self, index: str) -> None:
        """A nights worker; returns once it is there."""
        # The device's own index tells several workers of one machine apart.
        self._nights[index] = self._start(f"nights-{index}", *NIGHTS, *QUIET, index=index)

    def kill_with_trainer(self, cycle: Cycle) -> str:
        """SIGKILL to the worker that holds the cycle and to its trainer; the worker's index."""
        assert cycle.worker is not None
        index = cycle.worker.name.rpartition("-")[2]
        trainer = self.trainer(cycle)
        self._nights[index].kill()
        trainer.kill()
        self._nights[index].wait()
        return index

    @staticmethod
    def trainer(cycle: Cycle) -> psutil.Process:
        return trainer_of(cycle, cycle.epoch)

    def _start(
        self, name: str, *arguments: str, ready: str = "ready.", index: str = ""
    ) -> subprocess.Popen[bytes]:
        log = self._logs / f"{name}.log"
        log.write_bytes(b"")
        started = self._all.enter_context(
            process(
                *arguments,
                database_url=self._url,
                log=log,
                NOCTURNE_LEASE_SECONDS=str(self._lease),
                NOCTURNE_TICK_SECONDS=str(self._tick or 15),
                NOCTURNE_POLL_SECONDS="20",
                NOCTURNE_WORKER_INDEX=index,
                NOCTURNE_FAULTS=self._faults,
            )
        )
        eventually(lambda: ready in log.read_text(errors="replace"), timeout=60, what=f"the start of {name}")
        return started
