"""From received bytes to a checkpoint or a record set, through the real confined child."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.conf import settings
from django.db import connections
from django.urls import reverse
from django.utils import timezone
from safetensors.numpy import load_file

from consolidation.memory.store import Records
from tests.consolidation.formats.files import (
    array_bytes,
    entry,
    family_file,
    mlp_file,
    mlp_tensors,
    npz,
    safetensors,
)
from tests.consolidation.formats.gguf_files import llama_weights, tiny
from tests.webapp.conftest import logged_in
from tests.webapp.uploads.conftest import incoming, received
from webapp.accounts.models import Membership, User, Workspace
from webapp.checkpoints.models import Checkpoint
from webapp.core import store
from webapp.core.models import AuditEntry
from webapp.core.store import room_left, store_path, workspace_used_bytes
from webapp.core.store_identity import MARKER
from webapp.memories.models import RecordSet
from webapp.uploads import verification
from webapp.uploads.models import StoredFile, Upload
from webapp.uploads.rest import upload_drop_rest
from webapp.uploads.selectors import STRAY_AGE, part_path, verify_seconds, work_bytes
from webapp.uploads.services import upload_sweep, upload_verify

if TYPE_CHECKING:
    from webapp.projects.models import Project, Task


def stored_files() -> list[Path]:
    """Every content in the store."""
    folder = Path(settings.STORE_DIR)
    return [p for p in folder.rglob("*") if p.is_file() and not {".incoming", MARKER} & set(p.parts)]


@pytest.fixture(autouse=True)
def _an_empty_store() -> None:
    for path in stored_files():
        path.unlink()


def records(tmp_path: Path, *, width: int = 4, classes: int = 3, rows: int = 30, **extra: Any) -> bytes:
    rng = np.random.default_rng(0)
    path = tmp_path / "records.npz"
    np.savez(path, x=rng.random((rows, width)), y=np.arange(rows) % classes, **extra)
    return path.read_bytes()


def test_a_checkpoint_becomes_the_next_version(
    project: Project, alice: User, model: bytes, tmp_path: Path
) -> None:
    upload = received(project, alice, model, wake={"examples": 60000, "lr": 0.01})
    assert upload_verify(upload.pk) == "ready"
    upload.refresh_from_db()
    checkpoint = Checkpoint.objects.get()
    assert upload.result_id == checkpoint.pk
    project.refresh_from_db()
    assert project.current == checkpoint
    assert (checkpoint.number, checkpoint.parent, checkpoint.origin, checkpoint.standing) == (
        1, None, "upload", "promoted"
    )  # fmt: skip
    assert checkpoint.config == {"layers": [4, 5, 3], "activation": "relu", "names": ["net.0", "net.2"]}
    assert checkpoint.wake == {"examples": 60000, "lr": 0.01}
    path = store_path(project.workspace_id, checkpoint.sha256)
    assert path.stat().st_mode & 0o777 == 0o444
    assert path.stat().st_size == checkpoint.size_bytes == workspace_used_bytes(project.workspace)
    for name, value in load_file(path).items():
        assert np.array_equal(value, mlp_tensors()[name])
    assert incoming() == []
    assert set(AuditEntry.objects.values_list("verb", flat=True)) >= {"checkpoint_create"}


def test_a_convolutional_net_is_asked_what_its_file_does_not_tell(
    project: Project, alice: User, tmp_path: Path
) -> None:
    config = {"input": [1, 8, 8], "convolutions": [4], "norm": True, "activation": "relu", "classes": 3}
    data = family_file(tmp_path / "cnn", "cnn", config, described=False).read_bytes()
    upload = received(project, alice, data, config={"activation": "relu", "layout": "chw", "pooling": "max"})
    assert upload_verify(upload.pk) == "refused"
    upload.refresh_from_db()
    assert upload.error_code == "checkpoint.config_missing"
    assert "3x32x32" in upload.error_message
    told = {"activation": "relu", "layout": "hwc", "pooling": "max", "input": "1x8x8"}
    assert upload_verify(received(project, alice, data, config=told).pk) == "ready"
    checkpoint = Checkpoint.objects.get(project=project)
    assert (checkpoint.family, checkpoint.config["input"]) == ("cnn", [1, 8, 8])


def test_the_next_one_has_the_current_one_as_its_parent(
    project: Project, alice: User, tmp_path: Path
) -> None:
    for layers in ((4, 5, 3), (4, 6, 3)):
        upload_verify(received(project, alice, mlp_file(tmp_path / f"m{layers}", layers).read_bytes()).pk)
    first, second = Checkpoint.objects.order_by("number")
    assert (second.number, second.parent) == (2, first)
    project.refresh_from_db()
    assert project.current == second


def test_the_same_bytes_are_stored_once(project: Project, alice: User, model: bytes) -> None:
    for _ in range(2):
        assert upload_verify(received(project, alice, model).pk) == "ready"
    assert StoredFile.objects.count() == len(stored_files()) == 1
    assert Checkpoint.objects.count() == 2


def test_records_become_the_live_set(project: Project, alice: User, task: Task, tmp_path: Path) -> None:
    form = {"task": str(task.pk), "transform": {"scale": 0.5, "mean": 0.0, "sd": 1.0}, "classes": None}
    for rows in (30, 60):
        upload = received(project, alice, records(tmp_path, rows=rows), purpose="probe", **form)
        assert upload_verify(upload.pk) == "ready"
    live = RecordSet.objects.get(replaced_at__isnull=True)
    assert (live.rows, live.x_shape, live.classes, live.use) == (60, [4], 3, "probe")
    assert live.transform == form["transform"]
    assert live.label_histogram == [20, 20, 20]
    assert RecordSet.objects.filter(replaced_at__isnull=False).count() == 1
    opened = Records.open(store_path(project.workspace_id, live.sha256))
    assert opened.task == task.name
    assert incoming() == []


REFUSED: dict[str, tuple[str, bytes]] = {
    "truncated": ("tensor.size_mismatch", b""),
    "text": ("type.mismatch", b"this is a letter\n" * 40),
    "pickle": ("pickle.not_state_dict", pickle.dumps({"net.0.weight": [1.0]}, 2)),
    "zeros": ("safetensors.header_size", bytes(1000)),
}


@pytest.mark.parametrize("row", REFUSED)
def test_a_refused_file_leaves_its_sentence_and_nothing_else(
    row: str, project: Project, alice: User, model: bytes
) -> None:
    code, data = REFUSED[row]
    upload = received(project, alice, data or model[:-8])
    assert upload_verify(upload.pk) == "refused"
    upload.refresh_from_db()
    assert upload.error_code == code
    assert str(settings.DATA_DIR) not in upload.error_message
    assert "file.bin" in upload.error_message or row in {"truncated", "zeros"}
    assert upload.result_id is None
    assert incoming() == []
    assert stored_files() == []
    assert not Checkpoint.objects.exists()
    assert not StoredFile.objects.exists()
    assert AuditEntry.objects.filter(verb="upload_refuse", object_id=upload.pk).exists()


def test_weights_of_torch_save_become_a_checkpoint_that_says_what_was_left_out(
    project: Project, alice: User, tmp_path: Path
) -> None:
    import torch

    tensors = {name: torch.from_numpy(value) for name, value in mlp_tensors().items()}
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "model.pt")
    data = (tmp_path / "model.pt").read_bytes()
    upload = received(project, alice, data, config={"activation": "relu"})
    assert upload_verify(upload.pk) == "ready"
    made = Checkpoint.objects.get()
    assert (made.format, made.family, made.config["layers"]) == ("pytorch", "mlp", [4, 5, 3])
    assert any("epoch" in note for note in made.notes)
    assert (made.extras, made.extras_sha256, made.crc32) == ([], "", None)
    assert incoming() == []


def test_a_gguf_model_becomes_a_checkpoint_with_its_config(
    project: Project, alice: User, tmp_path: Path
) -> None:
    data = tiny(tmp_path / "m.gguf", quantised={"blk.0.ffn_up.weight": "Q4_0"}).read_bytes()
    upload = received(project, alice, data)
    assert upload_verify(upload.pk) == "ready"
    made = Checkpoint.objects.get()
    assert (made.family, made.format, made.config["model_type"]) == ("causal_lm", "gguf", "llama")
    assert [extra["name"] for extra in made.extras] == ["config.json"]
    assert any("Q4_0" in note for note in made.notes)
    copy = load_file(store_path(project.workspace_id, made.sha256))
    assert np.array_equal(copy["lm_head.weight"], llama_weights()["lm_head.weight"])
    assert incoming() == []


def test_a24_nan_weights_are_taken_in_and_marked(project: Project, alice: User, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    tensors = mlp_tensors()
    tensors["net.0.bias"][1] = np.nan
    save_file(tensors, tmp_path / "nan")
    upload = received(project, alice, (tmp_path / "nan").read_bytes(), config={"activation": "relu"})
    assert upload_verify(upload.pk) == "ready"
    assert Checkpoint.objects.get().non_finite is True


def test_a22_the_name_of_a_hostile_tensor_is_shown_as_text(
    project: Project, alice: User, tmp_path: Path
) -> None:
    header = {"<script>alert(1)</script>": entry([2], 0, 8)}
    data = safetensors(tmp_path / "f", header, bytes(8)).read_bytes()
    upload = received(project, alice, data)
    assert upload_verify(upload.pk) == "refused"
    upload.refresh_from_db()
    assert upload.error_code == "tensor.name_invalid"
    assert "<script>alert(1)</script>" in upload.error_message
    page = logged_in(alice).get(reverse("checkpoint_upload", args=[project.pk])).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page


RECORD_FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "width": ("records.width", {"width": 7}),
    "labels": ("replay.schema", {"classes": 9}),
    "empty": ("records.empty", {"rows": 0}),
}


@pytest.mark.parametrize("row", RECORD_FAULTS)
def test_records_that_the_model_could_not_use(
    row: str, project: Project, alice: User, task: Task, model: bytes, tmp_path: Path
) -> None:
    upload_verify(received(project, alice, model).pk)
    code, options = RECORD_FAULTS[row]
    form = {"task": str(task.pk), "transform": None, "classes": 3}
    upload = received(project, alice, records(tmp_path, **options), purpose="memories", **form)
    assert upload_verify(upload.pk) == "refused"
    upload.refresh_from_db()
    assert upload.error_code == code
    assert not RecordSet.objects.exists()
    assert len(stored_files()) == 1
    if upload.kept_until is not None:  # some of its rows are good, and wait for a word
        assert row == "labels"
        upload_drop_rest(actor=alice, upload=upload)
    assert incoming() == []


def test_an_object_array_is_never_unpickled(
    project: Project, alice: User, task: Task, tmp_path: Path
) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "canary"),)

    hostile = np.array([Payload(), None], dtype=object)
    members = {"x.npy": array_bytes(hostile, allow_pickle=True), "y.npy": array_bytes(np.zeros(2, int))}
    form = {"task": str(task.pk), "transform": None, "classes": None}
    upload = received(project, alice, npz(tmp_path / "f.npz", members).read_bytes(), purpose="probe", **form)
    assert upload_verify(upload.pk) == "refused"
    upload.refresh_from_db()
    assert upload.error_code == "npz.pickle_forbidden"
    assert not (tmp_path / "canary").exists()


@pytest.mark.django_db(transaction=True)
def test_checking_twice_at_once_makes_one_checkpoint(project: Project, alice: User, model: bytes) -> None:
    upload = received(project, alice, model)

    def check(_: int) -> str:
        try:
            return upload_verify(upload.pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(check, range(4)))
    assert upload_verify(upload.pk) == "ready"
    assert Checkpoint.objects.count() == 1


def test_a_check_whose_worker_died_is_done_again(project: Project, alice: User, model: bytes) -> None:
    upload = received(project, alice, model)
    Upload.objects.filter(pk=upload.pk).update(verifying_since=timezone.now())
    assert upload_verify(upload.pk) == "verifying"
    assert upload_sweep() == 0
    long_ago = timezone.now() - dt.timedelta(seconds=verify_seconds(upload.size_bytes) + 31)
    Upload.objects.filter(pk=upload.pk).update(verifying_since=long_ago)
    assert upload_sweep() == 1
    upload.refresh_from_db()
    assert upload.state == "ready"


def test_a_checker_that_hangs_is_killed_and_says_so(
    project: Project, alice: User, model: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nsleep 60 & wait\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    monkeypatch.setattr(verification, "verify_seconds", lambda size: 1)
    upload = received(project, alice, model)
    assert upload_verify(upload.pk) == "refused"
    upload.refresh_from_db()
    assert upload.error_code == "verify.failed"
    assert "within 1 s" in upload.error_message
    assert incoming() == []


@pytest.mark.parametrize("script", ["kill -9 $$", "exit 3", "echo nonsense", "echo '{\"ok\": true}'", "true"])
def test_a_checker_that_crashes_or_talks_nonsense_accepts_nothing(
    script: str, project: Project, alice: User, model: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    upload = received(project, alice, model)
    assert upload_verify(upload.pk) == "refused"
    upload.refresh_from_db()
    assert upload.error_code == "verify.failed"
    assert incoming() == []
    assert not Checkpoint.objects.exists()


def test_bytes_that_vanished_are_said_to_be_lost(project: Project, alice: User, model: bytes) -> None:
    upload = received(project, alice, model)
    part_path(upload.pk).unlink()
    assert upload_verify(upload.pk) == "refused"
    upload.refresh_from_db()
    assert upload.error_code == "upload.lost"


def test_what_does_not_fit_the_quota_any_more_is_refused(
    project: Project, alice: User, workspace: Workspace, model: bytes
) -> None:
    upload = received(project, alice, model)
    Workspace.objects.filter(pk=workspace.pk).update(quota_bytes=10)
    assert upload_verify(upload.pk) == "refused"
    upload.refresh_from_db()
    assert upload.error_code == "upload.quota"
    assert stored_files() == []


def test_the_copy_that_lies_on_the_disk_needs_no_room_there_again(
    project: Project, alice: User, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = received(project, alice, model)
    monkeypatch.setattr(store, "disk_free", lambda: 1)
    assert upload_verify(upload.pk) == "ready"


@pytest.mark.parametrize(
    ("quota", "free", "limit"), [(10**9, 6_000, 3_000), (2_000, 10**9, 2_000), (10**9, 10, 1_000)]
)
def test_the_checker_may_write_what_quota_and_disk_have_room_for(
    quota: int, free: int, limit: int, project: Project, alice: User, workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked: list[int] = []

    def run(request: dict[str, Any], *_: Any) -> dict[str, Any]:
        asked.append(request["limit_bytes"])
        return {}

    monkeypatch.setattr(verification, "_run", run)
    monkeypatch.setattr(verification, "disk_free", lambda: free)
    Workspace.objects.filter(pk=workspace.pk).update(quota_bytes=quota)
    assert upload_verify(received(project, alice, bytes(1_000)).pk) == "refused"
    assert asked == [limit]


def test_what_grows_when_it_is_written_out_has_more_time() -> None:
    for name, times in (("a.GGUF", 4), ("a.tar.gz", 12), ("a.tgz", 12), ("a.npz", 8), ("a.safetensors", 1)):
        assert work_bytes(Upload(filename=name, size_bytes=100)) == 100 * times


@pytest.mark.parametrize("begun", [True, False])
def test_the_sweep_gives_up_on_silent_uploads_and_removes_strays(
    begun: bool, project: Project, alice: User
) -> None:
    """A day after the last byte; an hour after the announcement of one that never got any."""
    upload = Upload.objects.create(
        project=project, user=alice, purpose="checkpoint", filename="m", size_bytes=9
    )
    part, now = part_path(upload.pk), timezone.now()
    part.parent.mkdir(parents=True, exist_ok=True)
    stray = part.with_name("0f7a.scratch")
    stray.mkdir()
    (stray / "out").write_text("x")
    old = (now - STRAY_AGE - dt.timedelta(minutes=1)).timestamp()
    if begun:
        part.write_bytes(b"123")
        os.utime(part, (old, old))
    created = now - dt.timedelta(hours=30) if begun else now - dt.timedelta(minutes=59)
    last = now - dt.timedelta(hours=23) if begun else None
    Upload.objects.filter(pk=upload.pk).update(created_at=created, received_at=last)
    assert upload_sweep() == 0, "there is time to go on"
    patience = dt.timedelta(hours=1, minutes=1)
    Upload.objects.filter(pk=upload.pk).update(
        created_at=created - patience, received_at=last and last - patience
    )
    os.utime(stray, (old, old))
    assert upload_sweep() == 2
    upload.refresh_from_db()
    assert (upload.state, upload.error_code) == ("aborted", "upload.expired")
    assert incoming() == []


def test_the_sweep_gives_up_on_what_somebody_who_left_had_begun(project: Project, alice: User) -> None:
    """It would hold the workspace's room for a day, and nobody else could cancel it."""
    upload = Upload.objects.create(
        project=project, user=alice, purpose="checkpoint", filename="m", size_bytes=9
    )
    assert upload_sweep() == 0
    before = room_left(project.workspace)
    Membership.objects.filter(user=alice, workspace=project.workspace).delete()
    assert upload_sweep() == 1
    upload.refresh_from_db()
    assert (upload.state, upload.error_code) == ("aborted", "upload.left")
    assert room_left(project.workspace) == before + 9


def test_the_sweep_gives_up_on_a_copy_whose_process_died(project: Project, alice: User) -> None:
    upload = Upload.objects.create(
        project=project, user=alice, purpose="checkpoint", filename="m", size_bytes=9, local=True
    )
    assert upload_sweep() == 0
    Upload.objects.filter(pk=upload.pk).update(created_at=timezone.now() - dt.timedelta(minutes=6))
    assert upload_sweep() == 1
    upload.refresh_from_db()
    assert (upload.state, upload.error_code) == ("aborted", "upload.local_ended")
