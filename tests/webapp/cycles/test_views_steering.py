"""The buttons that steer a cycle, and the states that they lead to, as the server draws them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support import night
from tests.support.night_script import Night
from tests.webapp.conftest import logged_in
from webapp.cycles.blocking import cycle_block
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle
from webapp.cycles.transitions import transition

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace


@pytest.fixture
def waiting(workspace: Workspace, alice: User) -> Cycle:
    return night.sleep_cycle(night.line(workspace=workspace, actor=alice), actor=alice)


@pytest.fixture
def running(waiting: Cycle) -> Cycle:
    cycle = night.begin(waiting)
    night.play(cycle, Night(seconds=6), until=24)
    return cycle


def text_of(cycle: Cycle, user: User) -> str:
    answer = logged_in(user).get(f"/cycles/{cycle.pk}/")
    assert answer.status_code == 200
    return answer.content.decode()


def offered(text: str) -> set[str]:
    """The buttons that are there and not hidden."""
    found = {
        name
        for name in ("pause", "resume")
        if (tag := re.search(rf'<form[^>]*data-steer="{name}"[^>]*>', text)) and " hidden" not in tag[0]
    }
    menu = re.search(r"<details[^>]*data-steer-menu[^>]*>", text)
    button = re.search(r"<button[^>]*data-steer-cancel[^>]*>", text)
    found |= {"extend"} if menu and " hidden" not in menu[0] else set()
    return found | ({"cancel"} if button and " hidden" not in button[0] else set())


def words_of(text: str) -> str:
    """What the card of a cycle that stands still says."""
    card = re.search(r"<section[^>]*data-waiting.*?</section>", text, re.DOTALL)
    assert card
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", card[0]))


def test_each_state_offers_what_it_allows(running: Cycle, bob: User) -> None:
    assert offered(text_of(running, bob)) == {"pause", "extend", "cancel"}
    Cycle.objects.filter(pk=running.pk).update(stage="morning probe")
    assert offered(text_of(running, bob)) == {"pause", "cancel"}
    Cycle.objects.filter(pk=running.pk).update(stage="NREM replay")
    paused = night.paused(running, actor=bob)
    assert offered(text_of(paused, bob)) == {"resume", "extend", "cancel"}


def test_what_publishes_or_has_ended_offers_nothing(running: Cycle, bob: User) -> None:
    publishing = transition(running.pk, to=State.PUBLISHING, expect_from=[State.RUNNING])
    assert offered(text_of(publishing, bob)) == set()
    transition(
        running.pk, to=State.FAILED, expect_from=[State.PUBLISHING], error_code="x", error_message="No."
    )
    text = text_of(running, bob)
    assert offered(text) == set()
    assert 'id="cancel"' not in text


def test_a_viewer_has_no_buttons(running: Cycle, vera: User) -> None:
    assert offered(text_of(running, vera)) == set()
    for step in ("pause", "resume", "extend"):
        assert logged_in(vera).post(f"/cycles/{running.pk}/{step}/").status_code == 403


def test_pause_resume_and_extend_without_a_script(waiting: Cycle, bob: User) -> None:
    client = logged_in(bob)
    for step, tells, state in (
        ("extend", {"percent": "50"}, "queued"),
        ("pause", {}, "paused"),
        ("resume", {}, "queued"),
    ):
        assert client.get(f"/cycles/{waiting.pk}/{step}/").status_code == 405
        answer = client.post(f"/cycles/{waiting.pk}/{step}/", tells)
        assert answer["Location"] == f"/cycles/{waiting.pk}/"
        waiting.refresh_from_db()
        assert (waiting.state, waiting.extended) == (state, 0.5)
    for nonsense in ("", "x", "-5", "99999", "³"):
        text = client.post(
            f"/cycles/{waiting.pk}/extend/", {"percent": nonsense}, follow=True
        ).content.decode()
        assert "can be extended by 10 % to 200 %" in text
    assert re.search(r'data-extended title="[^"]*">\+50 %<', text_of(waiting, bob))


@pytest.mark.parametrize("back", ["home", "project", "https://elsewhere.example", ""])
def test_a_list_gets_its_person_back(waiting: Cycle, bob: User, back: str) -> None:
    answer = logged_in(bob).post(f"/cycles/{waiting.pk}/pause/", {"back": back})
    known = {"home": "/", "project": f"/projects/{waiting.project_id}/"}
    assert answer["Location"] == known.get(back, f"/cycles/{waiting.pk}/")


def test_paused_says_since_when_and_by_whom(running: Cycle, bob: User) -> None:
    bob.name = "Bob <b>"
    bob.save()
    paused = night.paused(running, actor=bob)
    words = words_of(text_of(paused, bob))
    assert re.search(r"Paused since \w+ \d+ \w+, \d\d:\d\d", words), words
    assert "Paused by Bob &lt;b&gt;." in words
    assert "goes on from its snapshot; nothing is lost" in words
    home = logged_in(bob).get("/").content.decode()
    assert "Paused by Bob &lt;b&gt;" in home
    assert f'action="/cycles/{paused.pk}/resume/"' in home


def test_the_clock_tells_its_reason(running: Cycle, bob: User) -> None:
    paused = night.paused(running, actor=None, reason="window closed")
    assert "Paused by itself: window closed." in words_of(text_of(paused, bob))


def test_blocked_says_its_sentence_and_that_it_is_looked_at_again(running: Cycle, bob: User) -> None:
    blocked = cycle_block(
        cycle_id=running.pk, code="cycle.no_room", message="The disk has no room: 4 GB are needed."
    )
    words = words_of(text_of(blocked, bob))
    for part in ("Blocked since", "The disk has no room: 4 GB are needed.", "looked at again by itself"):
        assert part in words
    assert "cycle.no_room" in words
    for path in ("/", f"/projects/{blocked.project_id}/"):
        assert "The disk has no room: 4 GB are needed." in logged_in(bob).get(path).content.decode()


def test_quarantined_says_what_happened_how_often_and_what_to_do(running: Cycle, bob: User) -> None:
    message = "The process was ended by SIGSEGV. Look at the worker's log; then try it again."
    transition(
        running.pk, to=State.QUARANTINED, expect_from=[State.RUNNING], deaths=3,
        error_code="cycle.trainer_died", error_message=message,
    )  # fmt: skip
    text = text_of(running, bob)
    assert "Set aside: it ended the process that ran it 3 times in one place." in text
    assert "ended by SIGSEGV" in text
    assert "Nothing was changed; the project keeps v6." in text
    assert "Try again" in text


def test_waiting_says_why_nobody_takes_it(waiting: Cycle, bob: User) -> None:
    words = words_of(text_of(waiting, bob))
    assert "No worker" in words and "nocturne worker" in words
    night.worker()
    Cycle.objects.filter(pk=waiting.pk).update(device="cuda")
    asks = "asks for cuda, and the workers that are alive have cpu"
    for path in (f"/cycles/{waiting.pk}/", "/", f"/projects/{waiting.project_id}/"):
        assert asks in logged_in(bob).get(path).content.decode(), path
    Cycle.objects.filter(pk=waiting.pk).update(device="")
    assert "It begins as soon as a worker is free." in words_of(text_of(waiting, bob))


def test_cancelling_names_what_is_lost(waiting: Cycle, bob: User) -> None:
    def dialog(cycle: Cycle) -> dict[str, bool]:
        text = text_of(cycle, bob)
        tags = {name: re.search(rf"<p[^>]*data-cancel-{name}[^>]*>", text) for name in ("unbegun", "begun")}
        return {name: bool(tag) and " hidden" not in tag[0] for name, tag in tags.items() if tag}

    assert dialog(waiting) == {"unbegun": True, "begun": False}
    begun = night.begin(waiting)
    assert dialog(begun) == {"unbegun": False, "begun": True}
    assert dialog(night.lost(begun)) == {"unbegun": False, "begun": True}, "its snapshots are lost with it"
