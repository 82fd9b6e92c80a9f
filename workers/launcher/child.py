"""One supervised process: started, watched, started again with a growing pause, stopped."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webapp.core.processes import started_at
from workers.launcher.runfile import Recorded

if TYPE_CHECKING:
    from workers.launcher.logs import ChildLog

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
# A child that lived this long was healthy; its next pause is the short one again.
HEALTHY_AFTER_S = 30.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class ChildSpec:
    """What to run.

    Args:
        command: the words after the Python interpreter, for example ``["-m", "workers.web"]``.
        grace: seconds between SIGTERM and SIGKILL.
        yields_s: leave the processor to children that report ready, but for no longer than so many seconds.
        stop_order: children with a lower number are ended first.
        reports_ready: gets ``--ready-fd N`` and writes there once it can do its work.
        pass_fds: descriptors that the child inherits under the same numbers.
    """

    name: str
    command: Sequence[str]
    grace: float = 5.0
    yields_s: float = 0.0
    stop_order: int = 0
    reports_ready: bool = False
    pass_fds: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class Child:
    """The process of one :class:`ChildSpec`, under the launcher's eyes.

    Must be started from the launcher's main thread: the parent-death signal follows the thread that forked.
    """

    def __init__(self, spec: ChildSpec, log: ChildLog, say: Callable[[str], None]) -> None:
        self.spec = spec
        self.log = log
        self.restart_at: float | None = None
        self.ready: int | None = None
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._pause = FIRST_PAUSE_S
        self._stopping = False
        self._kill_at = 0.0

    @property
    def alive(self) -> bool:
        return self._process is not None

    @property
    def never_started(self) -> bool:
        return self._started == 0.0

    @property
    def output(self) -> int | None:
        """The descriptor to read the child's stdout and stderr from, until it closes them."""
        return self._process.stdout.fileno() if self._process and self._process.stdout else None

    def plan(self) -> None:
        """Have it started by the loop, at the latest after the time that it yields to others."""
        self.restart_at = time.monotonic() + self.spec.yields_s

    def start(self) -> None:
        """Run it, in a session of its own: Ctrl-C in the terminal is the launcher's business."""
        self.restart_at = None
        self._started = time.monotonic()
        command, pass_fds, writing = [sys.executable, *self.spec.command], self.spec.pass_fds, None
        if self.spec.reports_ready:
            self.ready, writing = os.pipe()
            command += ["--ready-fd", str(writing)]
            pass_fds = (*pass_fds, writing)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.spec.environment},
            pass_fds=pass_fds,
            start_new_session=True,
            preexec_fn=_end_with_parent(os.getpid()),
        )
        if writing is not None:
            os.close(writing)
        self.log.note(f"started as process {self._process.pid}")

    def take_ready(self) -> bool:
        """Read the child's word that it is ready; False if it ended without giving it."""
        if self.ready is None:
            return False
        word = os.read(self.ready, 16)
        os.close(self.ready)
        self.ready = None
        return bool(word)

    def record(self) -> Recorded | None:
        """How a later launcher recognises this process; None when it does not run."""
        if self._process is None:
            return None
        started = started_at(self._process.pid)
        return Recorded(self.spec.name, self._process.pid, started) if started is not None else None

    def reap(self) -> bool:
        """Notice an end, and plan the next start unless it was asked for; True if it ended just now."""
        if self._process is None or self._process.poll() is None:
            return False
        code = self._process.returncode
        self.drain()
        if self._process.stdout:
            self._process.stdout.close()
        if self.ready is not None:
            os.close(self.ready)
            self.ready = None
        self._process = None
        how = f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"exit code {code}"
        self.log.note(f"ended with {how}")
        if not self._stopping:
            self._plan_restart(how)
        return True

    def _plan_restart(self, how: str) -> None:
        """Pause before the next start; the terminal hears of the first end and of the longest pause only."""
        if time.monotonic() - self._started > HEALTHY_AFTER_S:
            self._pause = FIRST_PAUSE_S
        self.restart_at = time.monotonic() + self._pause
        if self._pause == FIRST_PAUSE_S:
            self._say(f"{self.spec.name:<7} stopped unexpectedly ({how}) and is started again.")
        longer = min(self._pause * 2, LONGEST_PAUSE_S)
        if longer == LONGEST_PAUSE_S and self._pause < longer:
            self._say(
                f"{self.spec.name:<7} keeps stopping ({how}); from now on it is started every "
                f"{LONGEST_PAUSE_S:g} s. Its log: {self.log.path}"
            )
        self._pause = longer

    def drain(self) -> None:
        """Move what the child has said into its log, without waiting for more."""
        descriptor = self.output
        if descriptor is None:
            return
        os.set_blocking(descriptor, False)
        try:
            while data := os.read(descriptor, 65536):
                self.log.feed(data)
        except BlockingIOError:
            return
        if self._process is not None and self._process.stdout:  # end of file: nothing will come any more
            self._process.stdout.close()
            self._process.stdout = None

    def ask_to_stop(self) -> None:
        """SIGTERM, once; :meth:`insist` follows up."""
        self.restart_at = None
        if not self._stopping:
            self._stopping = True
            self._kill_at = time.monotonic() + self.spec.grace
            if self._process is not None:
                self._process.terminate()

    def insist(self, *, now: bool = False) -> None:
        """SIGKILL to the child's whole group once its grace is over, or at once."""
        if self._process is not None and (now or time.monotonic() > self._kill_at):
            self.log.note("did not end in time and is killed")
            os.killpg(self._process.pid, signal.SIGKILL)


def _end_with_parent(parent: int) -> Callable[[], None] | None:
    """For Linux: a hook between fork and exec that ties the child's life to the launcher's."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def hook() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return hook
