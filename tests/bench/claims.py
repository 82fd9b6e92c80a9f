"""Measures the job side: claims, and how soon a killed or a cancelled cycle moves on; real processes.

    python -m tests.bench.claims                          all sections
    python -m tests.bench.claims --only throughput        some of them
    python -m tests.bench.claims --json                   one JSON object on the last line

Sections: throughput (claims a second by 16 claimers from 10,000 waiting cycles of 1,000 projects, and that
none was taken twice), growth (the p95 of a claim with 100,000 ended cycles beside one with 100), requeue (a
worker is killed together with its trainer: when does its cycle run again?), cancel (at a step, and of a
trainer that listens to nothing).

Without DATABASE_URL it runs on an embedded server of its own that keeps every promise (fsync on); with it, in
databases that it makes there and drops afterwards, for which it must be a superuser's. The exit code is 1
when a target is missed. Figures depend on what else the machine does; the load is printed beside them.
"""

from __future__ import annotations

from tests.bench.command import run_sections
from tests.bench.database import server

SECTIONS = ("throughput", "growth", "requeue", "cancel")
SIZES = {
    "claimers": 16, "projects": 1000, "queued": 10_000, "finished": 100_000, "claims": 1000, "times": 5,
}  # fmt: skip

if __name__ == "__main__":
    raise SystemExit(run_sections(__doc__, SECTIONS, "claims_", server, SIZES))
