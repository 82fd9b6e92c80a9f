"""Promise R20: a stranger finds nothing. Every address is tried, and a new one must be declared here."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from tests.webapp.conftest import logged_in, member
from webapp.accounts.choices import Role
from webapp.accounts.models import Membership, User, Workspace
from webapp.accounts.services import invitation_create
from webapp.checkpoints.models import Alias, Checkpoint
from webapp.core.errors import NotFound
from webapp.cycles.models import Cycle
from webapp.fleet.models import Worker
from webapp.live.models import Note
from webapp.memories.models import Erasure, RecordSet
from webapp.projects.models import Project, Task
from webapp.reports.models import ReportShare
from webapp.schedules.models import Schedule
from webapp.uploads.models import Upload

if TYPE_CHECKING:
    from collections.abc import Callable

# Addresses that carry no object of a workspace: everybody who is logged in sees their own things there.
OWN_THINGS = {
    "home", "search",
    "project_list", "project_create", "schedule_overview", "fleet", "settings", "demo_start",
    "account_change_password", "account_logout",
    "account_reauthenticate", "settings_profile", "settings_appearance",
    "invitation_create", "schedule_preview", "project_pick", "settings_members", "settings_audit",
    "storage", "trash", "trash_empty",
}  # fmt: skip
# Addresses of what serves every workspace: there a stranger is somebody whose role is too small.
INSTALLATION = {"worker_drain", "worker_undrain", "api:worker_drain", "api:worker_undrain"}
# Addresses that must answer without a login.
OPEN = {
    "account_login", "account_logout", "account_inactive", "owner_welcome", "healthz", "shared_report",
    "checkpoint_link_open",
}  # fmt: skip


def patterns(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Every named address below a resolver, with its namespace."""
    for item in resolver.url_patterns:
        if isinstance(item, URLResolver):
            space = f"{item.namespace}:" if item.namespace else ""
            yield from patterns(item, prefix + space)
        elif item.name is not None:
            yield prefix + item.name, item


ADDRESSES = dict(patterns(get_resolver()))


@pytest.fixture
def foreign(alice: User, workspace: Workspace, project: Project) -> dict[str, uuid.UUID | str]:
    """Alice's objects, by the name that an address gives them."""
    task = Task.objects.get(project=project)
    checkpoint = Checkpoint.objects.create(
        project=project, number=1, origin="upload", sha256="0" * 64, size_bytes=1, family="mlp", parameters=1
    )
    cycle = Cycle.objects.create(project=project, number=1, kind="sleep", protocol=1, state="queued")
    records = RecordSet.objects.create(
        project=project,
        task=task,
        use="probe",
        sha256="1" * 64,
        size_bytes=1,
        rows=1,
        x_dtype="uint8",
        classes=2,
    )
    erasure = Erasure.objects.create(
        workspace=workspace, scope="workspace", by="ids", asked=1, records=1, digest="3" * 64
    )
    schedule = Schedule.objects.create(
        project=project, name="nightly", cron="0 2 * * *", timezone="UTC", preset="night"
    )
    upload = Upload.objects.create(
        project=project, user=alice, purpose="checkpoint", filename="m.safetensors", size_bytes=1
    )
    share = ReportShare.objects.create(
        cycle=cycle, token_hash="2" * 64, expires_at=timezone.now() + timedelta(days=1)
    )
    worker = Worker.objects.create(
        name="gpu-1", device="cpu", version="1", protocol=1, heartbeat_at=timezone.now()
    )
    note = Note.objects.create(cycle=cycle, author=alice, t=1.0, step=1, text="seen")
    alias = Alias.objects.create(project=project, name="best", checkpoint=checkpoint, moved_at=timezone.now())
    invitation, _ = invitation_create(actor=alice, workspace=workspace, role=Role.VIEWER)
    return {
        "project_id": project.pk,
        "task_id": task.pk,
        "checkpoint_id": checkpoint.pk,
        "cycle_id": cycle.pk,
        "record_set_id": records.pk,
        "erasure_id": erasure.pk,
        "schedule_id": schedule.pk,
        "upload_id": upload.pk,
        "membership_id": Membership.objects.get(user=alice).pk,
        "invitation_id": invitation.pk,
        "share_id": share.pk,
        "note_id": note.pk,
        "alias_name": alias.name,
        "worker_id": worker.pk,
    }


