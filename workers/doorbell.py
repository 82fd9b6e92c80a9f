"""Kombu's SQLAlchemy transport with the manners of a doorbell: it looks often and lets go at once.

Registered under the scheme ``sqla`` when this module is imported. Kombu hands every transport option on to
``create_engine``, so none of this can be given as an option.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.sqlalchemy import Transport

_LOOK_EVERY_S = 0.25
_WAIT_S = 0.3


class Doorbell(Transport):
    """Waits in short pieces: Celery asks for 2 s each, and looks only between two whether it should end."""

    polling_interval = _LOOK_EVERY_S

    def drain_events(self, connection: Any, timeout: float | None = None, **options: Any) -> None:
        super().drain_events(
            connection, timeout=_WAIT_S if timeout is None else min(timeout, _WAIT_S), **options
        )


TRANSPORT_ALIASES["sqla"] = "workers.doorbell:Doorbell"
