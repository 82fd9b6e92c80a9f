"""Every page in its states: it answers, and it costs at most fifteen queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import Resolver404, resolve

from tests.support.places import furnish
from tests.webapp.live.people import COOKIE
from tests.webapp.test_isolation import ADDRESSES

if TYPE_CHECKING:
    from tests.support.places import Everything

A_PAGE = 15
# A report is no page that somebody clicks through: it carries the whole night, stream and all.
A_REPORT = 25
# Addresses that have no page of their own: what they answer is a fragment, a file, JSON or a redirect.
NO_PAGE = {
    "account_reauthenticate", "alias_delete", "alias_download", "alias_follow", "alias_set", "answers_create",
    "checkpoint_base",
    "checkpoint_delete", "checkpoint_download", "checkpoint_download_weights", "checkpoint_link_open",
    "checkpoint_promote", "checkpoint_restore", "checkpoint_trash", "cycle_cancel", "cycle_extend",
    "cycle_outcome", "cycle_pause", "cycle_resume", "cycle_retry", "demo_start", "erasure_certificate",
    "healthz",
    "invitation_create", "membership_change", "membership_remove", "points_csv", "project_rename",
    "record_set_delete", "record_set_restore", "record_set_retain", "record_set_trash", "report_links",
    "report_share_revoke",
    "schedule_delete", "schedule_preview", "schedule_restore", "schedule_switch", "score_create",
    "scores_create", "settings_profile", "task_add", "trash_empty", "upload_drop_rest", "upload_take_rest",
    "worker_drain", "worker_undrain",
}  # fmt: skip


@pytest.fixture
def everything(db: None) -> Everything:
    return furnish()


def test_each_answers_with_at_most_fifteen_queries(everything: Everything) -> None:
    wrong = []
    for place in everything.places:
        client = Client()
        if place.who:
            client.cookies[COOKIE] = everything.sessions[place.who]
        with CaptureQueriesContext(
            connection,
        ) as queries:
            answer = client.get(place.path)
        most = A_REPORT if place.name.startswith("report") else A_PAGE
        if answer.status_code != place.status or len(queries) > most:
            wrong.append((place.name, answer.status_code, len(queries)))
    assert wrong == []


def test_no_page_is_missing(everything: Everything) -> None:
    seen = set()
    for place in everything.places:
        try:
            seen.add(resolve(place.path.partition("?")[0]).view_name)
        except Resolver404:
            assert place.status == 404
    pages = {name for name in ADDRESSES if not name.startswith("api:")} - NO_PAGE
    assert seen == pages, "a new page belongs into tests/support/places.py"
