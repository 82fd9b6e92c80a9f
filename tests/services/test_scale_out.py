"""Scaling out changes addresses only: the same program on a PostgreSQL and a Redis of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from tests.support.terminal import ROOT, read_until, status, up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty database on the server of DATABASE_URL; gone afterwards."""
    server = os.environ["DATABASE_URL"]
    name = f"nocturne_scale_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # our own name
    yield urlsplit(server)._replace(path=f"/{name}").geturl()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def broker() -> Iterator[str]:
    """The Redis database of CELERY_BROKER_URL, empty before and after."""
    url = os.environ["CELERY_BROKER_URL"]
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


def test_everything_runs_on_given_services(tmp_path: Path, database: str, broker: str) -> None:
    process = up(tmp_path, settings={"DATABASE_URL": database, "CELERY_BROKER_URL": broker})
    try:
        said = read_until(process, "/welcome/")
        url = said.split("Nocturne is at ")[1].split()[0]
        assert status(f"{url}/healthz") == 200
        assert not (tmp_path / "postgres").exists()

        log = tmp_path / "logs/chores.log"
        deadline = time.monotonic() + 60
        while "redis://" not in log.read_text() or "nocturne.tick" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
    finally:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in said and "ERROR" not in said


def test_three_servers_that_start_at_once_migrate_once(tmp_path: Path, database: str) -> None:
    script = "import django; django.setup(); from workers.launcher import prepare; prepare.migrate()"
    environment = {
        **os.environ,
        "DATABASE_URL": database,
        "NOCTURNE_DATA": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    processes = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        _, problem = process.communicate(timeout=120)
        assert process.returncode == 0, problem
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT count(*), count(DISTINCT (app, name)) FROM django_migrations")
        applied, distinct = rows.fetchone() or (0, 0)
    assert applied == distinct > 10
