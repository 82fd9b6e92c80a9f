"""The test database as other processes see it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode


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
