from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.webapp.memories.erasable import Shelf

if TYPE_CHECKING:
    from webapp.projects.models import Project


@pytest.fixture
def shelf(project: Project) -> Shelf:
    return Shelf(project)
