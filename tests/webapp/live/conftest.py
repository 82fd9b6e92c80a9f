"""A night in progress, and a real web process on the test database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import connection

from tests.support import night
from tests.support.database import url_of
from tests.webapp.live.people import Web, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webapp.accounts.models import User, Workspace
    from webapp.cycles.models import Cycle


@pytest.fixture
def cycle(workspace: Workspace, alice: User) -> Cycle:
    """Sleep 7 of alice's line: running, with no data frame yet."""
    return night.begin(night.sleep_cycle(night.line(workspace=workspace, actor=alice), actor=alice))


@pytest.fixture(scope="session")
def web(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One uvicorn for all tests of the stream; rows come and go under it."""
    yield from running(url_of(connection.settings_dict), tmp_path_factory.mktemp("web"))
