"""Notes on a cycle: who writes and removes them, what is refused, and that the stream tells it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.webapp.conftest import logged_in
from webapp.core.models import AuditEntry
from webapp.live.models import Frame, Note
from webapp.live.notes import MOST

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.cycles.models import Cycle

pytestmark = pytest.mark.django_db


def write(user: User, cycle: Cycle, **body: Any) -> Any:
    body = {"t": 12.5, "step": 340, "text": "rate halved here"} | body
    return logged_in(user).post(f"/api/cycles/{cycle.pk}/notes", json.dumps(body), "application/json")


def told(cycle: Cycle) -> list[dict[str, Any]]:
    return [frame.payload["note"] for frame in Frame.objects.filter(cycle=cycle, kind="note").order_by("seq")]


def test_a_note_is_told_and_taken_away_through_the_stream(cycle: Cycle, bob: User, alice: User) -> None:
    answer = write(bob, cycle, text="  rate\thalved \n here ")
    assert answer.status_code == 201
    pk = answer.json()["id"]
    first = {"id": pk, "t": 12.5, "step": 340, "text": "rate halved here", "by": "bob@example.org"}
    assert told(cycle) == [first]
    for _ in range(2):
        assert logged_in(alice).delete(f"/api/notes/{pk}").status_code == 204, "an admin may"
    assert told(cycle) == [first, {"id": pk, "removed": True}]
    verbs = AuditEntry.objects.filter(object_id=pk).order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["note_create", "note_remove"]


def test_only_editors_write_and_only_the_author_or_an_admin_removes(
    cycle: Cycle, alice: User, bob: User, vera: User, charlie: User
) -> None:
    assert write(vera, cycle).status_code == 403
    assert write(charlie, cycle).status_code == 404
    pk = write(alice, cycle).json()["id"]
    assert logged_in(bob).delete(f"/api/notes/{pk}").status_code == 403
    assert logged_in(charlie).delete(f"/api/notes/{pk}").status_code == 404
    assert Note.objects.get().removed_at is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"text": " "}, "note.text"),
        ({"text": "x" * 501}, "note.text"),
        ({"text": "bell\x07"}, "note.text"),
        ({"t": -1}, "note.place"),
        ({"t": 1e12}, "note.place"),
        ({"step": -1}, "note.place"),
        ({"step": 2**60}, "note.place"),
        ({"t": "soon"}, "request.invalid"),
    ],
)
def test_what_is_no_note_is_refused_with_its_reason(
    cycle: Cycle, bob: User, body: dict[str, Any], code: str
) -> None:
    answer = write(bob, cycle, **body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert not Note.objects.exists()
    assert told(cycle) == []


def test_there_is_an_end_to_notes(cycle: Cycle, bob: User) -> None:
    Note.objects.bulk_create(Note(cycle=cycle, author=bob, t=1, step=1, text="x") for _ in range(MOST))
    answer = write(bob, cycle)
    assert (answer.status_code, answer.json()["code"]) == (409, "note.too_many")
