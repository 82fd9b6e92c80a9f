"""The upload application: connections that break, other requests in the way, and what comes after the end."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import os
from typing import TYPE_CHECKING, Any

import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.utils import timezone

from tests.webapp.uploads.conftest import announcement, incoming
from tests.webapp.uploads.wire import Answer, Browser, run, said
from webapp.core.store import room_left
from webapp.uploads import body, turns
from webapp.uploads.models import Upload
from webapp.uploads.receiving import PartFile
from webapp.uploads.selectors import part_path

if TYPE_CHECKING:
    from webapp.accounts.models import Workspace
    from webapp.projects.models import Project

pytestmark = pytest.mark.usefixtures("no_leftovers")


def last_byte(upload_id: str, when: dt.datetime) -> Any:
    return database_sync_to_async(Upload.objects.filter(pk=upload_id).update)(received_at=when)


def test_a_broken_connection_keeps_what_arrived(alice_at_work: Browser, project: Project) -> None:
    data = os.urandom(6_000_000)

    async def story() -> tuple[Answer, Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, len(data)))
        broken = await alice_at_work.patch(
            made.id, data[:5_000_000], content_length=str(len(data)), hang_up=True
        )
        stands = await alice_at_work.ask("HEAD", made.id)
        return broken, stands, await alice_at_work.patch(made.id, data[5_000_000:], 5_000_000)

    broken, stands, rest = run(story())
    assert broken.status == 0
    assert stands.headers["upload-offset"] == "5000000"
    assert rest.status == 204
    upload = Upload.objects.get()
    assert upload.sha256 == hashlib.sha256(data).hexdigest()
    assert part_path(upload.pk).read_bytes() == data


def test_a_broken_connection_before_the_first_byte_changes_nothing(
    alice_at_work: Browser, project: Project
) -> None:
    async def story() -> Any:
        made = await alice_at_work.announce(announcement(project, 4))
        await alice_at_work.patch(made.id, b"", content_length="4", hang_up=True)
        return await alice_at_work.patch(made.id, b"1234")

    assert run(story()).status == 204


def test_a55_a_sender_that_falls_asleep(
    alice_at_work: Browser, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "BODY_SECONDS", 0.05)

    async def story() -> Any:
        made = await alice_at_work.announce(announcement(project, 4))
        slow = await alice_at_work.patch(made.id, b"12", content_length="4", fall_asleep=True)
        await alice_at_work.patch(made.id, b"34", 2)
        return slow

    assert said(run(story())) == (408, "upload.stalled")
    assert Upload.objects.get().state == "verifying"


def test_how_far_it_is_is_told_while_it_comes(
    alice_at_work: Browser, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every so many bytes, and never the last one before the file is digested."""
    monkeypatch.setattr(body, "COMMIT_BYTES", 400)
    monkeypatch.setattr(body, "BLOCK_BYTES", 200)
    told: list[int] = []
    synced: list[int] = []
    sync = PartFile.sync

    def syncing(self: PartFile) -> int:
        synced.append(sync(self))
        return synced[-1]

    monkeypatch.setattr(PartFile, "sync", syncing)
    real = body.BodyWriter.__init__

    def listening(self: Any, part: Any, size: int, commit: Any, alive: Any) -> None:
        async def heard(reached: int) -> None:
            assert reached == synced[-1], "on the disk before anybody is told"
            told.append(reached)
            await commit(reached)

        real(self, part, size, heard, alive)

    monkeypatch.setattr(body.BodyWriter, "__init__", listening)

    async def story() -> Any:
        made = await alice_at_work.announce(announcement(project, 1_200))
        return await alice_at_work.patch(made.id, bytes(1_200), piece=100)

    assert run(story()).status == 204
    assert told == [400, 800]


