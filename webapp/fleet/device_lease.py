"""Keeping two processes off one device: a row per device, held under a lease by the database's clock."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection

from webapp.core.processes import is_same, machine, started_at
from webapp.fleet.models import DeviceLease

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)
# A lease that is ours, or that ran out, or whose holder was seen to be dead, becomes ours.
_TAKE: Final = """
    INSERT INTO fleet_devicelease (key, holder, host, pid, pid_started, expires_at)
    VALUES (%(key)s, %(holder)s, %(host)s, %(pid)s, %(started)s, clock_timestamp() + %(ttl)s)
    ON CONFLICT (key) DO UPDATE SET
        holder = excluded.holder, host = excluded.host, pid = excluded.pid,
        pid_started = excluded.pid_started, expires_at = excluded.expires_at
    WHERE fleet_devicelease.holder IN (excluded.holder, %(dead)s)
       OR fleet_devicelease.expires_at < clock_timestamp()
    RETURNING key
"""


@dataclass
class DeviceHolder:
    """One process's hold on one device.

    Args:
        key: of the device, the same in every process that could use it.
        on_taking: called with the process id of a former holder on this machine before its device is used:
            a trainer that it left behind, or that goes on while it is frozen, must end first.
    """

    key: str
    on_taking: Callable[[int], object]
    holder: UUID = field(default_factory=uuid4)
    _told: str = ""
    # Two threads ask; the second must not use the device while the first still clears it.
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def hold(self) -> bool:
        """Take the device or go on holding it; False while somebody else has it."""
        with self._turn:
            return self._held()

    def _held(self) -> bool:
        before = DeviceLease.objects.filter(key=self.key).first()
        mine = before is not None and before.holder == self.holder
        here = before is not None and before.host == machine()
        dead = None
        if before is not None and not mine and here and not is_same(before.pid, before.pid_started):
            dead = before.holder
        if not self._take(dead):
            self._say(before)
            return False
        if before is not None and not mine and here:
            self.on_taking(before.pid)
        self._told = ""
        return True

    def let_go(self) -> None:
        """Another process may have it now."""
        DeviceLease.objects.filter(key=self.key, holder=self.holder).delete()

    def _take(self, dead: UUID | None) -> bool:
        values: dict[str, Any] = {
            "key": self.key,
            "holder": self.holder,
            "host": machine(),
            "pid": os.getpid(),
            "started": started_at(os.getpid()) or 0.0,
            "ttl": timedelta(seconds=settings.CYCLE_LEASE_SECONDS),
            "dead": dead or self.holder,
        }
        with connection.cursor() as cursor:
            cursor.execute(_TAKE, values)
            return cursor.fetchone() is not None

    def _say(self, held: DeviceLease | None) -> None:
        """Once, not at every look."""
        who = f"process {held.pid} on {held.host.partition('/')[0]}" if held else "another process"
        if who != self._told:
            self._told = who
            logger.warning(
                "The device %s is used by %s; this worker takes nothing until it is free. Two workers of one "
                "processor need different NOCTURNE_WORKER_INDEX.",
                self.key,
                who,
            )
