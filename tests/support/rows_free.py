"""Rows in a state that no cycle reaches in one step, for tests that begin in the middle."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import connection, transaction

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def free_states() -> Iterator[None]:
    """A transaction in which the database's guard of states (webapp/cycles/state_guard.py) sleeps."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        yield
        # After an error there is nothing to set back: the transaction takes it back itself.
        cursor.execute("SET LOCAL session_replication_role = origin")
