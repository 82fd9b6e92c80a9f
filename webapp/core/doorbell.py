"""Ringing the workers. A ring may be lost, doubled or late: they look for work by themselves all the time."""

from __future__ import annotations

import functools
import logging
import os
import queue
import threading
from typing import TYPE_CHECKING, Final

from django.db import transaction

from webapp.core.broker import (
    NIGHT_TASK,
    TASK_ROUTES,
    VERIFY_TASK,
    broker_options,
    broker_prepare,
    broker_url,
    night_queue,
)

if TYPE_CHECKING:
    from uuid import UUID

    from celery import Celery

logger = logging.getLogger(__name__)
# Rings wait for their sender; more than these are not worth remembering.
_rings: Final[queue.Queue[tuple[str, tuple[str, ...], str | None]]] = queue.Queue(maxsize=100)
_sender: threading.Thread | None = None
_sender_pid = 0
_starting: Final = threading.Lock()


def ring_night(device: str = "") -> None:
    """Tell a nights worker, once the transaction is committed, that a cycle waits. Never raises or waits.

    Args:
        device: the kind that the cycle wants (`Cycle.device`); "" rings for any worker.
    """
    transaction.on_commit(lambda: _ring(NIGHT_TASK, to=night_queue(device)), robust=True)


def ring_verify(upload_id: UUID | str) -> None:
    """Tell the chores worker, once the transaction is committed, that an upload waits. Likewise."""
    transaction.on_commit(lambda: _ring(VERIFY_TASK, str(upload_id)), robust=True)


def _ring(task: str, *args: str, to: str | None = None) -> None:
    """Hand over to the sending thread: no page waits for a broker, not even for one that is dead."""
    global _sender, _sender_pid
    with _starting:
        if _sender is None or _sender_pid != os.getpid():
            _sender, _sender_pid = (
                threading.Thread(target=_send_on, name="doorbell", daemon=True),
                os.getpid(),
            )
            _sender.start()
    try:
        _rings.put_nowait((task, args, to))
    except queue.Full:
        logger.warning("The doorbell is stuck; the workers will notice by themselves.")


def _send_on() -> None:
    while True:
        task, args, to = _rings.get()
        _send(task, *args, to=to)


@functools.cache
def _bell(url: str) -> Celery:
    """A Celery application that can only send. Imported on the first ring: pages must not wait for Celery."""
    from celery import Celery

    broker_prepare()
    bell = Celery("nocturne-doorbell", broker=url, set_as_current=False)
    bell.conf.update(
        broker_transport_options=broker_options(url, rarely=True),
        broker_connection_timeout=3,
        broker_connection_retry=False,
        task_routes=TASK_ROUTES,
        task_serializer="json",
        task_ignore_result=True,
    )
    return bell


def _send(task: str, *args: str, to: str | None = None) -> None:
    """`to`: the queue; None is the task's usual one."""
    try:
        _bell(broker_url()).send_task(
            task, args=args, queue=to, retry=False, ignore_result=True, expires=3600
        )
    except Exception:
        # Whatever is wrong with the broker, the request that rang is fine and the workers poll.
        logger.warning("The doorbell %s could not be rung; the workers will notice by themselves.", task)
