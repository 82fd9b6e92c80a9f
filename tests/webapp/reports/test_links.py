"""Links to a report: who may make them, what they open, and when they stop."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.utils import timezone

from tests.support import night
from tests.webapp.conftest import logged_in
from webapp.core.errors import Conflict, Forbidden, InvalidInput
from webapp.core.models import AuditEntry
from webapp.cycles.models import Cycle
from webapp.reports.models import ReportShare
from webapp.reports.services import MOST_LINKS, report_share_create, report_share_revoke

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace


def link_of(client: Client, cycle: Cycle, days: str = "7") -> str:
    """Make a link on the page; its path."""
    answer = client.post(f"/cycles/{cycle.pk}/report/links/", {"days": days})
    assert answer.status_code == 200
    found = re.search(r'id="share">http://testserver(/r/[^<]+/)<', answer.content.decode())
    assert found
    return found.group(1)


def test_a_link_opens_this_report_without_a_login_and_without_names(slept: Cycle, bob: User) -> None:
    path = link_of(logged_in(bob), slept)
    answer = Client().get(path)
    text = answer.content.decode()
    assert answer.status_code == 200
    assert str(slept) in text
    assert "Improved" in text
    assert "@example.org" not in text
    assert "/cycles/" not in text, "there is no way further in"
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer["X-Robots-Tag"] == "noindex, nofollow"
    assert "no-store" in answer["Cache-Control"]
    share = ReportShare.objects.get()
    assert (share.opened, share.created_by) == (1, bob)
    assert path.split("/")[2] not in f"{share.token_hash}", "only the fingerprint is kept"


def test_revoked_expired_and_unknown_links_are_told_apart_by_nobody(slept: Cycle, bob: User) -> None:
    client = logged_in(bob)
    revoked, expired = link_of(client, slept), link_of(client, slept)
    first, second = ReportShare.objects.order_by("created_at")
    assert client.post(f"/reports/{first.pk}/revoke/").status_code == 302
    ReportShare.objects.filter(pk=second.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    answers = [Client().get(path) for path in (revoked, expired, "/r/never/")]
    assert [answer.status_code for answer in answers] == [404] * 3
    words = {re.sub(r"\s+", " ", answer.content.decode()) for answer in answers}
    assert len(words) == 1
    assert "does not work any more" in words.pop()
    verbs = list(AuditEntry.objects.order_by("id").values_list("verb", flat=True))
    assert verbs[-3:] == ["report_share_create", "report_share_create", "report_share_revoke"]


def test_a_viewer_reads_but_shares_nothing(slept: Cycle, vera: User, bob: User) -> None:
    share, _ = report_share_create(actor=bob, cycle=slept, days=1)
    page = logged_in(vera).get(f"/cycles/{slept.pk}/report/links/").content.decode()
    assert "Make a link" not in page
    assert "Revoke" not in page
    with pytest.raises(Forbidden):
        report_share_create(actor=vera, cycle=slept, days=1)
    with pytest.raises(Forbidden):
        report_share_revoke(actor=vera, share=share)
    assert logged_in(vera).get(f"/cycles/{slept.pk}/report/").status_code == 200


@pytest.mark.parametrize("days", ["0", "-7", "8", "", "nan", "9" * 5000, "²", "٣"])
def test_a_link_lasts_one_of_four_times(slept: Cycle, bob: User, days: str) -> None:
    answer = logged_in(bob).post(f"/cycles/{slept.pk}/report/links/", {"days": days})
    assert answer.status_code == 422
    assert "1, 7, 30 or 90 days" in answer.content.decode()
    assert not ReportShare.objects.exists()


def test_only_an_ended_cycle_is_shared_and_not_without_end(slept: Cycle, bob: User) -> None:
    running = night.begin(night.sleep_cycle(slept.project, actor=bob))
    with pytest.raises(Conflict, match="has not ended"):
        report_share_create(actor=bob, cycle=running, days=1)
    for _ in range(MOST_LINKS):
        report_share_create(actor=bob, cycle=slept, days=90)
    with pytest.raises(Conflict, match="20 links"):
        report_share_create(actor=bob, cycle=slept, days=90)
    with pytest.raises(InvalidInput):
        report_share_create(actor=bob, cycle=slept, days=2)


def test_of_a_cycle_that_never_had_a_base_a_link_tells_no_later_score(
    workspace: Workspace, alice: User, bob: User
) -> None:
    project = night.line(workspace=workspace, actor=alice)
    cycle = night.sleep_cycle(project, actor=alice, kind="wake")
    Cycle.objects.filter(pk=cycle.pk).update(base=None, state="cancelled", finished_at=timezone.now())
    page = Client().get(link_of(logged_in(bob), cycle)).content.decode()
    assert "Retention matrix" not in page
    assert ">v6<" not in page
