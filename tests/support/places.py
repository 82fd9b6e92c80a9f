"""Every page of the site in the states that it has, as rows and addresses.

What must hold on each page (axe-core's rules, Lighthouse's, the number of queries) goes through this list; a
page that is not in it fails tests/webapp/test_places.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from django.urls import reverse
from django.utils import timezone

from tests.support import night
from tests.support.night_script import Night
from tests.webapp import rows
from tests.webapp.live.people import session_of
from webapp.accounts.choices import Role
from webapp.accounts.models import Membership, User, Workspace
from webapp.accounts.services import invitation_create
from webapp.checkpoints.models import Alias, Checkpoint
from webapp.core import audit
from webapp.cycles.blocking import cycle_block, disk_sentence
from webapp.cycles.choices import Kind, State
from webapp.cycles.transitions import transition
from webapp.fleet.models import Worker
from webapp.memories.models import By, ErasedSet, Erasure, RecordSet, Scope, Use
from webapp.projects.models import Project
from webapp.reports.services import report_share_create
from webapp.uploads.models import Purpose, StoredFile, Upload, UploadState

if TYPE_CHECKING:
    from webapp.cycles.models import Cycle

ANA, BEN = "ana@example.org", "ben@example.org"


@dataclass(frozen=True)
class Place:
    """A page in one of its states: its name for people, its path, and who looks ("" for nobody yet)."""

    name: str
    path: str
    who: str = ANA
    status: int = 200


@dataclass(frozen=True)
class Everything:
    """All places, and the session of each person: Ana's workspace is busy, Ben's is new."""

    places: list[Place]
    sessions: dict[str, str]

    def place(self, name: str) -> Place:
        return next(place for place in self.places if place.name == name)


def furnish() -> Everything:
    """Make people, projects, nights and schedules, and say where they are to be seen."""
    ana, workspace = _person(ANA, "Ana", "Lab")
    ben, _ = _person(BEN, "Ben", "Attic")
    colleague = User.objects.create_user("cleo@example.org", "correct horse battery", name="Cleo")
    Membership.objects.create(workspace=workspace, user=colleague, role=Role.VIEWER)
    _, token = invitation_create(actor=ana, workspace=workspace, role=Role.EDITOR)

    blank = Project.objects.create(workspace=workspace, name="blank", created_by=ana)
    waiting = night.sleep_cycle(night.line(workspace=workspace, actor=ana), actor=ana)
    failed = _failed(night.sleep_cycle(night.line(workspace=workspace, actor=ana), actor=ana))
    rejected = night.begin(night.sleep_cycle(night.line(workspace=workspace, actor=ana), actor=ana))
    night.finish(rejected, Night(seconds=3), verdict="rejected")
    slept, script = night.line(workspace=workspace, actor=ana), Night(seconds=3)
    ended = night.begin(night.sleep_cycle(slept, actor=ana))
    night.play(ended, script)
    made = night.finish(ended, script)
    slept.refresh_from_db()
    ended.refresh_from_db()
    slept.current = made
    slept.save()
    for task in slept.tasks.all():
        rows.record_set(task, Use.MEMORIES)
    _aliases(slept, rejected)
    schedule = rows.schedule(slept)
    _uploads(slept, ana)
    wake = _wake(night.line(workspace=workspace, actor=ana), ana)
    _, shared = report_share_create(actor=ana, cycle=ended, days=7)
    running = night.begin(night.sleep_cycle(night.line(workspace=workspace, actor=ana), actor=ana))
    night.play(running, Night(seconds=6), until=50)
    rows.worker("gpu-3", silent=timedelta(hours=3))
    _fleet()
    paused = night.paused(_half_slept(ana, workspace), actor=ana)
    blocked = _blocked(_half_slept(ana, workspace))
    quarantined = _quarantined(_half_slept(ana, workspace))
    resumed = night.begin(night.lost(_half_slept(ana, workspace)), name="gpu-5")
    night.play(resumed, Night(seconds=6, resume_step=300, seed=9), until=18)
    apart = night.sleep_cycle(night.line(workspace=workspace, actor=ana), actor=ana, device="cuda")
    trashed, deleted = _trash(slept, ana)
    kept, emptied, erasure = _erased(slept, ana, made)
    audit.record(workspace=workspace, actor=ana, verb="project_create", target=slept, name=slept.name)

    def at(name: str, view: str, *keys: object, who: str = ANA, query: str = "", status: int = 200) -> Place:
        return Place(name, reverse(view, args=keys) + query, who, status)

    places = [
        at("tonight, new", "home", who=BEN),
        at("tonight, busy", "home"),
        at("search", "search"),
        at("search, found", "search", query="?q=support"),
        at("search, nothing found", "search", query="?q=nothing+like+it"),
        at("projects, none", "project_list", who=BEN),
        at("projects", "project_list"),
        at("new project", "project_create"),
        at("project, blank", "project_detail", blank.pk),
        at("project, slept", "project_detail", slept.pk),
        at("project, asleep", "project_detail", running.project_id),
        at("upload, first", "checkpoint_upload", blank.pk),
        at("upload", "checkpoint_upload", slept.pk),
        at("memories, none", "records_list", blank.pk),
        at("memories", "records_list", slept.pk),
        at("record set", "record_set_detail", kept.pk),
        at("record set, deleted", "record_set_detail", emptied.pk),
        at("checkpoints that a set shaped", "record_set_shaped", kept.pk),
        at("erase records", "record_set_erase", kept.pk),
        at("certificate of erasure", "erasure_detail", erasure.pk),
        at("new sleep", "cycle_create", slept.pk),
        at("new sleep, not yet", "cycle_create", blank.pk),
        at("new wake", "wake_create", slept.pk),
        at("new wake, not yet", "wake_create", blank.pk),
        at("sleep, waiting", "cycle_detail", waiting.pk),
        at("sleep, running", "cycle_detail", running.pk),
        at("sleep, no worker can take it", "cycle_detail", apart.pk),
        at("sleep, paused", "cycle_detail", paused.pk),
        at("sleep, blocked", "cycle_detail", blocked.pk),
        at("sleep, quarantined", "cycle_detail", quarantined.pk),
        at("sleep, resumed after a kill", "cycle_detail", resumed.pk),
        at("project, paused", "project_detail", paused.project_id),
        at("sleep, improved", "cycle_detail", ended.pk),
        at("sleep, rejected", "cycle_detail", rejected.pk),
        at("sleep, failed", "cycle_detail", failed.pk),
        at("compare, none picked", "cycle_compare", slept.pk),
        at("compare, two", "cycle_compare", slept.pk, query=_picked(slept, 2)),
        at("compare, too many", "cycle_compare", slept.pk, query=_picked(slept, 7), status=422),
        at("wake, running", "cycle_detail", wake.pk),
        at("report", "cycle_report", ended.pk),
        at("report, shared", "shared_report", shared, who=""),
        at("checkpoint, current", "checkpoint_detail", made.pk),
        at("scores of a checkpoint", "checkpoint_scores", made.pk),
        at("compare", "cycle_compare", slept.pk),
        at("checkpoint, older", "checkpoint_detail", made.parent_id),
        at("checkpoint, candidate", "checkpoint_detail", rejected.result.pk),
        at("project, candidate", "project_detail", rejected.project_id),
        at("checkpoint, in the trash", "checkpoint_detail", trashed.pk),
        at("checkpoint, deleted", "checkpoint_detail", deleted.pk),
        at("storage", "storage"),
        at("storage, none", "storage", who=BEN),
        at("trash", "trash"),
        at("trash, empty", "trash", who=BEN),
        at("schedules, none", "schedule_overview", who=BEN),
        at("schedules", "schedule_overview"),
        at("schedules of a project, none", "schedule_list", blank.pk),
        at("schedules of a project", "schedule_list", slept.pk),
        at("schedule", "schedule_detail", schedule.pk),
        at("fleet", "fleet"),
        at("fleet, nothing of mine", "fleet", who=BEN),
        at("settings", "settings"),
        at("members", "settings_members"),
        at("audit log", "settings_audit"),
        at("password", "account_change_password"),
        at("log out", "account_logout"),
        at("log in", "account_login", who=""),
        at("inactive", "account_inactive", who=""),
        at("welcome", "owner_welcome", token, who=""),
        at("welcome, spent", "owner_welcome", "spent", who="", status=404),
        Place("not found", "/nothing/here/", ANA, 404),
    ]
    return Everything(places, {ANA: session_of(ana), BEN: session_of(ben)})


def _erased(project: Project, actor: User, made: Checkpoint) -> tuple[RecordSet, RecordSet, Erasure]:
    """Records that were erased: of one set some, of another, in the place of which a newer one is, all."""
    kept = RecordSet.objects.filter(project=project, use=Use.MEMORIES, replaced_at__isnull=True)[0]
    kept.retention_days, kept.expires_at = 12, timezone.now() + timedelta(days=12)
    kept.save()
    now = timezone.now()
    emptied = RecordSet.objects.create(
        project=project, task=kept.task, use=Use.TRAINING, sha256="e" * 64, size_bytes=10, rows=3,
        x_shape=[64], x_dtype="uint8", classes=10, replaced_at=now, trashed_at=now, purged_at=now,
    )  # fmt: skip
    erasure = Erasure.objects.create(
        workspace=project.workspace, project=project, scope=Scope.SET, actor=actor, actor_name="Ana",
        by=By.SUBJECT, subject_digest="d" * 64, asked=0, records=5, digest="c" * 64, unsearched=1,
        shaped=[{"checkpoint": str(made.pk), "how": "replayed"}],
    )  # fmt: skip
    for item, rows_, after, purged in ((kept, 2, "", None), (emptied, 3, "", now)):
        ErasedSet.objects.create(
            erasure=erasure, record_set=item, rows=rows_, sha256_before="a" * 64, sha256_after=after,
            purged_at=purged,
        )  # fmt: skip
    for verb, detail in (("record_set_accept", {"rows": 200}), ("record_set_retain", {"days": 12})):
        audit.record(workspace=project.workspace, actor=actor, verb=verb, target=kept, **detail)
    return kept, emptied, erasure


def _picked(project: Project, most: int) -> str:
    """The newest cycles of a project, picked for the compare page."""
    newest = project.cycles.order_by("-number")[:most]
    return "?" + "&".join(f"cycle={cycle.pk}" for cycle in newest)


def _person(email: str, name: str, workspace: str) -> tuple[User, Workspace]:
    user = User.objects.create_user(email, "correct horse battery", name=name)
    made = Workspace.objects.create(name=workspace, quota_bytes=10**9)
    Membership.objects.create(workspace=made, user=user, role=Role.OWNER)
    return user, made


def _aliases(slept: Project, rejected: Cycle) -> None:
    """Names at both kinds of end: `best` follows, `deployed` stays."""
    for project in (slept, rejected.project):
        assert project.current is not None
        for name, follows in (("best", True), ("deployed", False)):
            Alias.objects.create(
                project=project, name=name, checkpoint=project.current, follows=follows,
                moved_at=timezone.now(),
            )  # fmt: skip


def _trash(project: Project, actor: User) -> tuple[Checkpoint, Checkpoint]:
    """A version and a record set in the trash, and a version that is gone; each has its own content."""
    made = []
    for number, gone in ((901, False), (902, True)):
        sha256 = f"{number}".ljust(64, "a")
        row = Checkpoint.objects.create(
            project=project, number=number, origin="upload", sha256=sha256, size_bytes=120_000_000,
            family="mlp", config={"layers": [64, 10]}, parameters=650, trashed_at=timezone.now(),
            trashed_by=actor, purged_at=timezone.now() if gone else None,
        )  # fmt: skip
        made.append(row)
        if not gone:
            StoredFile.objects.create(workspace=project.workspace, sha256=sha256, size_bytes=120_000_000)
    old = RecordSet.objects.filter(project=project, use=Use.TRAINING)[0]
    old.pk, old.trashed_at = uuid4(), timezone.now() - timedelta(days=6)
    old.save(force_insert=True)
    return made[0], made[1]


def _fleet() -> None:
    """Workers that are there and take nothing, each for another reason, and one that said goodbye."""
    now = timezone.now()
    reasons: dict[str, dict[str, object]] = {
        "cpu-drains": {"draining_at": now},
        "cpu-no-store": {
            "problem_code": "store.not_mounted",
            "problem": "The store is not mounted on this machine. Mount it, and it takes cycles again.",
        },
        "cpu-old": {"protocol": 0},
        "cpu-gone": {"stopped_at": now, "draining_at": now},
    }
    for name, fields in reasons.items():
        Worker.objects.filter(pk=rows.worker(name).pk).update(**fields)


def _failed(cycle: Cycle) -> Cycle:
    night.begin(cycle)
    return transition(
        cycle.pk, to=State.FAILED, expect_from=[State.RUNNING], error_code="memory.short",
        error_message="The worker ran out of memory in REM dreaming. Choose a smaller batch.",
    )  # fmt: skip


def _half_slept(actor: User, workspace: Workspace) -> Cycle:
    """A sleep in the middle of its first replay."""
    cycle = night.begin(night.sleep_cycle(night.line(workspace=workspace, actor=actor), actor=actor))
    night.play(cycle, Night(seconds=6), until=24)
    return cycle


def _blocked(cycle: Cycle) -> Cycle:
    return cycle_block(
        cycle_id=cycle.pk, epoch=None, code="cycle.disk_full",
        message=disk_sentence(41_000_000_000, 9_800_000_000, "worker"),
    )  # fmt: skip


def _quarantined(cycle: Cycle) -> Cycle:
    return transition(
        cycle.pk, to=State.QUARANTINED, expect_from=[State.RUNNING], reason="cycle.trainer_died", deaths=3,
        error_code="cycle.trainer_died",
        error_message="The process that worked on the model was ended by SIGSEGV in NREM replay. That is a "
        "fault in a library or the hardware, not in your model or data. It happened 3 times in one place, so "
        "it is not tried again by itself. Look at the worker's log; when the cause is gone, try it again.",
    )  # fmt: skip


def _wake(project: Project, actor: User) -> Cycle:
    """A wake that runs: the line learns its newest task once more."""
    cycle = night.sleep_cycle(project, actor=actor, kind=Kind.WAKE)
    cycle.data = RecordSet.objects.filter(project=project, use=Use.TRAINING).latest("created_at")
    cycle.save()
    begun = night.begin(cycle)
    begun.worker = night.worker("gpu-1")  # a worker runs one cycle at a time
    begun.save()
    return begun


def _uploads(project: Project, user: User) -> None:
    """One upload of each kind of end, the last ones of the page's list."""
    refused = {
        "error_code": "upload.pickle",
        "error_message": "The file is a pickle. Save it as safetensors.",
    }
    for state in (UploadState.READY, UploadState.REFUSED, UploadState.VERIFYING, UploadState.ABORTED):
        Upload.objects.create(
            project=project, user=user, purpose=Purpose.CHECKPOINT, filename=f"{state}.safetensors",
            size_bytes=31_000, received_bytes=31_000, state=state,
            finished_at=None if state == UploadState.VERIFYING else timezone.now(),
            **(refused if state == UploadState.REFUSED else {}),
        )  # fmt: skip
    bad = [{"line": 3, "code": "csv.number", "message": "column b is empty"}]
    Upload.objects.create(
        project=project, user=user, purpose=Purpose.MEMORIES, filename="tickets.csv", size_bytes=31_000,
        received_bytes=31_000, state=UploadState.REFUSED, finished_at=timezone.now(),
        kept_until=timezone.now() + timedelta(days=1), error_code="csv.number",
        error_message="Line 3: column b is empty. Nothing was taken in.",
        error_detail={"lines": bad, "total": 1, "unit": "line", "others": 9980},
    )  # fmt: skip