def test_one_writer_only(alice_at_work: Browser, project: Project) -> None:
    data = os.urandom(200_000)

    async def story() -> list[Any]:
        made = await alice_at_work.announce(announcement(project, len(data)))
        return await asyncio.gather(*(alice_at_work.patch(made.id, data, piece=999) for _ in range(8)))

    answers = run(story())
    assert sorted(answer.status for answer in answers) == [204] + [409] * 7
    codes = {answer.json()["code"] for answer in answers if answer.status == 409}
    assert codes <= {"upload.busy", "upload.state", "upload.offset"}
    upload = Upload.objects.get()
    assert upload.state == "verifying"
    assert part_path(upload.pk).read_bytes() == data


@pytest.mark.parametrize("silent", [True, False])
def test_who_comes_back_takes_over_from_a_connection_that_died_silently(
    silent: bool, alice_at_work: Browser, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that still hears something is left alone."""
    monkeypatch.setattr(turns, "SILENT_SECONDS", 0.0 if silent else 60.0)
    began = asyncio.Event()
    monkeypatch.setattr(turns.Turn, "heard", lambda _: began.set())

    async def story() -> tuple[Answer, Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 8))
        dead = asyncio.ensure_future(
            alice_at_work.patch(made.id, b"1234", content_length="8", fall_asleep=True)
        )
        await began.wait()
        first = await alice_at_work.patch(made.id, b"12345678")
        stands = await alice_at_work.ask("HEAD", made.id)
        rest = await alice_at_work.patch(made.id, b"5678", 4)
        if not silent:
            dead.cancel()
        await asyncio.wait({dead})
        return first, stands, rest

    first, stands, rest = run(story())
    assert first.status == 409
    if silent:
        assert (first.json()["code"], stands.headers["upload-offset"]) == ("upload.offset", "4")
        assert rest.status == 204
        assert Upload.objects.get().sha256 == hashlib.sha256(b"12345678").hexdigest()
    else:
        assert said(first) == (409, "upload.busy")
        assert rest.json()["code"] == "upload.offset", "it has committed nothing yet"


def test_cancelling_twice_is_harmless(alice_at_work: Browser, project: Project) -> None:
    async def story() -> list[Any]:
        made = await alice_at_work.announce(announcement(project, 4), b"12")
        answers = [await alice_at_work.ask("DELETE", made.id) for _ in range(2)]
        return [
            *answers,
            await alice_at_work.ask("HEAD", made.id),
            await alice_at_work.patch(made.id, b"34", 2),
        ]

    first, second, asked, late = run(story())
    assert (first.status, first.body, second.status) == (204, b"", 204)
    assert (asked.status, asked.body) == (410, b"")
    assert said(late) == (410, "upload.cancelled")
    assert Upload.objects.get().state == "aborted"
    assert incoming() == []


def test_cancelled_while_the_bytes_come(alice_at_work: Browser, project: Project) -> None:
    """The other tab's Cancel wins; the file does not come back to life with the last byte."""

    async def story() -> Answer:
        made = await alice_at_work.announce(announcement(project, 8))
        going = asyncio.ensure_future(
            alice_at_work.patch(made.id, b"1234", content_length="8", fall_asleep=True)
        )
        while not part_path(made.id).exists():
            await asyncio.sleep(0.01)
        await alice_at_work.ask("DELETE", made.id)
        going.cancel()
        await asyncio.wait({going})
        return await alice_at_work.patch(made.id, b"1234")

    assert said(run(story())) == (410, "upload.cancelled")
    assert incoming() == []


def test_what_has_arrived_cannot_be_cancelled(alice_at_work: Browser, project: Project) -> None:
    async def story() -> tuple[Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 4), b"1234")
        return await alice_at_work.ask("DELETE", made.id), await alice_at_work.patch(made.id, b"", 4)

    cancelled, more = run(story())
    assert said(cancelled) == said(more) == (409, "upload.state")
    assert part_path(Upload.objects.get().pk).read_bytes() == b"1234"


