"""Bringing the database up to this version of the program before anything uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.management import call_command
from django.db import NotSupportedError, OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from workers.launcher.errors import LauncherError

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

OLDEST_POSTGRESQL = 15
_MIGRATION_LOCK = 0x6E6F6374_6D696772  # "noctmigr": one migration at a time, however many launchers start


def check_database(database: BaseDatabaseWrapper = connection) -> None:
    """Reach the database and see that it is new enough.

    Raises:
        LauncherError: ``database.unreachable``, ``database.too_old``.
    """
    try:
        with database.cursor() as cursor:
            version = int(cursor.connection.info.server_version)
    except NotSupportedError as problem:  # Django's own floor is below ours
        raise _too_old("older still") from problem
    except OperationalError as problem:
        place = database.settings_dict
        raise LauncherError(
            "database.unreachable",
            f"The PostgreSQL server at {place['HOST'] or 'the local socket'} does not answer, has no "
            f"database {place['NAME']}, or refuses the login. Check that it runs and DATABASE_URL is right.",
        ) from problem
    if version < OLDEST_POSTGRESQL * 10_000:
        raise _too_old(f"version {version // 10_000}")


def _too_old(version: str) -> LauncherError:
    return LauncherError(
        "database.too_old",
        f"Nocturne needs PostgreSQL {OLDEST_POSTGRESQL} or newer, and this server is {version}.",
    )


def migrate() -> bool:
    """Apply what is missing, under a lock of the database; True if there was something to do."""
    if not _missing():
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_MIGRATION_LOCK])
        try:
            call_command("migrate", interactive=False, verbosity=0)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_MIGRATION_LOCK])
    return True


def _missing() -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def store() -> str | None:
    """Name the store, if this is its first use; the sentence when the folder is not this installation's."""
    from webapp.core.store_identity import StoreAway, store_ensure

    try:
        store_ensure()
    except StoreAway as error:
        return f"{error.message} [{error.code}]"
    return None


def owner_link(base_url: str) -> str | None:
    """A fresh one-time link for the first owner; None once there is an owner."""
    from webapp.accounts.services import owner_link_create

    return owner_link_create(base_url=base_url)
