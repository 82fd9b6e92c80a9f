"""A night that ended well, with frames, a report and a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import night
from tests.support.night_script import Night

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace
    from webapp.cycles.models import Cycle


@pytest.fixture
def slept(workspace: Workspace, alice: User) -> Cycle:
    script = Night(seconds=4)
    cycle = night.begin(night.sleep_cycle(night.line(workspace=workspace, actor=alice), actor=alice))
    night.play(cycle, script)
    night.finish(cycle, script)
    cycle.refresh_from_db()
    return cycle
