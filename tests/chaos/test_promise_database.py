"""R16: a database that restarts kills no job."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from tests.chaos.history import check
from tests.chaos.watching import reached, taken
from tests.support.processes import SHIFT, at_step, process, trainer_of
from webapp.cycles.choices import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.jobs import Lab

pytestmark = pytest.mark.timeout(120)
RECIPE = {"epochs": 48, "snapshot_every_steps": 200, "snapshot_every_s": 0}


@contextmanager
def nobody_gets_in(database_url: str) -> Iterator[None]:
    """As while the server restarts: everybody's connections end, and new ones are refused."""
    name = connection.settings_dict["NAME"]
    connection.close()
    elsewhere = urlsplit(database_url)._replace(path="/postgres").geturl()
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(elsewhere, autocommit=True) as server:
        server.execute(allow.format(sql.Identifier(name), sql.Literal(False)))
        try:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            yield
        finally:
            server.execute(allow.format(sql.Identifier(name), sql.Literal(True)))


def test_away_for_less_than_the_lease_nothing_happens(lab: Lab, database_url: str, log: Path) -> None:
    cycle = lab.wake(0, **RECIPE)
    with process(*SHIFT, database_url=database_url, log=log, NOCTURNE_LEASE_SECONDS="10"):
        at_step(cycle, 200)
        for _ in range(2):
            with nobody_gets_in(database_url):
                time.sleep(1)
            time.sleep(0.5)
        done = reached(cycle, {State.SUCCEEDED})
    assert (done.epoch, done.attempt) == (1, 1), log.read_text()
    assert taken(cycle) == ["queued", "starting", "running", "publishing", "succeeded"]
    assert check() == []


def test_away_for_longer_than_two_leases_the_cycle_goes_on_elsewhere(
    lab: Lab, database_url: str, log: Path
) -> None:
    cycle = lab.wake(0, **(RECIPE | {"epochs": 96}))
    with process(*SHIFT, database_url=database_url, log=log):
        at_step(cycle, 200)
        trainer = trainer_of(cycle)
        with nobody_gets_in(database_url):
            # The fence fell: first it was paused, then, after two leases, ended.
            trainer.wait(8)
        done = reached(cycle, {State.SUCCEEDED})
    assert done.attempt == 2, log.read_text()
    assert check() == []
