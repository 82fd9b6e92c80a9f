"""Whatever happens on the way, by chance and from a seed: what arrives in the end is the file."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from tests.webapp.uploads.conftest import announcement
from tests.webapp.uploads.wire import Answer, Browser, run
from webapp.uploads import body, receiving
from webapp.uploads.models import Upload
from webapp.uploads.selectors import part_path

if TYPE_CHECKING:
    from webapp.projects.models import Project

pytestmark = pytest.mark.usefixtures("no_leftovers")
SIZE = 4_000


@pytest.mark.parametrize("seed", range(3))
def test_a_bad_network_changes_nothing(
    seed: int, alice_at_work: Browser, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken and lying requests, other offsets with other bytes, and processes that forget their digests."""
    monkeypatch.setattr(body, "BLOCK_BYTES", 50)
    monkeypatch.setattr(body, "COMMIT_BYTES", 170)
    chance = random.Random(seed)
    data = chance.randbytes(SIZE)

    async def misbehave(path: str, offset: int) -> Answer:
        length = chance.randint(0, min(600, SIZE - offset))
        right, piece = data[offset : offset + length], chance.randint(1, 99)
        match chance.choice(["whole", "broken", "short", "long", "elsewhere"]):
            case "whole":
                return await alice_at_work.patch(path, right, offset, piece=piece)
            case "broken":
                rest = str(SIZE - offset)
                return await alice_at_work.patch(
                    path, right, offset, piece=piece, content_length=rest, hang_up=True
                )
            case "short":
                told = str(min(length + 7, SIZE - offset))
                return await alice_at_work.patch(path, right, offset, piece=piece, content_length=told)
            case "long":
                more = right + b"what nobody announced"
                return await alice_at_work.patch(path, more, offset, piece=piece, content_length=str(length))
        wrong = chance.choice([place for place in (0, offset - 1, offset + 1) if 0 <= place != offset])
        return await alice_at_work.patch(path, b"x" * min(9, SIZE - wrong), wrong)

    async def story() -> list[int]:
        made = await alice_at_work.announce(announcement(project, SIZE))
        reached = [0]
        while reached[-1] < SIZE:
            if chance.random() < 0.3:
                receiving._digests.clear()
            answer = await misbehave(made.id, reached[-1])
            assert answer.status in {0, 204, 400, 409, 413}
            stands = await alice_at_work.ask("HEAD", made.id)
            reached.append(int(stands.headers["upload-offset"]))
        return reached

    reached = run(story())
    assert reached == sorted(reached)
    upload = Upload.objects.get()
    assert (upload.state, upload.sha256) == ("verifying", hashlib.sha256(data).hexdigest())
    assert part_path(upload.pk).read_bytes() == data