@pytest.mark.parametrize("method", ["HEAD", "PATCH"])
def test_after_a_day_of_silence_it_is_gone(
    method: str, alice_at_work: Browser, project: Project, workspace: Workspace
) -> None:
    async def story() -> tuple[Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 4), b"12")
        await last_byte(made.id, timezone.now() - dt.timedelta(hours=23, minutes=59))
        alive = await alice_at_work.ask("HEAD", made.id)
        await last_byte(made.id, timezone.now() - dt.timedelta(hours=24))
        if method == "HEAD":
            return alive, await alice_at_work.ask("HEAD", made.id)
        return alive, await alice_at_work.patch(made.id, b"34", 2)

    alive, gone = run(story())
    assert (alive.status, gone.status) == (200, 410)
    upload = Upload.objects.get()
    assert (upload.state, upload.error_code) == ("aborted", "upload.expired")
    assert room_left(workspace) == workspace.quota_bytes, "its room is free again"
    assert incoming() == []


def test_bytes_that_vanished_from_the_disk(alice_at_work: Browser, project: Project) -> None:
    async def story() -> tuple[Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 4), b"12")
        part_path(made.id).unlink()
        lost = await alice_at_work.patch(made.id, b"34", 2)
        return lost, await alice_at_work.ask("HEAD", made.id)

    lost, asked = run(story())
    assert said(lost) == (410, "upload.lost")
    assert asked.status == 410
    assert Upload.objects.get().error_code == "upload.lost"


@pytest.mark.parametrize("told", ["right", "wrong"])
def test_the_sender_may_say_what_should_arrive(told: str, alice_at_work: Browser, project: Project) -> None:
    sha256 = hashlib.sha256(b"1234" if told == "right" else b"1235").hexdigest().upper()

    async def story() -> Answer:
        made = await alice_at_work.announce(announcement(project, 4, sha256=sha256))
        return await alice_at_work.patch(made.id, b"1234")

    answer = run(story())
    upload = Upload.objects.get()
    if told == "right":
        assert (answer.status, upload.state) == (204, "verifying")
    else:
        assert said(answer) == (422, "upload.checksum")
        assert (upload.state, upload.error_code) == ("refused", "upload.checksum")
        assert upload.sha256 == hashlib.sha256(b"1234").hexdigest()
        assert incoming() == []


@pytest.mark.parametrize(
    "path", ["/upload/x", "/upload/../admin", "/upload/00000000-0000-0000-0000-000000000000/y"]
)
def test_no_other_address_exists(path: str, alice_at_work: Browser) -> None:
    assert said(run(alice_at_work.send("POST", path))) == (404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "TRACE"])
def test_no_other_method_exists(method: str, alice_at_work: Browser, project: Project) -> None:
    async def story() -> Answer:
        made = await alice_at_work.announce(announcement(project, 4))
        return await alice_at_work.send(method, f"/upload/{made.id}", [b"1234"], content_length="4")

    assert said(run(story())) == (405, "request.method")


def test_answers_cannot_be_sniffed_or_cached(alice_at_work: Browser, project: Project) -> None:
    answer = run(alice_at_work.announce(announcement(project, 4)))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_a_server_that_cannot_write_says_so_and_keeps_nothing(
    alice_at_work: Browser, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "file").write_text("in the way of the folder")
    monkeypatch.setattr(settings, "INCOMING_DIR", tmp_path / "file")

    async def story() -> Any:
        made = await alice_at_work.announce(announcement(project, 4))
        return await alice_at_work.patch(made.id, b"1234")

    answer = run(story())
    assert said(answer) == (500, "store.failed")
    assert str(tmp_path) not in answer.body.decode()
    assert Upload.objects.get().state == "aborted"
    monkeypatch.undo()


def test_a_process_that_ends_asks_its_senders_to_come_back(alice_at_work: Browser, project: Project) -> None:
    async def story() -> tuple[Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 8))
        going = asyncio.ensure_future(
            alice_at_work.patch(made.id, b"1234", content_length="8", fall_asleep=True)
        )
        while not part_path(made.id).exists():
            await asyncio.sleep(0.01)
        while not going.done():
            await turns.leave()
            await asyncio.sleep(0.01)
        return await going, await alice_at_work.ask("HEAD", made.id)

    left, stands = run(story())
    assert said(left) == (503, "server.leaving")
    assert stands.headers["upload-offset"] in {"0", "4"}, "0: it had heard nothing yet"
