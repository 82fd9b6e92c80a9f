"""Where the embedded server listens is a matter of the data folder alone."""

from __future__ import annotations

import os
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from webapp.config.env import database_from_url
from webapp.core.embedded import dsn, socket_dir

SHORT = Path("/tmp/nocturne data & more")  # noqa: S108  (never made)
LONG = Path("/tmp") / ("d" * 60) / ("e" * 60)  # noqa: S108


def test_the_socket_is_in_the_data_folder_when_its_path_fits() -> None:
    assert socket_dir(SHORT) == SHORT / "run"


def test_a_path_too_long_for_a_socket_gets_a_short_folder_of_its_own() -> None:
    short = socket_dir(LONG)
    assert len(os.fsencode(short / ".s.PGSQL.5432")) <= 107
    assert short == socket_dir(LONG)
    assert short != socket_dir(LONG.with_name("another"))
    assert str(os.geteuid()) in short.name


def test_a_comma_would_read_as_two_hosts() -> None:
    assert "," not in str(socket_dir("/tmp/a,b"))  # noqa: S108


def test_asking_for_the_address_makes_nothing(tmp_path: Path) -> None:
    dsn(tmp_path / "data")
    dsn(tmp_path / ("d" * 60) / ("e" * 60))
    assert list(tmp_path.iterdir()) == []


def test_everybody_reads_the_same_address() -> None:
    """libpq, SQLAlchemy (the doorbell) and our own settings."""
    url = dsn(SHORT)
    libpq = conninfo_to_dict(url)
    alchemy = make_url(url)
    django = database_from_url(url)
    assert libpq["host"] == alchemy.query["host"] == django["HOST"] == str(SHORT / "run")
    assert libpq["user"] == alchemy.username == django["USER"] == "nocturne"
    assert libpq["dbname"] == alchemy.database == django["NAME"] == "nocturne"
    assert str(libpq["port"]) == alchemy.query["port"] == django["PORT"] == "5432"
