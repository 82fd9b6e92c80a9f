"""The Celery application: three tasks, none of which carries anything precious.

celery -A workers.app worker -P solo -Q nights,nights.cpu    one per device (`nocturne worker`); runs cycles
celery -A workers.app worker -P threads -Q chores            tick, verify; never loads torch
celery -A workers.app beat                                   sends the ticks
"""

from __future__ import annotations

import logging
import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.config.settings")
django.setup()

from celery import Celery  # noqa: E402  (models need Django to be set up)
from celery.signals import (  # noqa: E402
    beat_init,
    celeryd_after_setup,
    worker_shutdown,
    worker_shutting_down,
)

import workers.doorbell  # noqa: F401, E402  (registers the transport of the embedded default)
from webapp.core.broker import (  # noqa: E402
    CHORES,
    NIGHT_QUEUES,
    NIGHT_TASK,
    TASK_ROUTES,
    TICK_TASK,
    VERIFY_TASK,
    broker_options,
    broker_prepare,
    broker_url,
)
from workers.clock import SpareClock, beat_schedule, tick  # noqa: E402
from workers.confine import confinement_level  # noqa: E402
from workers.nights import NightShift  # noqa: E402

logger = logging.getLogger(__name__)

app = Celery("nocturne", broker=broker_url())
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    task_routes=TASK_ROUTES,
    task_ignore_result=True,
    task_acks_late=False,
    task_default_queue=CHORES,
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    broker_transport_options=broker_options(broker_url()),
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    beat_schedule=beat_schedule(),
    beat_max_loop_interval=5,
    timezone="UTC",
)

_shift: NightShift | None = None
_spare_clock: SpareClock | None = None


@app.task(name=NIGHT_TASK)
def night() -> None:
    """A cycle may be waiting. The shift looks; doubled rings are one look."""
    if _shift is not None:
        _shift.ring()


@app.task(name=VERIFY_TASK)
def verify(upload_id: str) -> None:
    """An upload waits for its check."""
    from webapp.uploads.services import upload_verify

    upload_verify(upload_id)


@app.task(name=TICK_TASK)
def clock_tick() -> None:
    """What is due by now."""
    tick()


@celeryd_after_setup.connect
def _begin(sender: str, instance: Any, **_: Any) -> None:
    """Before the broker is asked for anything: work does not wait for it."""
    global _shift, _spare_clock
    broker_prepare()
    queues = set(instance.app.amqp.queues.consume_from)
    if queues & set(NIGHT_QUEUES):
        _shift = NightShift()
        _shift.start()
    if CHORES in queues:
        logger.info("Uploads are opened in a confined child: %s.", confinement_level())
        _spare_clock = SpareClock()
        _spare_clock.start()


@beat_init.connect
def _begin_beat(**_: Any) -> None:
    broker_prepare()


@worker_shutting_down.connect
def _end_soon(**_: Any) -> None:
    if _shift is not None:
        _shift.stop_soon()


@worker_shutdown.connect
def _end(**_: Any) -> None:
    if _shift is not None:
        _shift.join()
    if _spare_clock is not None:
        _spare_clock.stop()
