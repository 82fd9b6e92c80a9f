"""What the launcher promises about its children, shown on real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from webapp.core.processes import started_at, wait_gone

ROOT = Path(__file__).resolve().parents[2]
# Writes its pid and every signal it gets as lines of one shared file.
DIARY = """
import os, signal, sys, time
def write(word):
    with open({diary!r}, "a") as file: file.write(f"{name} {{word}} {{os.getpid()}} {{time.time()}}\\n")
def on_term(*_):
    write("term")
    if {obedient}: sys.exit(0)
signal.signal(signal.SIGTERM, on_term)
write("start")
"""
Start = Callable[[list[dict[str, Any]]], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a launcher on ``tmp_path``; whatever is left of it at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(children: list[dict[str, Any]]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/support/supervise.py"), str(tmp_path), json.dumps(children)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
    for _, _, pid, _ in entries(tmp_path):
        if started_at(pid) is not None:
            os.kill(pid, signal.SIGKILL)


def script(tmp_path: Path, name: str, then: str, *, obedient: bool = True) -> str:
    return DIARY.format(diary=str(tmp_path / "diary"), name=name, obedient=obedient) + then


def entries(tmp_path: Path) -> list[tuple[str, str, int, float]]:
    """(child, word, pid, time) in the order they were written."""
    try:
        lines = (tmp_path / "diary").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [(name, word, int(pid), float(at)) for name, word, pid, at in map(str.split, lines)]


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def starts(tmp_path: Path, name: str) -> list[tuple[int, float]]:
    return [(pid, at) for child, word, pid, at in entries(tmp_path) if (child, word) == (name, "start")]


def test_a_child_that_ends_is_started_again_after_growing_pauses(tmp_path: Path, start: Start) -> None:
    launcher = start([{"name": "web", "script": script(tmp_path, "web", "sys.exit(3)")}])
    wait_for(lambda: len(starts(tmp_path, "web")) >= 4)
    launcher.send_signal(signal.SIGTERM)
    output, _ = launcher.communicate(timeout=30)
    times = [at for _, at in starts(tmp_path, "web")]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[0] >= 0.2 and pauses[1] >= 0.4 and pauses[2] >= 0.8
    assert launcher.returncode == 0
    assert output.count("web     stopped unexpectedly (exit code 3) and is started again.") == 1
    assert "ended with exit code 3" in (tmp_path / "logs/web.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_is_ordered_clean_and_quiet(tmp_path: Path, start: Start, number: signal.Signals) -> None:
    sleep = "time.sleep(60)"
    launcher = start(
        [
            {"name": "nights", "script": script(tmp_path, "nights", sleep), "stop_order": 1},
            {"name": "clock", "script": script(tmp_path, "clock", sleep), "stop_order": 0},
        ]
    )
    wait_for(lambda: len(entries(tmp_path)) == 2)
    launcher.send_signal(number)
    output, _ = launcher.communicate(timeout=30)
    assert launcher.returncode == 0
    assert [name for name, word, *_ in entries(tmp_path) if word == "term"] == ["clock", "nights"]
    assert all(started_at(pid) is None for _, _, pid, _ in entries(tmp_path))
    assert output.startswith("Stopping.\nEverything has stopped") and output.count("\n") == 2


def test_a_child_that_will_not_end_is_killed_after_its_grace(tmp_path: Path, start: Start) -> None:
    stubborn = script(tmp_path, "nights", "while True: time.sleep(1)", obedient=False)
    launcher = start([{"name": "nights", "script": stubborn, "grace": 0.5}])
    wait_for(lambda: len(entries(tmp_path)) == 1)
    began = time.monotonic()
    launcher.terminate()
    assert launcher.wait(30) == 0
    assert time.monotonic() - began > 0.5
    assert "is killed" in (tmp_path / "logs/nights.log").read_text()


def test_a_second_ctrl_c_does_not_wait_for_any_grace(tmp_path: Path, start: Start) -> None:
    stubborn = script(tmp_path, "nights", "while True: time.sleep(1)", obedient=False)
    launcher = start([{"name": "nights", "script": stubborn, "grace": 60}])
    wait_for(lambda: len(entries(tmp_path)) == 1)
    launcher.send_signal(signal.SIGINT)
    wait_for(lambda: len(entries(tmp_path)) == 2)
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(5) == 0


def test_children_do_not_outlive_a_killed_launcher(tmp_path: Path, start: Start) -> None:
    launcher = start([{"name": "web", "script": script(tmp_path, "web", "time.sleep(60)")}])
    wait_for(lambda: len(entries(tmp_path)) == 1)
    launcher.kill()
    launcher.wait()
    if sys.platform != "linux":  # no parent-death signal there: the next launcher ends them
        start([])
    assert wait_gone(entries(tmp_path)[0][2], 5)


def test_what_a_killed_launcher_left_running_is_ended_by_the_next(tmp_path: Path, start: Start) -> None:
    stubborn = script(tmp_path, "nights", "while True: time.sleep(1)", obedient=False)
    first = start([{"name": "nights", "script": stubborn}])
    wait_for(lambda: len(entries(tmp_path)) == 1)
    left = entries(tmp_path)[0][2]
    first.kill()
    first.wait()
    assert started_at(left) is not None
    second = start([{"name": "web", "script": script(tmp_path, "web", "time.sleep(60)")}])
    wait_for(lambda: len(starts(tmp_path, "web")) == 1)
    assert started_at(left) is None
    second.terminate()
    output, _ = second.communicate(timeout=30)
    assert "left over: nights" in output


def test_one_data_folder_has_one_launcher(tmp_path: Path, start: Start) -> None:
    first = start([{"name": "web", "script": script(tmp_path, "web", "time.sleep(60)")}])
    wait_for(lambda: len(entries(tmp_path)) == 1)
    second = start([])
    output, _ = second.communicate(timeout=30)
    assert second.returncode == 1
    assert f"(process {first.pid}, http://127.0.0.1:1)" in output and "[up.already_running]" in output
    assert first.poll() is None


def test_a_child_says_when_it_is_ready(tmp_path: Path, start: Start) -> None:
    report = "os.write(int(sys.argv[-1]), b'ready'); time.sleep(60)"
    launcher = start([{"name": "web", "script": script(tmp_path, "web", report), "reports_ready": True}])
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == "ready: web\n"


def test_workers_leave_the_processor_to_the_page(tmp_path: Path, start: Start) -> None:
    report = "time.sleep(0.5); write('ready'); os.write(int(sys.argv[-1]), b'ready'); time.sleep(60)"
    start(
        [
            {"name": "nights", "script": script(tmp_path, "nights", "time.sleep(60)"), "yields_s": 50},
            {"name": "web", "script": script(tmp_path, "web", report), "reports_ready": True},
        ]
    )
    wait_for(lambda: len(entries(tmp_path)) == 3)
    assert [(name, word) for name, word, *_ in entries(tmp_path)] == [
        ("web", "start"), ("web", "ready"), ("nights", "start"),
    ]  # fmt: skip


def test_workers_do_not_wait_long_for_a_page_that_never_comes(tmp_path: Path, start: Start) -> None:
    start(
        [
            {"name": "nights", "script": script(tmp_path, "nights", "time.sleep(60)"), "yields_s": 0.5},
            {"name": "web", "script": script(tmp_path, "web", "time.sleep(60)"), "reports_ready": True},
        ]
    )
    wait_for(lambda: len(entries(tmp_path)) == 2)
    (_, web), (_, nights) = starts(tmp_path, "web") + starts(tmp_path, "nights")
    assert 0.3 < nights - web < 20


def test_the_terminal_hears_of_warnings_only_and_the_log_of_everything(tmp_path: Path, start: Start) -> None:
    talk = (
        "print('2026-01-02 03:04:05,678 INFO nocturne: all is well')\n"
        "print('2026-01-02 03:04:05,678 WARNING nocturne: the disk is nearly full')\n"
        "print('[2026-01-02 03:04:05,678: ERROR/MainProcess] no broker')\n"
        "print('Traceback (most recent call last):', flush=True)\n"
        "time.sleep(60)"
    )
    launcher = start([{"name": "web", "script": script(tmp_path, "web", talk)}])
    log = tmp_path / "logs/web.log"
    wait_for(lambda: log.exists() and "Traceback" in log.read_text())
    launcher.terminate()
    output, _ = launcher.communicate(timeout=30)
    assert output.splitlines()[:2] == [
        "web     WARNING nocturne: the disk is nearly full",
        "web     ERROR no broker",
    ]
    assert "Traceback" not in output and "all is well" not in output
    assert "all is well" in log.read_text()
