"""A set's page, the two steps of an erasure, its certificate, and the same over HTTP for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from tests.webapp.conftest import logged_in
from tests.webapp.memories.erasable import Shelf, ids_of, records
from tests.webapp.rows import checkpoint, cycle
from webapp.cycles.choices import State
from webapp.memories.models import Erasure, RecordSet

if TYPE_CHECKING:
    from webapp.accounts.models import User


def send(user: User, view: str, key: object, **form: Any) -> Any:
    return logged_in(user).post(reverse(view, args=[key]), form)


def call(user: User, operation: str, key: object, **body: Any) -> Any:
    address = reverse(f"api:{operation}", args=[key])
    return logged_in(user).post(address, body, content_type="application/json")


def test_preview_then_a_typed_number_then_the_certificate(alice: User, shelf: Shelf) -> None:
    made = records()
    item = shelf.put("training", made)
    checkpoint(shelf.project, "wake", cycle=cycle(shelf.project, "wake", State.SUCCEEDED, data=item))
    text = logged_in(alice).get(reverse("record_set_detail", args=[item.pk])).content.decode()
    assert "Erase records…" in text
    assert "The cycle of 1 checkpoint has read this set." in text

    file = SimpleUploadedFile("ids.txt", ids_of(made, 1, 2).encode())
    answer = send(alice, "record_set_erase", item.pk, ids="ab" * 16, file=file, scope="set")
    text = answer.content.decode()
    for words in ("2 rows would be erased", "1 of the ids is in none", "Type 2 to confirm", "1 checkpoint"):
        assert words in text, words
    asked = answer.context["given"]
    wrong = send(alice, "record_set_erase", item.pk, **asked, rows="3", confirm="yes")
    assert (wrong.status_code, Erasure.objects.count()) == (409, 0)
    assert "erase.changed" in wrong.content.decode()
    done = send(alice, "record_set_erase", item.pk, **asked, rows="2", confirm="yes")
    erasure = Erasure.objects.get()
    assert done["Location"] == reverse("erasure_detail", args=[erasure.pk])
    text = logged_in(alice).get(done["Location"]).content.decode()
    for words in ("2 records", "waits to be written again", "its wake learned from them", "Backups"):
        assert words in text, words
    told = logged_in(alice).get(reverse("erasure_certificate", args=[erasure.pk]))
    assert "attachment" in told["Content-Disposition"]
    valid = call(alice, "erasure_certificate_verify", erasure.pk, certificate=told.json())
    assert valid.json() == {"valid": True}
    wrong = call(alice, "erasure_certificate_verify", erasure.pk, certificate=told.json() | {"records": 1})
    assert wrong.json() == {"valid": False}
    text = logged_in(alice).get(reverse("record_set_detail", args=[item.pk])).content.decode()
    assert "is being written again; nothing reads them" in text
    text = logged_in(alice).get(reverse("record_set_shaped", args=[item.pk])).content.decode()
    assert "its wake learned from them" in text


@pytest.mark.parametrize("given", [{"ids": "zz"}, {}, {"ids": "ab" * 16, "subject": "Bo"}])
def test_a_request_that_cannot_be_is_told_on_the_page(
    given: dict[str, str], alice: User, shelf: Shelf
) -> None:
    item = shelf.put("memories", records())
    answer = send(alice, "record_set_erase", item.pk, **({"scope": "set"} | given))
    assert answer.status_code == 422
    assert "notice--bad" in answer.content.decode()
    nothing = send(alice, "record_set_erase", item.pk, subject="Dora", scope="set").content.decode()
    assert "Nothing found" in nothing
    assert "confirm" not in nothing


def test_who_only_edits_reads_and_cannot_erase(bob: User, shelf: Shelf) -> None:
    item = shelf.put("memories", records())
    text = logged_in(bob).get(reverse("record_set_detail", args=[item.pk])).content.decode()
    assert "Erase records…" not in text
    assert 'name="days"' not in text
    assert logged_in(bob).get(reverse("record_set_erase", args=[item.pk])).status_code == 403
    assert send(bob, "record_set_erase", item.pk, subject="Bo", scope="set").status_code == 403
    assert send(bob, "record_set_retain", item.pk, days="3").status_code == 403


def test_days_on_the_page(alice: User, shelf: Shelf) -> None:
    item = shelf.put("memories", records())
    send(alice, "record_set_retain", item.pk, days="12")
    item.refresh_from_db()
    assert item.retention_days == 12
    for view, key in (("record_set_detail", item.pk), ("records_list", shelf.project.pk)):
        text = logged_in(alice).get(reverse(view, args=[key])).content.decode()
        assert "xpires in 12 days" in text
    for wrong in ("soon", "0", "999999999", "１２"):
        send(alice, "record_set_retain", item.pk, days=wrong)
        assert RecordSet.objects.get(pk=item.pk).retention_days == 12
    send(alice, "record_set_retain", item.pk, days="")
    assert RecordSet.objects.get(pk=item.pk).expires_at is None


def test_the_same_for_programs(alice: User, bob: User, shelf: Shelf) -> None:
    item = shelf.put("memories", records())
    asked = {"subject": "Bo", "scope": "project"}
    seen = call(alice, "record_set_erase_preview", item.pk, **asked).json()
    assert (seen["rows"], seen["records"], [one["id"] for one in seen["sets"]]) == (4, 4, [str(item.pk)])
    assert call(bob, "record_set_erase_preview", item.pk, **asked).status_code == 403
    assert call(alice, "record_set_erase", item.pk, **asked).json()["code"] == "erase.changed"
    told = call(alice, "record_set_erase", item.pk, **asked, rows=4)
    assert (told.status_code, told.json()["records"]) == (200, 4)
    again = logged_in(bob).get(reverse("api:erasure_certificate", args=[told.json()["id"]]))
    assert again.json() == told.json()
    assert logged_in(bob).get(reverse("api:record_set_shaped", args=[item.pk])).json() == []
    kept = call(alice, "record_set_retain", item.pk, days=3).json()
    assert kept["retention_days"] == 3
    assert call(alice, "record_set_retain", item.pk, days=0).json()["code"] == "records.retention"
