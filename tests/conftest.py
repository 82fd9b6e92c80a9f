"""Fixtures for every test; imported first, so that Django's settings see the tests' own environment."""

from __future__ import annotations

import os

import pytest

from tests.support import environment

environment.prepare()

import django  # noqa: E402  (the settings read the environment that was just prepared)

django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import TransactionTestCase  # noqa: E402
from hypothesis import HealthCheck  # noqa: E402
from hypothesis import settings as hypothesis_settings  # noqa: E402

from tests.support.database import flush, url_of  # noqa: E402

# Argon2 takes a tenth of a second and 100 MB on purpose, and every person in every test would pay for it.
# Only the first hasher makes new passwords; a test of the real ones sets the real list.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]
TransactionTestCase._fixture_teardown = flush  # type: ignore[attr-defined]  # the stubs leave it out


# How long an example takes depends on what else the machine does, and is no test's business.
hypothesis_settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("busy")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Each worker gets a data folder of its own, from its own conftest."""
    environment.before_workers_start()


def pytest_unconfigure() -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        environment.tear_down()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The service tier without its services has not passed; it has not run."""
    if item.get_closest_marker("services") and (missing := environment.missing_services()):
        pytest.fail(f"The service tier needs {' and '.join(missing)}; see .ci/run.", pytrace=False)


@pytest.fixture(scope="session")
def database_server() -> None:
    """A running PostgreSQL: the one of DATABASE_URL, else a throw-away embedded one for this test run."""
    environment.ensure_database_server()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, database_server: None
) -> None:
    """Called by pytest-django just before it makes the test database."""


@pytest.fixture
def database_url(transactional_db: None) -> str:
    """The URL of this worker's test database, for child processes; the database is flushed after the test."""
    return url_of(connection.settings_dict)
