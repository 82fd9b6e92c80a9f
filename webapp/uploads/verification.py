"""Checking an upload: a confined child reads the bytes, this side believes only what it can check again.

The child (`python -m workers.inspect`) gets no secret, no network and one folder; it writes our own copy of
the content there. This process never parses a byte of the file: it digests the copy, stores it, and makes
the row.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from consolidation.errors import NocturneInputError
from webapp.accounts.models import Workspace
from webapp.checkpoints.models import Checkpoint
from webapp.checkpoints.services import KeptFiles, checkpoint_accept
from webapp.core import audit
from webapp.core.bad_lines import bad_lines
from webapp.core.errors import NocturneError, cut
from webapp.core.store import (
    disk_free,
    disk_full,
    ensure_room,
    file_sha256,
    room_left,
    store_discard,
    store_put,
)
from webapp.core.store_identity import StoreAway, store_check
from webapp.core.store_release import contents_release
from webapp.memories.services import record_set_accept
from webapp.projects.models import Task
from webapp.uploads.companions import companions_path, kept_files
from webapp.uploads.models import Purpose, Upload, UploadState
from webapp.uploads.pictures import project_picture
from webapp.uploads.selectors import part_path, scratch_path, verify_lease_over, verify_seconds, work_bytes
from webapp.uploads.texts import project_tokenizer, text_options
from webapp.uploads.tokenizer import companions_joined, tokenizer_attach

if TYPE_CHECKING:
    from uuid import UUID

logger = logging.getLogger(__name__)

KEPT: Final = dt.timedelta(days=1)  # the bytes of a file whose good rows may still be taken in
# What becomes no set of records.
_NO_RECORDS: Final = frozenset({Purpose.CHECKPOINT, Purpose.TOKENIZER})
RESULT_BYTES: Final = 32 * 2**20
_FAILED: Final = (
    "The file could not be checked: the checker {why}. It was not accepted and nothing was kept. "
    "Upload it again; if this happens twice, save it as smaller files or tell whoever runs this server."
)


class Refused(NocturneError):
    """The content was refused, or could not be checked, which is the same."""

    status = 422


class Stopped(Refused):
    """The checker was ended at one of its limits."""


def upload_verify(upload_id: UUID | str) -> str:
    """Check one upload and make of it what it should become. Safe to call twice, at once or later.

    Returns:
        The upload's state afterwards; "" when there is no such upload.
    """
    upload = Upload.objects.select_related("project__workspace", "user").filter(pk=upload_id).first()
    if upload is None:
        return ""
    try:
        store_check()
        _check(upload)
    except StoreAway as error:
        # Not a word about the file: a chores worker that has the store will check it.
        logger.warning("Upload %s: %s [%s]", upload.pk, error.message, error.code)
    return Upload.objects.values_list("state", flat=True).get(pk=upload.pk)


def _check(upload: Upload) -> None:
    claim = _claim(upload)
    if claim is None:
        return
    scratch = scratch_path(upload.pk)
    try:
        info = _inspect(upload, scratch)
        sha256, size = file_sha256(scratch / "out")
        _accept(upload, claim, info, scratch / "out", sha256, size)
    except StoreAway:
        raise
    except Refused as error:
        _refuse(upload, claim, error)
    except (NocturneError, NocturneInputError) as error:
        _refuse(upload, claim, Refused(error.code, error.message, **error.detail))
    except OSError as error:
        logger.exception("Upload %s could not be checked", upload.pk)
        full = disk_full(upload.size_bytes)
        known = error.errno in {28, 122}  # ENOSPC, EDQUOT
        words = full.message if known else _FAILED.format(why="could not use its files")
        _refuse(upload, claim, Refused(full.code if known else "verify.failed", words))


def remove_files(upload: Upload) -> None:
    """All bytes that an upload may have left among the incoming."""
    part_path(upload.pk).unlink(missing_ok=True)
    shutil.rmtree(scratch_path(upload.pk), ignore_errors=True)


def remove_stray(path: Path) -> None:
    """One left-over file or scratch folder."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _claim(upload: Upload) -> Any:
    """Compare-and-set on `verifying_since`: the moment is the claim. None: somebody else has it."""
    now = timezone.now()
    if upload.state != UploadState.VERIFYING or not verify_lease_over(upload, now):
        return None
    won = Upload.objects.filter(
        pk=upload.pk, state=UploadState.VERIFYING, verifying_since=upload.verifying_since
    ).update(verifying_since=now)
    return now if won else None


