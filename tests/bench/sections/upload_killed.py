"""The web process is killed ten times in mid-body, started again and gone on with: is it the same file?"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from tests.bench.uploading import send

if TYPE_CHECKING:
    from tests.bench.uploading import Disk

KILLS, SEED = 10, 1
TARGETS = {"killed_other_hash": 0.0, "killed_claimed_too_much": 0.0}


def measure(disk: Disk, sizes: dict[str, int]) -> dict[str, Any]:
    """Between a half and one and a half of an equal share is sent before each kill, all in one request."""
    size, chance = sizes["mb"] * 10**6, random.Random(SEED)
    source, expected = disk.source(size)
    web, sent, claimed, offsets = disk.web(), 0, 0, []
    try:
        path = disk.sender(web).announce(disk.project, size)
        reached = 0
        for _ in range(KILLS):
            offset = disk.sender(web).offset(path)
            claimed += offset > reached
            length = min(int(size / (KILLS + 1) * chance.uniform(0.5, 1.5)), size - offset - 1)
            request = disk.sender(web).patch(path, offset, size - offset)
            send(request, source, offset, length)
            web.process.kill()
            web.process.wait()
            sent, reached = sent + length, offset + length
            offsets.append(offset)
            web = disk.web()
        offset = disk.sender(web).offset(path)
        request = disk.sender(web).patch(path, offset, size - offset)
        send(request, source, offset, size - offset)
        sent += size - offset
        if (answer := request.getresponse()).status != 204:
            raise SystemExit(f"{answer.status}: {answer.read()!r}")
    finally:
        web.stop()
    state, sha256 = disk.arrived(path)
    return {
        "killed_bytes": size,
        "killed_times": KILLS,
        "killed_went_on_at_mb": [round(each / 1e6) for each in [*offsets, offset]],
        "killed_sent_again_mb": round((sent - size) / 1e6),
        "killed_claimed_too_much": claimed,
        "killed_other_hash": int((state, sha256) != ("verifying", expected)),
    }
