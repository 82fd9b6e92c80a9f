"""Where the upload pages offer files of the server's own computer: to its owner, where folders were named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from tests.webapp.conftest import logged_in

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings

    from webapp.accounts.models import User
    from webapp.projects.models import Project

OFFER = "Use a file on this computer"


@pytest.mark.parametrize("name", ["checkpoint_upload", "records_list"])
def test_the_owner_is_offered_the_named_folders_and_nobody_else_is(
    name: str, alice: User, bob: User, project: Project, settings: LazySettings, tmp_path: Path
) -> None:
    page = reverse(name, args=[project.pk])
    assert OFFER not in logged_in(alice).get(page).content.decode(), "no folder was named"
    settings.LOCAL_FOLDERS = [tmp_path]
    assert OFFER in logged_in(alice).get(page).content.decode()
    assert OFFER not in logged_in(alice).get(page, REMOTE_ADDR="192.0.2.7").content.decode()
    assert OFFER not in logged_in(bob).get(page).content.decode(), "an editor runs no computer"