def _inspect(upload: Upload, scratch: Path) -> dict[str, Any]:
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True, mode=0o700)
    part = part_path(upload.pk)
    if not part.is_file():
        raise Refused(
            "upload.lost", "The received bytes are gone from the server's disk. Upload the file again."
        )
    seconds = verify_seconds(work_bytes(upload))
    task = Task.objects.filter(pk=upload.form.get("task")).first() if upload.form.get("task") else None
    request = {
        "purpose": upload.purpose if upload.purpose in _NO_RECORDS else "records",
        "path": str(part),
        "out": str(scratch / "out"),
        "filename": upload.filename,
        "family": upload.form.get("family"),
        "config": upload.form.get("config"),
        "head": upload.form.get("head"),
        "task": task.name if task else "",
        "transform": upload.form.get("transform"),
        "classes": upload.form.get("classes"),
        "rights": upload.form.get("rights"),
        "rights_required": bool(upload.form.get("rights_required")),
        "tokenizer": None if upload.purpose in _NO_RECORDS else project_tokenizer(upload.project),
        "texts": None if upload.purpose in _NO_RECORDS else text_options(upload, task),
        **_of_records(upload),
        "vocabulary": _checkpoint(upload).config["vocab_size"] if upload.purpose == Purpose.TOKENIZER else 0,
        "limit_bytes": _limit_bytes(upload),
        "cpu_seconds": seconds,
        "strict": settings.STRICT_FOLDERS,
    }
    try:
        answer = _run(request, scratch, seconds)
    except Stopped as stopped:
        raise _as_told(part, upload, stopped) from None
    if answer.get("ok") is True and isinstance(answer.get("info"), dict):
        return dict(answer["info"])
    error = answer.get("error")
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        raise Refused("verify.failed", _FAILED.format(why="gave no answer"))
    message = "".join(c if c.isprintable() else "?" for c in str(error.get("message", "")))[:2000]
    raise Refused(cut(error["code"], 64), message, **bad_lines(error.get("detail")))


def _of_records(upload: Upload) -> dict[str, Any]:
    """What is asked of records only, and what the project knows of its pictures."""
    if upload.purpose in _NO_RECORDS:
        return {}
    picture = project_picture(upload.project) | {"resize": bool(upload.form.get("resize"))}
    return {
        "split": upload.form.get("split") or "",
        "picture": picture,
        "leave_out": bool(upload.form.get("leave_out")),
        "budget": upload.form.get("budget"),
    }


