"""The test database as other processes see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from django.db import connection, transaction

if TYPE_CHECKING:
    from django.test import TransactionTestCase

# What Django writes into these after every migration, no test changes.
KEPT = {"django_content_type", "auth_permission"}


def url_of(settings: dict[str, Any]) -> str:
    """The ``postgresql://`` URL of a Django database entry, for the environment of a child process.

    Args:
        settings: ``django.db.connection.settings_dict``.
    """
    user, password, host = settings["USER"], settings["PASSWORD"], settings["HOST"]
    login = quote(user, safe="") + (":" + quote(password, safe="") if password else "")
    query = {key: value for key, value in settings["OPTIONS"].items() if isinstance(value, str)}
    if host.startswith("/"):
        query["host"] = host
        if settings["PORT"]:
            query["port"] = settings["PORT"]
        place = ""
    else:
        place = host + (f":{settings['PORT']}" if settings["PORT"] else "")
    tail = f"?{urlencode(query)}" if query else ""
    return f"postgresql://{login}@{place}/{quote(settings['NAME'], safe='')}{tail}"


def flush(_test: TransactionTestCase) -> None:
    """Empty every table after a test that commits, in place of Django's own `flush`.

    Django truncates them all and writes the rows in KEPT anew, which takes longer than most tests; few tables
    have rows at all. The locks wait for whoever still writes, as TRUNCATE does, and the order is free because
    a foreign key is looked at when the transaction ends.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        known = connection.introspection.django_table_names(only_existing=True, include_views=False)
        names = [connection.ops.quote_name(name) for name in known if name not in KEPT]
        cursor.execute(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
        looks = ", ".join(f"EXISTS (SELECT FROM {name})" for name in names)
        cursor.execute(f"SELECT {looks}")
        for name, filled in zip(names, cursor.fetchone(), strict=True):
            if filled:
                cursor.execute(f"DELETE FROM {name}")  # noqa: S608
