"""How fast one big file comes in beside `cp` + `sha256sum` + `sync`, and what twenty viewers notice of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.bench import watching, writers
from tests.bench.site import cycles, percentile
from tests.bench.uploading import Peak, baseline, upload

if TYPE_CHECKING:
    from tests.bench.uploading import Disk

PEOPLE, A_PERSON, RATE = 4, 5, 10.0
# The writer of frames is ended with the upload; it must not end before.
LONG = 1_800.0
LEAST = {"speed_ratio": 0.4}
TARGETS = {"speed_growth_mb": 64.0, "speed_latest_frame_ms": 1000.0, "speed_frames_lost": 0.0}


def measure(disk: Disk, sizes: dict[str, int]) -> dict[str, Any]:
    """Baseline, upload with viewers, baseline again; the faster baseline counts."""
    source, expected = disk.source(sizes["mb"] * 10**6)
    small = disk.data / "small"
    with source.open("rb") as handle:
        small.write_bytes(handle.read(50_000_000))
    before, digest = baseline(source)
    web = disk.web()
    try:
        sender = disk.sender(web)
        # The first requests load what every request needs; growth is counted from there.
        disk.arrived(upload(sender, disk.project, small)[0])
        (cycle,), sessions = cycles(1, people=PEOPLE)
        viewers = watching.start(web.port, cycle.pk, cycle.seq, sessions, A_PERSON)
        frames = writers.start([cycle], seconds=LONG, rate=RATE)
        peak = Peak(web.process.pid)
        path, seconds = upload(sender, disk.project, source)
        growth = peak.stop()
        for writer in frames:
            writer.terminate()
            writer.wait()
        cycle.refresh_from_db()
        seen = watching.finish(viewers, cycle.seq)
    finally:
        web.stop()
    state, sha256 = disk.arrived(path)
    after, _ = baseline(source)
    if (state, sha256, digest) != ("verifying", expected, expected):
        raise SystemExit("what arrived is not what was sent")
    return {
        "speed_bytes": sizes["mb"] * 10**6,
        "speed_seconds": round(seconds, 2),
        "speed_mb_per_second": round(sizes["mb"] / seconds),
        "speed_baseline_seconds": [round(before, 2), round(after, 2)],
        "speed_ratio": round(min(before, after) / seconds, 2),
        "speed_growth_mb": round(growth / 2**20, 1),
        "speed_frames": len(seen["delays"]),
        "speed_frames_lost": seen["lost"],
        "speed_p99_frame_ms": round(percentile(seen["delays"], 0.99), 1),
        "speed_latest_frame_ms": round(max(seen["delays"]), 1),
    }
