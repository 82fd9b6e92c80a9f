"""The trainer's walls: no network, no foreign files, no file larger than it may be; threads still start."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from workers.confine import confinement_level

ROOT = Path(__file__).resolve().parents[2]
TRIES = textwrap.dedent(
    """
    import errno, json, socket, sys, threading
    from pathlib import Path
    from workers.confine import confine_trainer, python_folders

    mine, foreign, given = map(Path, sys.argv[1:4])
    port, device = int(sys.argv[4]), sys.argv[5]
    walls = confine_trainer(
        read=[*python_folders(), given], write=mine, file_bytes=1000, memory_bytes=512 * 2**20, device=device
    )

    def tried(action):
        try:
            action()
        except (OSError, MemoryError) as error:
            return type(error).__name__ if isinstance(error, MemoryError) else errno.errorcode[error.errno]
        return "done"

    heard = []
    thread = threading.Thread(target=lambda: heard.append(tried(given.read_bytes)))
    thread.start(); thread.join()
    (mine / "out").mkdir()
    (mine / "out" / "a").write_bytes(b"x" * 900)
    (mine / "out").rename(mine / "moved")
    print(json.dumps({
        "walls": walls, "thread": heard,
        "network": tried(lambda: socket.create_connection(("127.0.0.1", port), 5)),
        "foreign": tried(foreign.read_bytes),
        "outside": tried(lambda: foreign.with_name("new").write_bytes(b"x")),
        "large": tried(lambda: (mine / "b").write_bytes(b"x" * 2000)),
        "memory": tried(lambda: bytearray(2**30)),
        "score": Path("/proc/self/oom_score_adj").exists(),
    }))
    """
)


def tries(tmp_path: Path, device: str) -> dict[str, object]:
    mine = tmp_path / "mine"
    mine.mkdir()
    given, foreign = tmp_path / "given", tmp_path / "foreign"
    given.write_text("input")
    foreign.write_text("somebody else's")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-c", TRIES, str(mine), str(foreign), str(given), port, device],
            env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_on_a_processor_all_of_them_stand(tmp_path: Path) -> None:
    if "files" not in confinement_level() or "no network" not in confinement_level():
        pytest.skip("this system has no Landlock or no network namespaces")
    found = tries(tmp_path, "cpu")
    assert found["walls"] == ["limits", "no new privileges", "no network", "files"]
    assert found["thread"] == ["done"]
    assert found["network"] in {"ENETUNREACH", "EACCES", "EPERM"}
    assert (found["foreign"], found["outside"]) == ("EACCES", "EACCES")
    assert found["large"] == "EFBIG"
    assert found["memory"] == "MemoryError"


def test_a_gpu_keeps_what_its_driver_needs(tmp_path: Path) -> None:
    found = tries(tmp_path, "cuda:0")
    walls = found["walls"]
    assert isinstance(walls, list)
    assert walls[:1] == ["limits"]
    assert "files" not in walls
    assert (found["foreign"], found["network"], found["memory"]) == ("done", "done", "done")
    assert found["large"] == "EFBIG"
