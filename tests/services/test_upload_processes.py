"""Uploads and several web processes: one writer among them all, and none of them needed to live on."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from django.conf import settings

from tests.support.jobs import Lab, eventually
from tests.webapp.live.people import start_web
from tests.webapp.uploads.over_http import Sender
from webapp.uploads.body import COMMIT_BYTES
from webapp.uploads.models import Upload
from webapp.uploads.selectors import part_path

if TYPE_CHECKING:
    from tests.webapp.live.people import Web

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]


def beyond(offset: int) -> bool:
    """Whether more than that is committed."""
    return Upload.objects.values_list("received_bytes", flat=True).get() > offset


def test_two_processes_never_both_write_one_file(lab: Lab, database_url: str) -> None:
    """Two requests at the same offset, each sending half first: one is told that it is late, in whichever
    process it is."""
    data = os.urandom(3_000_000)
    half = len(data) // 2
    with ThreadPoolExecutor(2) as pool:
        webs: list[Web] = list(pool.map(lambda _: start_web(database_url, settings.DATA_DIR), range(2)))
    try:
        senders = [Sender(web, lab.alice) for web in webs]
        path = senders[0].announce(lab.project, len(data))
        part = part_path(path.removeprefix("/upload/"))
        first = senders[0].patch(path, 0, len(data))
        first.send(data[:half])
        eventually(part.exists, what="the first byte")

        second = senders[1].patch(path, 0, len(data))
        late = second.getresponse()
        assert (late.status, json.loads(late.read())["code"]) == (409, "upload.busy")
        first.send(data[half:])
        assert first.getresponse().status == 204
        again = senders[1].patch(path, 0, len(data)).getresponse()
        assert (again.status, json.loads(again.read())["code"]) == (409, "upload.state")
    finally:
        for web in webs:
            web.stop()
    upload = Upload.objects.get()
    assert (upload.state, upload.sha256) == ("verifying", hashlib.sha256(data).hexdigest())
    assert part.read_bytes() == data
    part.unlink()


def test_what_one_process_received_another_goes_on_with(lab: Lab, database_url: str) -> None:
    """In turns, so that no process has seen every byte: the file is digested anew at its end."""
    data = os.urandom(4_000_000)
    with ThreadPoolExecutor(2) as pool:
        webs: list[Web] = list(pool.map(lambda _: start_web(database_url, settings.DATA_DIR), range(2)))
    try:
        senders = [Sender(web, lab.alice) for web in webs]
        path = senders[0].announce(lab.project, len(data))
        for turn, low in enumerate(range(0, len(data), 1_000_000)):
            sender = senders[turn % 2]
            assert sender.offset(path) == low
            request = sender.patch(path, low, 1_000_000)
            request.send(data[low : low + 1_000_000])
            assert request.getresponse().status == 204
    finally:
        for web in webs:
            web.stop()
    upload = Upload.objects.get()
    assert (upload.state, upload.sha256) == ("verifying", hashlib.sha256(data).hexdigest())
    part_path(upload.pk).unlink()


def test_killed_three_times_in_the_middle_of_a_body(lab: Lab, database_url: str) -> None:
    """SIGKILL; what the next process says to have is there, byte for byte."""
    data = memoryview(os.urandom(2 * COMMIT_BYTES + 40_000_000))
    web = start_web(database_url, settings.DATA_DIR)
    try:
        path = Sender(web, lab.alice).announce(lab.project, len(data))
        part = part_path(path.removeprefix("/upload/"))
        sent = 0
        # Once after so many bytes that some are committed, once after too few for that, and once more.
        for more, commits in ((COMMIT_BYTES + 9_000_000, True), (20_000_000, False), (COMMIT_BYTES, True)):
            sender = Sender(web, lab.alice)
            offset = sender.offset(path)
            request = sender.patch(path, offset, len(data) - offset)
            request.send(data[offset : offset + more])
            sent = max(sent, offset + more)
            if commits:
                eventually(functools.partial(beyond, offset), what="bytes that are committed")
            web.process.kill()
            web.process.wait()
            web = start_web(database_url, settings.DATA_DIR)
            offset = Sender(web, lab.alice).offset(path)
            assert offset <= sent
            with part.open("rb") as handle:
                assert handle.read(offset) == data[:offset]
        assert offset >= 2 * COMMIT_BYTES
        rest = Sender(web, lab.alice).patch(path, offset, len(data) - offset)
        rest.send(data[offset:])
        assert rest.getresponse().status == 204
    finally:
        web.stop()
    upload = Upload.objects.get()
    assert (upload.state, upload.sha256) == ("verifying", hashlib.sha256(data).hexdigest())
    part.unlink()


def test_a_web_process_that_is_asked_to_stop_keeps_what_arrived(lab: Lab, database_url: str) -> None:
    """A deploy in the middle of an upload costs nothing."""
    data = os.urandom(5_000_000)
    web = start_web(database_url, settings.DATA_DIR)
    path = Sender(web, lab.alice).announce(lab.project, len(data))
    part = part_path(path.removeprefix("/upload/"))
    request = Sender(web, lab.alice).patch(path, 0, len(data))
    request.send(data[:3_000_000])
    eventually(part.exists, what="the first byte")
    web.stop()
    web = start_web(database_url, settings.DATA_DIR)
    try:
        offset = Sender(web, lab.alice).offset(path)
        assert offset == 3_000_000
        rest = Sender(web, lab.alice).patch(path, offset, len(data) - offset)
        rest.send(data[offset:])
        assert rest.getresponse().status == 204
    finally:
        web.stop()
    assert Upload.objects.get().sha256 == hashlib.sha256(data).hexdigest()
    part.unlink()
