"""A nights worker without Celery, as a process that a test may kill: `python -m tests.support.shift`."""

from __future__ import annotations

import os
import signal
import threading

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.config.settings")


def main() -> None:
    """Work until SIGTERM, then give the running cycle back."""
    django.setup()
    from workers.nights import NightShift

    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    shift = NightShift()
    shift.start()
    over.wait()
    shift.join()


if __name__ == "__main__":
    main()
