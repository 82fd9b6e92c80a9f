"""Workers report themselves here."""

from __future__ import annotations

from datetime import timedelta

from django.db.models.functions import Now

from webapp.fleet.models import Worker

_FORGET_AFTER = timedelta(days=7)


def worker_heartbeat(
    *, name: str, device: str, version: str, protocol: int, device_memory_bytes: int = 0
) -> Worker:
    """The worker is there: its row, made or refreshed, with the database's clock."""
    seen = {
        "device": device,
        "device_memory_bytes": device_memory_bytes,
        "version": version,
        "protocol": protocol,
        "heartbeat_at": Now(),
        "stopped_at": None,
    }
    worker, _created = Worker.objects.update_or_create(name=name, defaults=seen)
    return worker


def worker_stopped(*, name: str) -> None:
    """The worker said goodbye: the fleet page shows it as stopped and not as lost."""
    Worker.objects.filter(name=name).update(stopped_at=Now())


def workers_forget() -> int:
    """Drop workers that have not been seen for a week; the number of those."""
    return Worker.objects.filter(heartbeat_at__lt=Now() - _FORGET_AFTER).delete()[0]
