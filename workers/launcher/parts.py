"""The children of a complete Nocturne: web, nights, chores and clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from webapp.core.broker import NIGHTS, night_queue
from workers.launcher.child import ChildSpec
from workers.launcher.errors import LauncherError

if TYPE_CHECKING:
    import socket
    from collections.abc import Collection, Mapping
    from pathlib import Path

PARTS = ("web", "nights", "chores", "clock")
# A cycle that is running gets the time to write its snapshot: the supervisor's own limit is 30 s.
_NIGHTS_GRACE_S = 40.0
_CHORES_GRACE_S = 10.0
# Measured on two busy cores: the first page after 2.5 to 4.6 s, and 4.1 to 5.7 s when all start at once.
_YIELD_S = 3.0
_CELERY = ("-m", "celery", "--quiet", "--skip-checks", "-A", "workers.app")
_WORKER = ("worker", "--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat")


def nights_command(device: str, index: str = "") -> tuple[str, ...]:
    """Arguments for Python that run one nights worker, which hears the rings for all and for its own kind.

    Raises:
        LauncherError: ``device.unknown``.
    """
    try:
        queues = f"{NIGHTS},{night_queue(device)}"
    except ValueError:
        raise LauncherError(
            "device.unknown", "A nights worker computes on cpu, mps, cuda or, for example, cuda:1."
        ) from None
    name = "-".join(part for part in (NIGHTS, device.replace(":", "-"), index) if part)
    return (*_CELERY, *_WORKER, "-P", "solo", "-Q", queues, "-n", f"{name}@%h")


def specs(
    parts: Collection[str], *, listener: socket.socket | None, data_dir: Path, environment: Mapping[str, str]
) -> list[ChildSpec]:
    """What to run for the chosen parts, web first: people wait for the page, nobody waits for the clock.

    Ending has its own order: no new work (clock) and no new requests (web) first, then the workers.
    """
    inherited = () if listener is None else (listener.fileno(),)
    every = [
        ChildSpec(
            "web",
            ("-m", "workers.web", *(f"--fd={number}" for number in inherited)),
            pass_fds=inherited,
            reports_ready=True,
            environment=environment,
        ),
        ChildSpec(
            "nights",
            nights_command(settings.TRAINER_DEVICE, settings.WORKER_INDEX),
            grace=_NIGHTS_GRACE_S,
            yields_s=_YIELD_S,
            stop_order=1,
            environment=environment,
        ),
        ChildSpec(
            "chores",
            (*_CELERY, *_WORKER, "-P", "threads", "-c", "4", "-Q", "chores", "-n", "chores@%h"),
            grace=_CHORES_GRACE_S,
            yields_s=_YIELD_S,
            stop_order=1,
            environment=environment,
        ),
        ChildSpec(
            "clock",
            (
                *_CELERY,
                "beat",
                "--loglevel",
                "INFO",
                "--pidfile=",
                "--schedule",
                str(data_dir / "run" / "clock"),
            ),
            yields_s=_YIELD_S,
            environment=environment,
        ),
    ]
    return [spec for spec in every if spec.name in parts]
