"""The upload application: the whole way of a file, and exactly which bytes it takes."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import os
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from tests.webapp.uploads.conftest import announcement
from tests.webapp.uploads.wire import Answer, Browser, run, said
from webapp.core.errors import NocturneError
from webapp.core.models import AuditEntry
from webapp.uploads import body, tus
from webapp.uploads.models import Upload
from webapp.uploads.selectors import part_path

if TYPE_CHECKING:
    from webapp.projects.models import Project
    from webapp.uploads.body import Scope

pytestmark = pytest.mark.usefixtures("no_leftovers")


def test_a_file_arrives_byte_by_byte(alice_at_work: Browser, project: Project, model: bytes) -> None:
    async def story() -> tuple[Any, Any]:
        made = await alice_at_work.announce(announcement(project, len(model)))
        return made, await alice_at_work.patch(made.id, model, piece=7)

    made, sent = run(story())
    assert (made.status, made.headers["upload-offset"], made.body) == (201, "0", b"")
    assert (sent.status, sent.headers["upload-offset"], sent.body) == (204, str(len(model)), b"")
    assert "upload-expires" not in sent.headers
    upload = Upload.objects.get()
    assert (upload.state, upload.received_bytes) == ("verifying", len(model))
    assert upload.sha256 == hashlib.sha256(model).hexdigest()
    assert part_path(upload.pk).read_bytes() == model
    assert list(AuditEntry.objects.filter(object_type="upload").values_list("verb", flat=True)) == [
        "upload_create"
    ]
    assert AuditEntry.objects.get(verb="upload_create").actor == upload.user


def test_a_file_of_many_blocks_in_three_requests(alice_at_work: Browser, project: Project) -> None:
    data = os.urandom(3 * body.BLOCK_BYTES + 12_345)
    cuts = [0, 1_000_000, 2_500_001, len(data)]

    async def story() -> tuple[str, list[Answer]]:
        made = await alice_at_work.announce(announcement(project, len(data)))
        parts = itertools.pairwise(cuts)
        return made.id, [await alice_at_work.patch(made.id, data[low:high], low) for low, high in parts]

    upload_id, answers = run(story())
    assert [answer.headers["upload-offset"] for answer in answers] == [str(cut) for cut in cuts[1:]]
    assert part_path(upload_id).read_bytes() == data
    assert Upload.objects.get().sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("first", [b"12", b"123456"])
def test_the_first_bytes_come_with_the_announcement(
    first: bytes, alice_at_work: Browser, project: Project
) -> None:
    made = run(alice_at_work.announce(announcement(project, 6), first))
    assert (made.status, made.headers["upload-offset"]) == (201, str(len(first)))
    upload = Upload.objects.get()
    assert upload.state == ("verifying" if len(first) == 6 else "receiving")
    assert part_path(upload.pk).read_bytes()[: len(first)] == first


def test_what_is_spoken_here(alice_at_work: Browser) -> None:
    answer = run(alice_at_work.send("OPTIONS", "/upload/"))
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"
    assert answer.headers["tus-extension"] == "creation,creation-with-upload,termination,expiration"
    assert "content-length" not in answer.headers


def test_where_it_stands(alice_at_work: Browser, project: Project) -> None:
    async def story() -> tuple[Answer, Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 6))
        fresh = await alice_at_work.ask("HEAD", made.id)
        await alice_at_work.patch(made.id, b"1234")
        going = await alice_at_work.ask("HEAD", made.id)
        await alice_at_work.patch(made.id, b"56", 4)
        return fresh, going, await alice_at_work.ask("HEAD", made.id)

    answers = run(story())
    assert [answer.status for answer in answers] == [200] * 3
    assert [answer.headers["upload-offset"] for answer in answers] == ["0", "4", "6"]
    assert {answer.headers["upload-length"] for answer in answers} == {"6"}
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    until = [parsedate_to_datetime(answer.headers["upload-expires"]) for answer in answers[:2]]
    assert dt.timedelta(minutes=59) < until[0] - timezone.now() <= dt.timedelta(hours=1), "nothing came"
    assert dt.timedelta(hours=23, minutes=59) < until[1] - timezone.now() <= dt.timedelta(hours=24)
    assert "upload-expires" not in answers[2].headers


BODIES: dict[str, tuple[int, str, dict[str, Any]]] = {
    "no-length": (400, "upload.length", {"content_length": None}),
    "length-empty": (400, "upload.length", {"content_length": ""}),
    "length-a-word": (400, "upload.length", {"content_length": "ten"}),
    "length-negative": (400, "upload.length", {"content_length": "-4"}),
    "length-over": (413, "upload.length", {"content_length": "5"}),
    "length-absurd": (413, "upload.length", {"content_length": "9" * 40}),
    "chunked": (400, "upload.length", {"content_length": None, "transfer_encoding": "chunked"}),
    "both": (400, "upload.length", {"transfer_encoding": "chunked"}),
    "offset-missing": (400, "upload.length", {"upload_offset": None}),
    "offset-a-word": (400, "upload.length", {"upload_offset": "0x0"}),
    "offset-ahead": (409, "upload.offset", {"upload_offset": "2", "content_length": "2"}),
    "offset-far": (409, "upload.offset", {"upload_offset": "99", "content_length": "0"}),
    "type-missing": (415, "upload.type", {"content_type": None}),
    "type-another": (415, "upload.type", {"content_type": "application/octet-stream"}),
    "version-missing": (412, "tus.version", {"tus_resumable": None}),
    "version-another": (412, "tus.version", {"tus_resumable": "0.2.2"}),
}


@pytest.mark.parametrize("row", BODIES)
def test_a55_a_request_that_is_not_as_it_must_be(row: str, alice_at_work: Browser, project: Project) -> None:
    status, code, options = BODIES[row]

    async def story() -> tuple[Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 4))
        wrong = await alice_at_work.patch(made.id, b"1234", **options)
        return wrong, await alice_at_work.patch(made.id, b"1234")

    answer, right = run(story())
    assert said(answer) == (status, code)
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert ("tus-version" in answer.headers) == (status == 412)
    assert right.status == 204, "and it harmed nothing"


@pytest.mark.parametrize("method", ["POST", "HEAD", "DELETE"])
def test_every_method_says_which_version_it_speaks(
    method: str, alice_at_work: Browser, project: Project
) -> None:
    async def story() -> Answer:
        if method == "POST":
            return await alice_at_work.announce(announcement(project, 4), tus_resumable=None)
        made = await alice_at_work.announce(announcement(project, 4))
        return await alice_at_work.ask(method, made.id, tus_resumable=None)

    answer = run(story())
    assert (answer.status, answer.headers["tus-version"]) == (412, "1.0.0")


@pytest.mark.parametrize("low", [0, 3])
def test_a71_a_chunk_at_an_old_offset_overwrites_nothing(
    low: int, alice_at_work: Browser, project: Project
) -> None:
    async def story() -> Answer:
        made = await alice_at_work.announce(announcement(project, 10), b"12345")
        old = await alice_at_work.patch(made.id, b"xx", low)
        await alice_at_work.patch(made.id, b"67890", 5)
        return old

    answer = run(story())
    assert said(answer) == (409, "upload.offset")
    assert (answer.headers["upload-offset"], answer.json()["detail"]) == ("5", {"offset": 5})
    assert part_path(Upload.objects.get().pk).read_bytes() == b"1234567890"


def test_a71_an_end_before_all_bytes_is_no_end(alice_at_work: Browser, project: Project) -> None:
    async def story() -> tuple[Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 10), b"12345")
        return await alice_at_work.patch(made.id, b"", 5), await alice_at_work.patch(made.id, b"", 10)

    empty, ahead = run(story())
    assert (empty.status, empty.headers["upload-offset"]) == (204, "5")
    assert said(ahead) == (409, "upload.offset")
    assert Upload.objects.get().state == "receiving"


@pytest.mark.parametrize(
    ("data", "status", "code", "kept"),
    [(b"12345678", 413, "upload.length", 0), (b"12", 400, "upload.truncated", 2)],
)
def test_a55_a_body_that_breaks_its_promise(
    data: bytes, status: int, code: str, kept: int, alice_at_work: Browser, project: Project
) -> None:
    async def story() -> Any:
        made = await alice_at_work.announce(announcement(project, 4))
        wrong = await alice_at_work.patch(made.id, data, content_length="4")
        await alice_at_work.patch(made.id, b"1234"[kept:], kept)
        return wrong

    assert said(run(story())) == (status, code)
    assert Upload.objects.get().sha256 == hashlib.sha256(b"1234").hexdigest()


def test_a55_what_comes_after_the_last_byte_does_not_end_a_file(
    alice_at_work: Browser, project: Project
) -> None:
    async def story() -> Any:
        made = await alice_at_work.announce(announcement(project, 4))
        return await alice_at_work.patch(made.id, b"12345678", content_length="4", piece=4)

    assert said(run(story())) == (413, "upload.length")
    assert Upload.objects.get().state == "receiving"


def test_a_header_that_comes_twice_is_refused() -> None:
    """Two readers of such a request, a proxy and we, may believe two things."""
    twice: Scope = {"headers": [(b"upload-offset", b"0"), (b"upload-offset", b"4")]}
    with pytest.raises(NocturneError, match="more than once") as caught:
        tus.claimed_offset(twice)
    assert (caught.value.status, caught.value.code) == (400, "request.invalid")
