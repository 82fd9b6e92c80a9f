"""Where messages go: the broker that was given, or the PostgreSQL that is there anyway.

A message is a doorbell and nothing more, so the embedded broker (kombu's SQLAlchemy transport) is enough
until somebody runs workers on several machines.
"""

from __future__ import annotations

import warnings
from typing import Any, Final
from urllib.parse import quote, urlencode

from django.conf import settings

NIGHTS = "nights"
CHORES = "chores"
# Kinds of devices: a worker hears the rings for any worker and those for its own kind.
NIGHT_KINDS: Final = ("cpu", "cuda", "mps")
NIGHT_QUEUES: Final = (NIGHTS, *(f"{NIGHTS}.{kind}" for kind in NIGHT_KINDS))
NIGHT_TASK = "nocturne.night"
VERIFY_TASK = "nocturne.verify"
TICK_TASK = "nocturne.tick"
TASK_ROUTES = {
    NIGHT_TASK: {"queue": NIGHTS},
    VERIFY_TASK: {"queue": CHORES},
    TICK_TASK: {"queue": CHORES},
}
_CONNECT_SECONDS = 3
# Creating kombu's tables from several processes at once fails in all but one of them.
_PREPARE_LOCK = 0x6E6F6374


def night_queue(device: str = "") -> str:
    """The queue that workers of this device (cpu, cuda, cuda:1, mps) hear; "" is that of all.

    Raises:
        ValueError: no such kind of device.
    """
    kind = device.partition(":")[0]
    if not kind:
        return NIGHTS
    if kind not in NIGHT_KINDS:
        raise ValueError(f"{device!r} is none of {', '.join(NIGHT_KINDS)}")
    return f"{NIGHTS}.{kind}"


def embedded_broker() -> bool:
    """Whether messages travel through our own PostgreSQL."""
    return not settings.CELERY_BROKER_URL


def broker_url() -> str:
    """CELERY_BROKER_URL, or the kombu address of the database that Django uses at this moment."""
    return str(settings.CELERY_BROKER_URL or f"sqla+{_sqlalchemy_url()}")


def broker_options(url: str, *, rarely: bool = False) -> dict[str, Any]:
    """Transport options for `url`: a dead broker must be noticed in seconds, a deaf connection replaced.

    Args:
        rarely: for a sender that rings now and then; between rings it holds no database connection.
    """
    if url.startswith("sqla+"):
        # Kombu's models use a loader strategy that SQLAlchemy wants to drop; it is pinned.
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy")
        options: dict[str, Any] = {"connect_args": {"connect_timeout": _CONNECT_SECONDS}}
        if rarely:
            from sqlalchemy.pool import NullPool

            return options | {"poolclass": NullPool}
        return options | {"pool_pre_ping": True}
    if url.startswith(("redis:", "rediss:", "sentinel:")):
        return {
            "visibility_timeout": 3600,
            "unacked_restore_interval": 60,
            "socket_connect_timeout": _CONNECT_SECONDS,
            "socket_timeout": 10,
            "socket_keepalive": True,
            "health_check_interval": 10,
        }
    return {}


def broker_prepare() -> None:
    """Make kombu's tables and queues in the embedded database, once, whoever comes first."""
    if not embedded_broker():
        return
    from kombu import Connection, Queue
    from sqlalchemy import create_engine, text

    engine = create_engine(_sqlalchemy_url(), connect_args={"connect_timeout": _CONNECT_SECONDS})
    try:
        with engine.connect() as guard:
            guard.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _PREPARE_LOCK})
            url = broker_url()
            with Connection(url, transport_options=broker_options(url, rarely=True)) as connection:
                channel: Any = connection.default_channel
                for name in (*NIGHT_QUEUES, CHORES):
                    Queue(name).bind(channel).declare()
                # Kombu looks queues up in a transaction that it leaves open.
                channel.session.close()
    finally:
        engine.dispose()


def _sqlalchemy_url() -> str:
    """`settings.DATABASES` as SQLAlchemy reads it; the tests' own database name is followed."""
    database = settings.DATABASES["default"]
    user = quote(database["USER"], safe="")
    password = f":{quote(database['PASSWORD'], safe='')}" if database["PASSWORD"] else ""
    query = {key: value for key, value in database["OPTIONS"].items() if key != "connect_timeout"}
    host = database["HOST"]
    if host.startswith("/"):
        query |= {"host": host} | ({"port": database["PORT"]} if database["PORT"] else {})
        place = ""
    else:
        place = (f"[{host}]" if ":" in host else host) + (f":{database['PORT']}" if database["PORT"] else "")
    tail = f"?{urlencode(query)}" if query else ""
    return f"postgresql+psycopg://{user}{password}@{place}/{quote(database['NAME'], safe='')}{tail}"