def arguments(pattern: URLPattern, foreign: dict[str, uuid.UUID | str]) -> dict[str, Any]:
    """What the address needs; an unknown name fails, so that nobody adds an address unseen."""
    names = set(pattern.pattern.regex.groupindex)
    unknown = names - set(foreign)
    assert not unknown, f"{pattern.name} takes {unknown}: declare it in tests/webapp/test_isolation.py"
    return {name: foreign[name] for name in names}


def object_addresses() -> list[str]:
    return sorted(
        name
        for name, pattern in ADDRESSES.items()
        if pattern.pattern.regex.groupindex and name not in OPEN and not name.startswith("account_")
    )


def test_every_address_is_of_a_known_kind() -> None:
    for name, pattern in ADDRESSES.items():
        plain = not pattern.pattern.regex.groupindex
        known = name in OWN_THINGS or name in OPEN or name.startswith(("api:", "account_"))
        assert not plain or known, f"{name}: say in OWN_THINGS or OPEN who may see it"


@pytest.mark.parametrize("name", sorted(set(object_addresses()) - INSTALLATION))
def test_a_stranger_gets_404_with_every_method(
    name: str, charlie: User, foreign: dict[str, uuid.UUID | str]
) -> None:
    address = reverse(name, kwargs=arguments(ADDRESSES[name], foreign))
    stranger = logged_in(charlie)
    send: dict[str, Callable[..., Any]] = {
        "GET": stranger.get,
        "POST": stranger.post,
        "PUT": stranger.put,
        "PATCH": stranger.patch,
        "DELETE": stranger.delete,
    }
    said: dict[str, Any] = {"data": "{}", "content_type": "application/json"} if name[:4] == "api:" else {}
    answers = {
        method: call(address, **(said if method != "GET" else {})).status_code
        for method, call in send.items()
    }
    assert 404 in answers.values(), answers
    assert set(answers.values()) <= {404, 405}, answers


@pytest.mark.parametrize("name", sorted(INSTALLATION))
def test_what_serves_all_is_for_the_owners_of_the_oldest_workspace(
    name: str, foreign: dict[str, uuid.UUID | str], charlie: User
) -> None:
    address = reverse(name, kwargs=arguments(ADDRESSES[name], foreign))
    assert logged_in(charlie).get(address).status_code == 405
    assert logged_in(charlie).post(address).status_code == 403


@pytest.mark.parametrize("name", object_addresses())
def test_nobody_gets_in_without_a_login(name: str, foreign: dict[str, uuid.UUID | str], db: None) -> None:
    address = reverse(name, kwargs=arguments(ADDRESSES[name], foreign))
    anonymous = Client()
    for call in (anonymous.get, anonymous.post):
        answer = call(address)
        assert answer.status_code in {302, 401, 405}, (address, answer.status_code)
        if answer.status_code == 302:
            assert answer["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize(
    "model",
    [
        Project,
        Task,
        Checkpoint,
        Alias,
        Cycle,
        RecordSet,
        Erasure,
        Schedule,
        Upload,
        Membership,
        Note,
        ReportShare,
    ],
    ids=lambda m: m.__name__,
)
def test_querysets_show_a_stranger_nothing(
    model: Any, alice: User, charlie: User, foreign: dict[str, uuid.UUID | str]
) -> None:
    assert model.objects.visible_to(alice).exists()
    theirs = set(model.objects.visible_to(charlie).values_list("pk", flat=True))
    assert not theirs & set(foreign.values())
    with pytest.raises(NotFound):
        model.objects.get_visible(charlie, pk=model.objects.visible_to(alice).first().pk)


def test_a_second_workspace_of_one_person_stays_apart_from_others(
    alice: User, charlie: User, foreign: dict[str, uuid.UUID | str]
) -> None:
    third = Workspace.objects.create(name="Third", quota_bytes=1)
    Membership.objects.create(workspace=third, user=charlie, role=Role.OWNER)
    member(third, "dan@example.org", Role.OWNER)
    assert not Project.objects.visible_to(charlie).exists()