def _limit_bytes(upload: Upload) -> int:
    """The most that our copy may take, and that unpacking may write beside it: what the quota leaves, and no
    more than half of the disk, which the database needs too. A copy as large as the file was promised."""
    quota = max(room_left(upload.project.workspace, besides=upload.pk), 0)
    return min(quota, max(disk_free() // 2, upload.size_bytes))


def _as_told(part: Path, upload: Upload, error: Stopped) -> Refused:
    """A library that was ended at a limit is the same to a person as one that refused at it."""
    with part.open("rb") as handle:
        parquet = upload.purpose not in _NO_RECORDS and handle.read(4) == b"PAR1"
    if parquet:
        return Refused(
            "parquet.limit",
            "The Parquet file was not read: it takes more time or memory than is allowed. If it is honest, "
            "save it in smaller files.",
        )
    return error


def _run(request: dict[str, Any], scratch: Path, seconds: int) -> dict[str, Any]:
    """One child in its own session; killed with all it may have started when its time is over."""
    # Whatever else this process has in its environment (keys, database) stays here.
    environment = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(settings.BASE_DIR),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "RAYON_NUM_THREADS": "1",
    }
    answer_path = scratch / "answer.json"
    with answer_path.open("xb") as answer, (scratch / "words.txt").open("xb") as words:
        child = subprocess.Popen(
            [sys.executable, "-m", "workers.inspect"],
            stdin=subprocess.PIPE,
            stdout=answer,
            stderr=words,
            cwd=scratch,
            env=environment,
            start_new_session=True,
            close_fds=True,
        )
        try:
            child.communicate(json.dumps(request).encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Stopped("verify.failed", _FAILED.format(why=f"did not finish within {seconds} s")) from None
        except BrokenPipeError:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    if child.returncode != 0:
        tail = (scratch / "words.txt").read_bytes()[-2000:].decode("utf-8", "replace")
        logger.error("The checker ended with %s: %s", child.returncode, tail)
        if child.returncode < 0:
            raise Stopped("verify.failed", _FAILED.format(why="was stopped at a limit of time or memory"))
        raise Refused("verify.failed", _FAILED.format(why="stopped unexpectedly"))
    if answer_path.stat().st_size > RESULT_BYTES:
        raise Refused("verify.failed", _FAILED.format(why="gave an answer that is too long"))
    try:
        found = json.loads(answer_path.read_bytes())
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _accept(upload: Upload, claim: Any, info: dict[str, Any], copy: Path, sha256: str, size: int) -> None:
    workspace = upload.project.workspace
    if upload.purpose == Purpose.TOKENIZER:
        _attach(upload, claim, copy)
        return
    kept, extras_size = KeptFiles(), 0
    if upload.purpose == Purpose.CHECKPOINT:
        kept, extras_size = kept_files(copy, info)
    try:
        with transaction.atomic():
            # The workspace first: the order of locks is the one of upload_create.
            Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
            held = _held(upload, claim)
            if held is None:
                return
            ensure_room(workspace, size + extras_size, besides=upload.pk, written=True)
            store_put(workspace=workspace, source=copy, sha256=sha256, size_bytes=size)
            if kept.extras_sha256:
                store_put(
                    workspace=workspace,
                    source=companions_path(copy),
                    sha256=kept.extras_sha256,
                    size_bytes=extras_size,
                )
            info = {**info, "sha256": sha256, "size": size}
            result = _make(upload, sha256, info, kept)
            held.state, held.result_id, held.finished_at = UploadState.READY, result, timezone.now()
            held.save(update_fields=["state", "result_id", "finished_at"])
    except BaseException:
        store_discard(workspace=workspace, sha256=sha256)
        if kept.extras_sha256:
            store_discard(workspace=workspace, sha256=kept.extras_sha256)
        raise
    remove_files(upload)


def _checkpoint(upload: Upload) -> Checkpoint:
    """The checkpoint that a tokenizer is for. Raises Refused."""
    found = Checkpoint.everything.select_related("project__workspace").filter(
        pk=upload.form.get("checkpoint"), project=upload.project
    )
    checkpoint = found.first()
    if checkpoint is None:
        raise Refused("upload.checkpoint", "The checkpoint of this tokenizer is gone. Choose another one.")
    return checkpoint


def _attach(upload: Upload, claim: Any, copy: Path) -> None:
    """Make a checked tokenizer a companion of its checkpoint; the companions that were there are let go."""
    seen, joined = _checkpoint(upload), companions_path(copy)
    changes = companions_joined(seen, copy, joined)
    workspace, sha256, size = upload.project.workspace, changes["extras_sha256"], joined.stat().st_size
    try:
        with transaction.atomic():
            Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
            held = _held(upload, claim)
            if held is None:
                return
            ensure_room(workspace, size, besides=upload.pk, written=True)
            store_put(workspace=workspace, source=joined, sha256=sha256, size_bytes=size)
            made = tokenizer_attach(upload=upload, seen=seen, changes=changes)
            held.state, held.result_id, held.finished_at = UploadState.READY, made.pk, timezone.now()
            held.save(update_fields=["state", "result_id", "finished_at"])
    except BaseException:
        store_discard(workspace=workspace, sha256=sha256)
        raise
    contents_release(workspace=workspace, digests=[seen.extras_sha256])
    remove_files(upload)


def _held(upload: Upload, claim: Any) -> Upload | None:
    """The upload under its lock; None when another checker has it meanwhile."""
    waiting = Upload.objects.select_for_update().filter(
        pk=upload.pk, state=UploadState.VERIFYING, verifying_since=claim
    )
    return waiting.first()


def _make(upload: Upload, sha256: str, info: dict[str, Any], kept: KeptFiles) -> UUID:
    if upload.purpose == Purpose.CHECKPOINT:
        return checkpoint_accept(upload=upload, sha256=sha256, info=info, kept=kept).pk
    task = Task.objects.filter(pk=upload.form.get("task"), project=upload.project).first()
    if task is None:
        raise Refused(
            "upload.task", "The task of these records was removed. Choose another and upload them again."
        )
    return record_set_accept(
        project=upload.project,
        task=task,
        use=upload.purpose,
        sha256=sha256,
        info=info,
        filename=upload.filename,
        actor=upload.user,
        retention_days=upload.form.get("retention_days"),
    ).pk


def _refuse(upload: Upload, claim: Any, error: Refused) -> None:
    """The bytes go first, so that a refused upload never has any; the reason stays. Only where rows are bad
    among good ones do they wait for a day."""
    with transaction.atomic():
        held = _held(upload, claim)
        if held is None:
            return
        rest = "others" in error.detail and upload.purpose not in _NO_RECORDS
        held.kept_until = timezone.now() + KEPT if rest else None
        if rest:
            shutil.rmtree(scratch_path(upload.pk), ignore_errors=True)
        else:
            remove_files(upload)
        held.state, held.finished_at = UploadState.REFUSED, timezone.now()
        held.error_code, held.error_message = error.code, error.message
        held.error_detail = bad_lines(error.detail)
        held.save(
            update_fields=[
                "state", "finished_at", "kept_until", "error_code", "error_message", "error_detail",
            ]
        )  # fmt: skip
        audit.record(
            workspace=upload.project.workspace,
            actor=upload.user,
            verb="upload_refuse",
            target=upload,
            code=error.code,
            filename=upload.filename,
        )
