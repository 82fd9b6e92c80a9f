from __future__ import annotations

import pytest

from tests.support.jobs import Lab


@pytest.fixture
def lab(db: None) -> Lab:
    return Lab.make()


@pytest.fixture
def committed_lab(transactional_db: None) -> Lab:
    """For tests whose threads must see each other's commits."""
    return Lab.make()
