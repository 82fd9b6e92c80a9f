"""`manage.py up` as a person meets it: the whole thing, on a data folder of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.terminal import read_until, status, up
from webapp.core.embedded import EmbeddedPostgres
from webapp.core.processes import started_at

PARTS = {"web", "nights", "chores", "clock"}
LINK = re.compile(r"http://127\.0\.0\.1:\d+/welcome/\S+/")


def all_children(data_dir: Path) -> dict[str, int]:
    """Name and pid of every child, as soon as all of them run."""
    deadline = time.monotonic() + 30
    while True:
        note = json.loads((data_dir / "run/launcher.json").read_text())
        running = {child["name"]: child["pid"] for child in note["children"]}
        if set(running) == PARTS:
            return running
        assert time.monotonic() < deadline, running
        time.sleep(0.05)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One data folder for this file: making a database takes longer than starting it."""
    folder = tmp_path_factory.mktemp("nocturne")
    yield folder
    EmbeddedPostgres(folder).stop()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_night_at_the_terminal(data_dir: Path, port: int) -> None:
    """Start, first page, owner's link, a second start refused, kill -9 of everything, start again, Ctrl-C."""
    first = up(data_dir, f"--port={port}")
    said = read_until(first, "/welcome/")
    link = LINK.search(said)
    assert link is not None
    assert status(f"http://127.0.0.1:{port}/healthz") == 200
    assert status(link[0]) == 200
    running = all_children(data_dir)

    second = up(data_dir, "--port=0")
    refusal, _ = second.communicate(timeout=30)
    assert second.returncode == 1
    assert refusal.count("\n") == 1 and "[up.already_running]" in refusal

    database = EmbeddedPostgres(data_dir)
    postmaster = int((database.cluster / "postmaster.pid").read_text().splitlines()[0])
    for pid in (first.pid, *running.values(), postmaster):
        os.kill(pid, signal.SIGKILL)
    first.communicate(timeout=30)

    third = up(data_dir, f"--port={port}")
    said = read_until(third, "/welcome/")
    assert "brought up to date" not in said
    assert status(f"http://127.0.0.1:{port}/healthz") == 200
    running = all_children(data_dir)
    third.send_signal(signal.SIGINT)
    said, _ = third.communicate(timeout=30)
    assert third.returncode == 0
    assert "Traceback" not in said and "ERROR" not in said
    assert all(started_at(pid) is None for pid in running.values())
    assert not database.is_running()


def test_a_port_in_use_is_one_sentence(data_dir: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        process = up(data_dir, f"--port={other.getsockname()[1]}")
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said.count("\n") == 1 and "[port.in_use]" in said


def test_an_open_address_needs_a_name(data_dir: Path) -> None:
    process = up(data_dir, "--host=0.0.0.0")
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said.count("\n") == 1 and "[up.address_needed]" in said


@pytest.mark.parametrize("code", ["files.no_folder", "files.shared"])
def test_files_are_offered_from_folders_of_ones_own_computer(
    code: str, data_dir: Path, port: int, tmp_path: Path
) -> None:
    folder, given = tmp_path, {"NOCTURNE_URL": "https://nocturne.example"}
    if code == "files.no_folder":
        folder, given = tmp_path / "missing", {}
    process = up(data_dir, f"--port={port}", f"--files={folder}", settings=given)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said.count("\n") == 1 and f"[{code}]" in said


def test_a_data_folder_that_cannot_be_written_to_is_one_sentence() -> None:
    process = up(Path("/proc/self/nocturne"))
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said.count("\n") == 1 and "[data.not_writable]" in said


def test_ctrl_c_before_it_is_ready_is_no_error(data_dir: Path, port: int) -> None:
    process = up(data_dir, f"--port={port}")
    deadline = time.monotonic() + 30
    while not (data_dir / "run/launcher.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in said


def test_help_shows_examples(data_dir: Path) -> None:
    process = up(data_dir, "--help")
    said, _ = process.communicate(timeout=30)
    assert "examples:" in said
