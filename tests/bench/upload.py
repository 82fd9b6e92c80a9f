"""How fast a big file comes in over real HTTP, against the same work done by cp and sha256sum on the same
disk.

    DATABASE_URL=postgresql://... python -m tests.bench.upload [--gb 2] [--port 8250]

Prints one JSON object: seconds of the upload (PUT to answer: received, digested, synced), seconds of `cp
--reflink=never` + `sha256sum` + fsync of the same file in the same run, their ratio (at most 2.5), and how
much the web process grew (at most 64 MB). Needs a PostgreSQL that it may migrate; it cleans up after itself.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RATIO_MOST, GROWTH_MOST = 2.5, 64 * 2**20
BLOCK = 4 * 2**20


def main() -> int:
    """Run it. Exit status 1 when a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=2.0)
    parser.add_argument("--port", type=int, default=8250)
    given = parser.parse_args()
    size = int(given.gb * 10**9)
    with tempfile.TemporaryDirectory(prefix="nocturne-bench-") as folder:
        figures = measure(Path(folder), size, given.port)
    print(json.dumps(figures, indent=1))
    return 0 if figures["ratio"] <= RATIO_MOST and figures["growth_bytes"] <= GROWTH_MOST else 1


def measure(folder: Path, size: int, port: int) -> dict[str, Any]:
    """One upload and one baseline, in a data folder of its own."""
    os.environ |= {
        "NOCTURNE_DATA": str(folder / "data"),
        "NOCTURNE_URL": f"http://127.0.0.1:{port}",
        "NOCTURNE_QUOTA_GB": "100",
        "DJANGO_SETTINGS_MODULE": "webapp.config.settings",
        "CELERY_BROKER_URL": "memory://",
    }
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    source = folder / "source"
    random_file(source, size)
    workspace, cookie, project = person()
    server = subprocess.Popen([sys.executable, "-m", "workers.web", "--port", str(port)], cwd=ROOT)
    try:
        wait_for(port)
        # The first request loads what every request needs; growth is counted from there.
        headers = {
            "Origin": f"http://127.0.0.1:{port}", "X-CSRFToken": "a" * 32,
            "Cookie": f"nocturne={cookie}; nocturne-csrf={'a' * 32}",
        }  # fmt: skip
        warm = folder / "warm"
        random_file(warm, 50_000_000)
        upload(warm, port, headers, project)
        before = rss(server.pid)
        peak = Peak(server.pid)
        answer, seconds = upload(source, port, headers, project)
        growth = peak.stop() - before
    finally:
        server.terminate()
        server.wait(20)
        workspace.delete()
    base, digest = baseline(source, folder / "copy")
    if answer["sha256"] != digest:
        raise AssertionError("the server's digest is not the file's")
    return {
        "bytes": size,
        "upload_seconds": round(seconds, 2),
        "upload_mb_per_second": round(size / seconds / 1e6),
        "baseline_seconds": round(base, 2),
        "ratio": round(seconds / base, 2),
        "growth_bytes": growth,
        "rss_before_bytes": before,
    }


def random_file(path: Path, size: int) -> None:
    """Random bytes, on disk: neither sparse nor compressible."""
    with path.open("wb") as handle:
        for start in range(0, size, BLOCK):
            handle.write(secrets.token_bytes(min(BLOCK, size - start)))
        handle.flush()
        os.fsync(handle.fileno())


def person() -> tuple[Any, str, str]:
    """A workspace with one editor who is logged in: (workspace, session key, project id)."""
    from django.test import Client

    from webapp.accounts.choices import Role
    from webapp.accounts.models import Membership, User, Workspace
    from webapp.projects.services import project_create

    workspace = Workspace.objects.create(name="Bench", quota_bytes=10**11)
    user = User.objects.create_user(f"{secrets.token_hex(4)}@example.org", None)
    Membership.objects.create(workspace=workspace, user=user, role=Role.EDITOR)
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    project = project_create(actor=user, workspace=workspace, name="bench")
    return workspace, client.cookies["nocturne"].value, str(project.pk)


def upload(path: Path, port: int, headers: dict[str, str], project: str) -> tuple[dict[str, Any], float]:
    """Announce and send a file; the time is that of the PUT."""
    size = path.stat().st_size
    about = {
        "project": project, "purpose": "checkpoint", "filename": "bench.safetensors", "size": size, "form": {}
    }  # fmt: skip
    made = ask(
        port, "POST", "/upload/", json.dumps(about).encode(), headers | {"Content-Type": "application/json"}
    )
    began = time.perf_counter()
    with path.open("rb") as body:
        answer = ask(port, "PUT", f"/upload/{made['id']}", body, headers | {"Content-Length": str(size)})
    return answer, time.perf_counter() - began


def ask(port: int, method: str, path: str, body: Any, headers: dict[str, str]) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600, blocksize=2**18)
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    found: dict[str, Any] = json.loads(answer.read())
    connection.close()
    if answer.status >= 300:
        raise AssertionError(f"{answer.status}: {found}")
    return found


def baseline(source: Path, copy: Path) -> tuple[float, str]:
    """cp, sha256sum, fsync, one after the other."""
    began = time.perf_counter()
    subprocess.run(["cp", "--reflink=never", str(source), str(copy)], check=True)
    done = subprocess.run(["sha256sum", str(copy)], check=True, capture_output=True, text=True)
    subprocess.run(["sync", str(copy)], check=True)
    seconds = time.perf_counter() - began
    return seconds, done.stdout.split()[0]


def rss(pid: int) -> int:
    """Resident bytes of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


class Peak:
    """Watches a process's resident memory from a thread."""

    def __init__(self, pid: int) -> None:
        self._pid, self._most, self._over = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self._most = max(self._most, rss(self._pid))

    def stop(self) -> int:
        """The most that was seen."""
        self._over.set()
        self._thread.join()
        return self._most


def wait_for(port: int) -> None:
    """Until the server answers."""
    for _ in range(600):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/healthz")
            connection.getresponse()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the web process did not start")


if __name__ == "__main__":
    if shutil.which("sha256sum") is None:
        sys.exit("This needs cp, sha256sum and sync from GNU coreutils.")
    sys.exit(main())
