"""The walls around the child that opens foreign files: what it tries from inside must fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workers.confine import confinement_level

ROOT = Path(__file__).resolve().parent.parent.parent

BEGIN = """
import sys
from pathlib import Path
from workers.confine import confine, python_folders
scratch, allowed = Path(sys.argv[1]), Path(sys.argv[2])
walls = confine(read=[allowed, *python_folders()], write=scratch, cpu_seconds=3, file_bytes=1_000_000)
"""


def inside(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code behind the walls; `tmp_path/allowed` may be read, `tmp_path/scratch` written."""
    (tmp_path / "scratch").mkdir(exist_ok=True)
    (tmp_path / "allowed").write_text("may be read")
    (tmp_path / "secret_key").write_text("must not be read")
    return subprocess.run(
        [sys.executable, "-c", BEGIN + code, str(tmp_path / "scratch"), str(tmp_path / "allowed")],
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_level_is_measured() -> None:
    level = confinement_level()
    assert level.startswith("limits")
    if sys.platform == "linux":
        assert "no new privileges" in level
        assert "system calls" in level or os.uname().machine not in {"x86_64", "aarch64"}


def test_what_is_allowed_still_works(tmp_path: Path) -> None:
    done = inside(
        tmp_path,
        "import numpy, zipfile, json\n"
        "assert allowed.read_text() == 'may be read'\n"
        "(scratch / 'out').write_bytes(bytes(1000)); (scratch / 'x').touch(); (scratch / 'x').unlink()\n"
        "print('fine')",
    )
    assert done.stdout == "fine\n", done.stderr


# Only Linux has walls; elsewhere there are the limits, and the level says so.
WALLS = {
    "a-socket": "import socket; socket.socket().connect(('127.0.0.1', 5432))",
    "a-unix-socket": "import socket; socket.socket(socket.AF_UNIX).connect('/tmp/x')",
    "a-program": "import os; os.execv('/bin/sh', ['sh', '-c', 'true'])",
    "a-child": "import os; os.fork()",
    "a-shell": "import subprocess; subprocess.run(['true'], check=True)",
    "a-signal": "import os; os.kill(os.getppid(), 0)",
    "the-secret-key": "(allowed.parent / 'secret_key').read_text()",
    "the-password-file": "Path('/etc/passwd').read_text()",
    "its-parents-environment": "import os; Path(f'/proc/{os.getppid()}/environ').read_bytes()",
    "the-data-folder": "list(allowed.parent.iterdir())",
    "a-file-outside": "(allowed.parent / 'mine').write_text('x')",
    "the-file-it-reads": "allowed.write_text('x')",
    "a-link": "(scratch / 'l').symlink_to('/etc/passwd')",
    "privileges": "import os; os.setuid(12345); os.setuid(0)",
}
LIMITS = {
    "a-huge-file": "(scratch / 'big').write_bytes(bytes(2_000_000))",
    "much-memory": "bytearray(4 * 2**30)",
    "many-files": "kept = [open(allowed) for _ in range(100)]",
}
FORBIDDEN = (WALLS if sys.platform == "linux" else {}) | LIMITS


@pytest.mark.parametrize("attempt", FORBIDDEN)
def test_what_is_forbidden_fails(attempt: str, tmp_path: Path) -> None:
    code = f"""
try:
    {FORBIDDEN[attempt]}
except (OSError, MemoryError) as error:
    print("refused", type(error).__name__)
else:
    print("done", walls)
"""
    done = inside(tmp_path, code)
    assert done.stdout.startswith("refused"), (done.stdout, done.stderr)
    assert not (tmp_path / "mine").exists()
    assert (tmp_path / "allowed").read_text() == "may be read"


def test_endless_computing_is_ended(tmp_path: Path) -> None:
    done = inside(tmp_path, "while True: pass")
    assert done.returncode < 0


def test_the_child_answers_in_json_and_names_its_walls(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "file").write_bytes(b"\x80\x04\x95garbage")
    request = {
        "purpose": "checkpoint", "path": str(tmp_path / "file"), "out": str(tmp_path / "scratch" / "out"),
        "filename": "model.pt", "family": None, "config": None, "limit_bytes": 1000, "cpu_seconds": 20,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "workers.inspect"],
        input=json.dumps(request),
        env={"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        cwd=tmp_path / "scratch",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    answer = json.loads(done.stdout)
    assert answer["ok"] is False
    assert answer["error"]["code"] == "pickle.malformed"
    assert answer["walls"][0] == "limits"
    assert done.returncode == 0


def test_the_child_imports_neither_django_nor_torch() -> None:
    code = (
        "import sys, workers.inspect, consolidation.formats.checkpoint, consolidation.formats.records; "
        "print([m for m in ('django', 'torch', 'celery', 'pickle') if m in sys.modules and m != 'pickle'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"
