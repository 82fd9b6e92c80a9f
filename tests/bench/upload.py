"""How big files come in over real HTTP, while people watch a night and while the web process is killed.

    python -m tests.bench.upload                        all sections, 8 GB
    python -m tests.bench.upload --mb 3000              with a smaller file
    python -m tests.bench.upload --only killed

Sections: speed (one file in requests of 64 MB, as the page sends it, beside `cp --reflink=never`, `sha256sum`
and `sync` of the same file in the same run, before and after; the growth of the web process; twenty viewers
on sockets watch a cycle meanwhile, ten frames a second), killed (kill -9 of the web process ten times in
mid-body, gone on with each time; the hash of what arrived).

Needs three times the file's size on the disk. Without DATABASE_URL it runs on the embedded server. The exit
code is 1 when a target is missed. Figures depend on what else the machine does; the load is printed beside
them.
"""

from __future__ import annotations

from tests.bench.command import run_sections
from tests.bench.uploading import disk

SECTIONS = ("speed", "killed")

if __name__ == "__main__":
    raise SystemExit(run_sections(__doc__, SECTIONS, "upload_", disk, {"mb": 8000}))
