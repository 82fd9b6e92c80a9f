"""A reaper that never rests, as a process: `python -m tests.support.reaping`."""

from __future__ import annotations

import os
import signal
import threading

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.config.settings")


def main() -> None:
    """Reap until SIGTERM."""
    django.setup()
    from workers.reaper import reap

    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    print("reaping", flush=True)
    while not over.wait(0.1):
        reap()


if __name__ == "__main__":
    main()
