"""Writing frames: the one way in which anything enters a cycle's live stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from webapp.core.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

STATE: Final = "state"
NOTE: Final = "note"
DATA: Final = "data"
CHANNEL: Final = "frames"
# A flush holds at most 256 points; ten columns of them and their events fit several times.
PAYLOAD_LIMIT: Final = 256 * 1024
# Parts of a payload that are numbers only; each is stored in a column of its own and rolled up.
MEASURED: Final = ("points", "device")
PROGRESS_COLUMNS: Final = frozenset(
    {"stage", "progress", "step", "total_steps", "energy_wh", "energy_source"}
)


class LeaseLost(Conflict):
    """The cycle goes on under another epoch: whoever holds this one must stop writing."""

    def __init__(self) -> None:
        super().__init__("cycle.lease_lost", "Another worker has taken this cycle over.")


def frame_write(
    *,
    cycle_id: UUID,
    epoch: int | None,
    kind: str,
    payload: Mapping[str, Any],
    progress: Mapping[str, Any] | None = None,
) -> int:
    """Number and store one frame inside the caller's transaction, and ring `frames` when it commits.

    Args:
        cycle_id: whose stream.
        epoch: the writer's epoch, checked in the same statement; None for people, the clock and the reaper.
        kind: "state", "data" or "note".
        payload: JSON-able, at most PAYLOAD_LIMIT bytes, without NaN.
        progress: some of PROGRESS_COLUMNS, kept in the cycle's row for whoever opens the page next.

    Returns:
        The frame's number: one more than the cycle's last, whoever wrote that.

    Raises:
        LeaseLost: the epoch is over (or there is no such cycle); nothing was written.
        ValueError: the payload is too large or not JSON.
    """
    measured = {name: _json(payload[name]) if payload.get(name) else None for name in MEASURED}
    rest = _json({name: value for name, value in payload.items() if name not in MEASURED})
    size = len(rest) + sum(len(text) for text in measured.values() if text)
    if size > PAYLOAD_LIMIT:
        raise ValueError(f"a frame of {size} bytes is over the limit of {PAYLOAD_LIMIT}")
    kept = dict(progress or {})
    if not kept.keys() <= PROGRESS_COLUMNS:
        raise ValueError(f"not columns of progress: {sorted(kept.keys() - PROGRESS_COLUMNS)}")
    telling = kind != DATA or bool(payload.get("events")) or "resume_step" in payload
    sets = "".join(f", {name} = %({name})s" for name in sorted(kept))
    fence = "" if epoch is None else "AND epoch = %(epoch)s"
    sql = f"""
        WITH taken AS (
            UPDATE cycles_cycle SET seq = seq + 1{sets} WHERE id = %(cycle)s {fence}
            RETURNING id, seq, epoch, started_at
        ), written AS (
            INSERT INTO live_frame
                (cycle_id, seq, epoch, t_ms, kind, payload, points, device, telling, committed_at)
            SELECT id, seq, epoch,
                   coalesce(extract(epoch FROM clock_timestamp() - started_at) * 1000, 0)::bigint,
                   %(kind)s, %(payload)s::jsonb, %(points)s, %(device)s, %(telling)s, clock_timestamp()
            FROM taken RETURNING seq
        )
        SELECT seq, pg_notify(%(channel)s, %(cycle)s::text) FROM written
    """  # noqa: S608  (only names from PROGRESS_COLUMNS are pasted in)
    values = kept | measured | {
        "cycle": str(cycle_id), "epoch": epoch, "kind": kind, "payload": rest,
        "telling": telling, "channel": CHANNEL,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        row = cursor.fetchone()
    if row is None:
        raise LeaseLost
    return int(row[0])


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
