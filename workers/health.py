"""Whether the nights worker of this machine and device is well: `python -m workers.health`, for containers.

It asks the database for the worker's own row, without Django's models: this runs every half minute.
"""

from __future__ import annotations

import os
import sys
from typing import Final

import psycopg

# As webapp.fleet.selectors.ALIVE: six missed heartbeats.
_ALIVE_SECONDS: Final = 30
_ROW: Final = """
    SELECT heartbeat_at > now() - make_interval(secs => %s), stopped_at IS NOT NULL, problem_code, problem
    FROM fleet_worker WHERE name = %s
"""


def health() -> tuple[bool, str]:
    """Whether it is well, and the sentence that says so. One that takes nothing because of a problem is not:
    a new start often mends a mount."""
    from django.conf import settings

    from workers.devices import this_device

    database = settings.DATABASES["default"]
    name = this_device().worker_name
    try:
        with psycopg.connect(
            host=database["HOST"] or None,
            port=database["PORT"] or None,
            user=database["USER"] or None,
            password=database["PASSWORD"] or None,
            dbname=database["NAME"],
            **database["OPTIONS"] | {"connect_timeout": 5},
        ) as connection:
            row = connection.execute(_ROW, [_ALIVE_SECONDS, name]).fetchone()
    except psycopg.Error as error:
        # The worker may be fine and waits for the database like everybody; only its own silence counts.
        return True, f"The database does not answer, so nothing is known ({type(error).__name__})."
    if row is None:
        return False, f"The worker {name} has not reported itself."
    alive, stopped, code, problem = row
    if stopped or not alive:
        return False, f"The worker {name} {'has stopped' if stopped else 'is silent'}."
    if code:
        return False, f"{problem} [{code}]"
    return True, f"The worker {name} is well."


def main() -> int:
    """Print the sentence; 0 when the worker is well."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.config.settings")
    well, sentence = health()
    print(sentence)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
