"""`nocturne workers` and `nocturne drain`: the fleet on a terminal, and as JSON for programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone
from typer.testing import CliRunner

from tests.webapp import rows
from webapp.accounts.models import Workspace
from webapp.core.models import AuditEntry
from webapp.fleet.models import Worker
from workers.cli import BAD_INPUT, OK, app

if TYPE_CHECKING:
    from webapp.projects.models import Project

pytestmark = pytest.mark.django_db
run = CliRunner()


@pytest.fixture
def project() -> Project:
    return rows.project_of(Workspace.objects.create(name="Lab", quota_bytes=1), "support-bot")


def test_without_a_worker_it_says_how_to_start_one() -> None:
    answer = run.invoke(app, ["workers"])
    assert answer.exit_code == OK
    assert answer.stdout == "No worker. Start one: nocturne worker\n0 cycles wait.\n"


def test_the_table_has_a_line_for_each(project: Project) -> None:
    gpu = rows.worker("lab-a-cuda-0")
    started = timezone.now() - timedelta(minutes=4)
    rows.cycle(project, "sleep", "running", worker=gpu, progress=0.5, attempt=1, started_at=started)
    rows.cycle(project, "wake", "queued", queued_at=timezone.now())
    broken = rows.worker("lab-b")
    fields = {"problem_code": "store.not_mounted", "problem": "The store is not there."}
    Worker.objects.filter(pk=broken.pk).update(**fields, draining_at=timezone.now())
    rows.worker("lab-c", silent=timedelta(minutes=3, seconds=30))
    answer = run.invoke(app, ["workers"])
    assert answer.exit_code == OK
    lines = {line.split()[0]: line for line in answer.stdout.splitlines() if line.strip()}
    for words in ("busy", "Sleep 1 · support-bot · 50.0 %", "0.1.0"):
        assert words in lines["lab-a-cuda-0"]
    assert "about 4 min left" in answer.stdout
    assert "takes nothing, drained" in lines["lab-b"]
    assert "lab-b: The store is not there. [store.not_mounted]" in answer.stdout
    assert "not heard of" in lines["lab-c"]
    assert "3 min ago" in lines["lab-c"]
    assert answer.stdout.endswith("1 cycle waits.\n")


def test_what_people_call_their_projects_is_text(project: Project) -> None:
    type(project).objects.filter(pk=project.pk).update(name="x [/foo] [red]y :smile:")
    rows.cycle(project, "sleep", "running", worker=rows.worker("lab-a"), attempt=1)
    answer = run.invoke(app, ["workers"])
    assert answer.exit_code == OK
    assert "x [/foo] [red]y :smile:" in answer.stdout


def test_as_json_it_is_what_the_api_answers(project: Project) -> None:
    rows.worker("lab-a")
    rows.cycle(project, "sleep", "queued", queued_at=timezone.now())
    answer = run.invoke(app, ["workers", "--json"])
    assert answer.exit_code == OK
    seen = json.loads(answer.stdout)
    assert [worker["name"] for worker in seen["workers"]] == ["lab-a"]
    assert (seen["waiting"], seen["queue"][0]["position"]) == (1, 1)


def test_drain_and_undo(project: Project) -> None:
    worker = rows.worker("lab-a")
    rows.cycle(project, "sleep", "running", worker=worker)
    first = run.invoke(app, ["drain", "lab-a"])
    assert first.exit_code == OK
    assert first.stdout == "lab-a takes nothing new; Sleep 1 of support-bot goes on to its end.\n"
    assert Worker.objects.get().draining_at is not None
    second = run.invoke(app, ["drain", "lab-a", "--undo", "--json"])
    assert json.loads(second.stdout) == {"name": "lab-a", "draining": False, "runs": "Sleep 1 of support-bot"}
    assert Worker.objects.get().draining_at is None
    entries = list(AuditEntry.objects.order_by("id"))
    assert [(entry.verb, entry.actor) for entry in entries] == [
        ("worker_drain", None),
        ("worker_undrain", None),
    ]


def test_an_idle_one_can_be_stopped_then() -> None:
    rows.worker("lab-a")
    assert "runs nothing: it can be stopped." in run.invoke(app, ["drain", "lab-a"]).stdout
    assert run.invoke(app, ["drain", "lab-a", "--undo"]).stdout == "lab-a takes cycles again.\n"


def test_a_name_that_nobody_has() -> None:
    rows.worker("lab-a")
    answer = run.invoke(app, ["drain", "lab-b", "--json"])
    assert answer.exit_code == BAD_INPUT
    assert json.loads(answer.stdout)["error"]["code"] == "worker.missing"
    assert "There are: lab-a." in answer.stderr


def test_a_database_that_does_not_answer(tmp_path: Path) -> None:
    """In a process of its own: the settings know one database."""
    env = os.environ | {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing",
        "NOCTURNE_DATA": str(tmp_path),
    }
    for words in (["workers", "--json"], ["drain", "lab-a", "--json"]):
        answer = subprocess.run(
            [sys.executable, "-m", "workers.cli", *words],
            capture_output=True, text=True, check=False, timeout=60, env=env,
        )  # fmt: skip
        assert answer.returncode == BAD_INPUT, answer.stderr
        assert json.loads(answer.stdout)["error"]["code"] == "database.down"
        assert "DATABASE_URL" in answer.stderr
        assert "Traceback" not in answer.stderr


def test_help_has_examples() -> None:
    words = run.invoke(app, ["drain", "--help"]).output
    assert words.count("Example:") == 2
    assert "--undo" in words
