"""The upload page and the status: who sees them, what they cost, and that foreign text stays text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from consolidation.families.registry import FAMILIES
from tests.webapp.conftest import logged_in
from webapp.uploads.models import Upload

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project


def test_the_drop_zone(alice: User, project: Project) -> None:
    page = logged_in(alice).get(reverse("checkpoint_upload", args=[project.pk]))
    text = page.content.decode()
    assert page.status_code == 200
    assert 'type="file"' in text
    assert "style=" not in text
    assert "code in them is never run" in text
    assert "1.0 GB left" in text


def test_the_form_asks_each_thing_once_and_says_for_which_families(alice: User, project: Project) -> None:
    text = logged_in(alice).get(reverse("checkpoint_upload", args=[project.pk])).content.decode()
    assert re.findall(r'<option value="(\w+)">[^<]+ \(\w+\)</option>', text) == ["mlp", "cnn", "vision"]
    assert all(spec.fields == [] for name, spec in FAMILIES.items() if name not in {"mlp", "cnn", "vision"})
    assert next(iter(FAMILIES)) == "mlp"
    asked = re.findall(r'data-families="([^"]*)"><label for="f-(\w+)"', text)
    assert {name: families.split() for families, name in asked} == {
        "activation": ["mlp", "cnn"],
        "input": ["cnn", "vision"],
        "layout": ["cnn", "vision"],
        "pooling": ["cnn"],
        "architecture": ["vision"],
        "classes": ["vision"],
    }
    assert len(asked) == 6
    assert sorted(re.findall(r'data-form="config\.(\w+)"', text)) == sorted(name for _, name in asked)


def test_a_viewer_is_told_which_role_it_needs(vera: User, project: Project) -> None:
    page = logged_in(vera).get(reverse("checkpoint_upload", args=[project.pk]))
    assert page.status_code == 403
    assert "editor" in page.content.decode()


def test_a60_a_hostile_file_name_stays_text(alice: User, project: Project) -> None:
    Upload.objects.create(
        project=project,
        user=alice,
        purpose="checkpoint",
        filename="<img src=x onerror=alert(1)>.pt",
        size_bytes=4,
        state="refused",
        error_code="type.mismatch",
        error_message="<script>alert(1)</script> is plain text.",
    )
    text = logged_in(alice).get(reverse("checkpoint_upload", args=[project.pk])).content.decode()
    assert "&lt;img src=x" in text
    assert "<img src=x" not in text
    assert "<script>alert" not in text


@pytest.mark.parametrize("count", [1, 20])
def test_the_page_costs_the_same_whatever_there_is(
    count: int, alice: User, project: Project, django_assert_max_num_queries: Any
) -> None:
    for index in range(count):
        Upload.objects.create(
            project=project,
            user=alice,
            purpose="checkpoint",
            filename=str(index),
            size_bytes=4,
            state="refused",
        )
    client = logged_in(alice)
    with django_assert_max_num_queries(11):
        client.get(reverse("checkpoint_upload", args=[project.pk]))


def test_the_status_says_all_that_the_page_shows(
    alice: User, bob: User, charlie: User, project: Project
) -> None:
    upload = Upload.objects.create(
        project=project,
        user=alice,
        purpose="checkpoint",
        filename="m.pt",
        size_bytes=4,
        received_bytes=4,
        state="refused",
        error_code="pickle.not_supported",
        error_message="m.pt is a Python pickle.",
    )
    path = f"/api/uploads/{upload.pk}"
    for member in (alice, bob):
        assert logged_in(member).get(path).json() == {
            "id": str(upload.pk),
            "project_id": str(project.pk),
            "project": "support-bot",
            "purpose": "checkpoint",
            "filename": "m.pt",
            "size_bytes": 4,
            "received_bytes": 4,
            "state": "refused",
            "sha256": "",
            "created_at": upload.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "expires_at": None,
            "resumable": False,
            "error": {
                "code": "pickle.not_supported",
                "message": "m.pt is a Python pickle.",
                "detail": None,
            },
            "result": None,
            "rest": None,
            "duplicate_of": None,
        }
    stranger = logged_in(charlie).get(path)
    assert (stranger.status_code, stranger.json()["code"]) == (404, "not_found")
