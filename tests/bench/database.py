"""A PostgreSQL to measure on: embedded and thrown away (durable: fsync is on), or the one of DATABASE_URL."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def prepared() -> Iterator[Path]:
    """Django set up on a running server and a data folder of its own: given, and removed afterwards."""
    embedded = "DATABASE_URL" not in os.environ
    data = Path(tempfile.mkdtemp(prefix="noct-bench-"))
    data.chmod(0o755)
    os.environ["NOCTURNE_DATA"] = str(data)
    os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.config.settings"
    from webapp.core.embedded import EmbeddedPostgres, dsn

    try:
        if embedded:
            EmbeddedPostgres(data).start()
            os.environ["DATABASE_URL"] = dsn(data)
        import django

        django.setup()
        yield data
    finally:
        if embedded:
            EmbeddedPostgres(data).stop()
            os.environ.pop("DATABASE_URL", None)
        shutil.rmtree(data, ignore_errors=True)


@dataclass
class Server:
    """Where sections make databases of their own; nothing that was there before is touched."""

    data: Path
    _made: int = 0

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """A migrated, empty database on which this process works meanwhile; gives its URL, for others."""
        from django.core.management import call_command
        from django.db import connection

        from tests.support.database import url_of

        before = connection.settings_dict["NAME"]
        template, name = self._name(0), self._name(self._made + 1)
        if not self._made:
            self._create(template, "template1")
            self._use(template)
            call_command("migrate", verbosity=0)
        self._made += 1
        self._use(before)
        self._create(name, template)
        self._use(name)
        try:
            yield url_of(connection.settings_dict)
        finally:
            self._use(before)
            self._drop(name)

    def use(self, url: str) -> None:
        """From now on this process works on one of the databases that `fresh` gave."""
        from webapp.config.env import database_from_url

        self._use(database_from_url(url)["NAME"])

    @staticmethod
    def _use(name: str) -> None:
        from django.db import connection

        connection.close()
        connection.settings_dict["NAME"] = name

    def processor_seconds(self) -> float | None:
        """Of all processes of the server since it started; None when it is somebody else's server."""
        try:
            pid = int((self.data / "postgres" / "postmaster.pid").read_text().split()[0])
            postmaster = psutil.Process(pid)
            own = postmaster.cpu_times()
            backends = [child.cpu_times() for child in postmaster.children(recursive=True)]
        except (OSError, ValueError, psutil.Error):
            return None
        # Backends that have ended count as children of the postmaster.
        ended = own.children_user + own.children_system
        return float(own.user + own.system + ended + sum(each.user + each.system for each in backends))

    def close(self) -> None:
        if self._made:
            self._drop(self._name(0))

    @staticmethod
    def _name(number: int) -> str:
        return f"nocturne_bench_{os.getpid()}_{number}"

    @staticmethod
    def _create(name: str, template: str) -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        connection.close()

    @staticmethod
    def _drop(name: str) -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.close()


@contextmanager
def server() -> Iterator[Server]:
    """A server with Django set up on it."""
    with prepared() as data:
        from django.db import connection

        found = Server(data)
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('server_version'), current_setting('fsync')")
            version, fsync = cursor.fetchone() or ("", "")
        print(f"PostgreSQL {version}, fsync {fsync}, {os.cpu_count()} cores", flush=True)
        try:
            yield found
        finally:
            found.close()
            connection.close()
