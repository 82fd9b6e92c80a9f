"""The loop that keeps the children running and ends them in order."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workers.launcher.child import Child, ChildSpec
from workers.launcher.logs import ChildLog

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from workers.launcher.runfile import RunFile

_CHECK_EVERY_S = 2.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Runs children until SIGINT, SIGTERM or a closed terminal.

    Args:
        specs: what to run, in the order of starting; ``stop_order`` gives the order of ending.
        logs: folder of the children's log files.
        runfile: held by the caller; gets a note at every start of a child.
        url: goes into that note.
        say: takes lines for the terminal.
        on_ready: called with the name of a child that reports to be ready.
        on_check: called every 2 seconds, for what is watched but is no child (the database).
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        logs: Path,
        runfile: RunFile,
        url: str,
        say: Callable[[str], None],
        on_ready: Callable[[str], None] = lambda name: None,
        on_check: Callable[[], None] = lambda: None,
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._children = [Child(spec, ChildLog(logs, spec.name, say), say) for spec in specs]
        self._runfile = runfile
        self._url = url
        self._say = say
        self._on_ready = on_ready
        self._on_check = on_check
        self._stops = 0
        self._check_at = 0.0

    def run(self) -> None:
        """Start everything, keep it running, return once all of it has ended."""
        with self._signals() as wakeup:
            try:
                for child in self._children:
                    child.plan()
                while not self._stops:
                    self._turn(wakeup)
            finally:
                self._stop_all(wakeup)

    @contextmanager
    def _signals(self) -> Iterator[int]:
        """Signals as bytes on a descriptor, so that one ``select`` waits for everything."""
        reading, writing = os.pipe()
        for descriptor in (reading, writing):
            os.set_blocking(descriptor, False)
        before = {number: signal.getsignal(number) for number in (*_STOP_SIGNALS, signal.SIGCHLD)}
        wakeup_before = signal.set_wakeup_fd(writing)
        for number in before:
            if before[number] is not signal.SIG_IGN:  # nohup stays nohup
                signal.signal(number, self._count)
        try:
            yield reading
        finally:
            signal.set_wakeup_fd(wakeup_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(reading)
            os.close(writing)

    def _count(self, number: int, _frame: FrameType | None) -> None:
        if number in _STOP_SIGNALS:
            self._stops += 1

    def _turn(self, wakeup: int) -> None:
        """Wait for a signal, output or a deadline, and deal with whatever there is."""
        now = time.monotonic()
        deadlines = [child.restart_at for child in self._children if child.restart_at is not None]
        self._wait(wakeup, max(0.0, min([self._check_at, *deadlines, now + _CHECK_EVERY_S]) - now))
        for child in self._children:
            if child.restart_at is not None and time.monotonic() >= child.restart_at:
                self._start(child)
        if time.monotonic() >= self._check_at:
            self._on_check()
            self._check_at = time.monotonic() + _CHECK_EVERY_S

    def _wait(self, wakeup: int, timeout: float) -> None:
        outputs = {child.output: child for child in self._children if child.output is not None}
        readies = {child.ready: child for child in self._children if child.ready is not None}
        readable, _, _ = select.select([wakeup, *outputs, *readies], [], [], timeout)
        for descriptor in readable:
            if descriptor == wakeup:
                self._swallow(wakeup)
            elif descriptor in outputs:
                outputs[descriptor].drain()
            elif readies[descriptor].take_ready():
                self._nobody_yields_any_more()
                self._on_ready(readies[descriptor].spec.name)
        for child in self._children:
            child.reap()

    def _nobody_yields_any_more(self) -> None:
        for child in self._children:
            if child.never_started:
                child.restart_at = time.monotonic()

    @staticmethod
    def _swallow(wakeup: int) -> None:
        try:
            while os.read(wakeup, 512):
                pass
        except BlockingIOError:
            return

    def _start(self, child: Child) -> None:
        child.start()
        records = [each.record() for each in self._children]
        self._runfile.write(url=self._url, children=[each for each in records if each is not None])

    def _stop_all(self, wakeup: int) -> None:
        """Group after group; a second signal ends everything at once."""
        began = time.monotonic()
        self._say("Stopping.")
        for order in sorted({child.spec.stop_order for child in self._children}):
            group = [child for child in self._children if child.spec.stop_order == order]
            for child in group:
                child.ask_to_stop()
            while any(child.alive for child in group):
                self._wait(wakeup, 0.1)
                for child in group:
                    child.insist(now=self._stops > 1)
        for child in self._children:
            child.log.close()
        self._say(f"Everything has stopped ({time.monotonic() - began:.1f} s).")
