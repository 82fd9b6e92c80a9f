"""Fault points: inert unless asked, loud when asked wrongly, the same again with the same seed."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from webapp.core import faults, oplog
from webapp.core.faults import ACTIONS, POINTS, FaultKit, Rule, from_environment, parse

ROOT = Path(__file__).resolve().parents[3]


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own that passes fault points."""
    return subprocess.run(
        [sys.executable, "-c", f"from webapp.core.faults import fault\n{code}"],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=30,
    )  # fmt: skip


def test_without_the_variable_a_point_is_nothing() -> None:
    assert from_environment({}) is from_environment({"NOCTURNE_FAULTS": " "})
    from_environment({})("claim.after_commit")
    oplog.from_environment({})("claimed", cycle=1)


def test_every_point_is_passed_somewhere_and_every_passed_point_is_known() -> None:
    sources = [path for part in ("webapp", "workers") for path in (ROOT / part).rglob("*.py")]
    passed = [name for path in sources for name in re.findall(r'\bfault\("([^"]+)"\)', path.read_text())]
    assert sorted(passed) == sorted(POINTS)


def test_rules_are_read() -> None:
    assert parse("publish.before_commit:kill:0.3, trainer.step:memory@200,lease.before_renew:sleep:3@2") == [
        Rule("publish.before_commit", "kill", chance=0.3),
        Rule("trainer.step", "memory", nth=200),
        Rule("lease.before_renew", "sleep", 3.0, nth=2),
    ]
    assert parse("store_put.before_rename:enospc:1@2") == [Rule("store_put.before_rename", "enospc", nth=2)]


@pytest.mark.parametrize(
    "text",
    [
        "publish.befor_commit:kill", "publish.before_commit:kil", "publish.before_commit",
        "publish.before_commit:kill:2", "publish.before_commit:kill:0", "publish.before_commit:kill@0",
        "publish.before_commit:kill@x", "trainer.step:sleep", "trainer.step:sleep:-1",
        "trainer.step:kill:1:1",
    ],
)  # fmt: skip
def test_a_typo_stops_the_process_at_its_start(text: str) -> None:
    with pytest.raises(ValueError, match="NOCTURNE_FAULTS"):
        parse(text)


def test_a_worker_with_a_typo_does_not_start() -> None:
    ended = run("print('started')", NOCTURNE_FAULTS="claim.after_comit:kill")
    assert ended.returncode == 1
    assert "claim.after_commit" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("action", "code"),
    [("kill", -signal.SIGKILL), ("segv", -signal.SIGSEGV), ("exit", 1), ("memory", 1), ("sleep:0.01", 0)],
)
def test_what_the_actions_do(action: str, code: int) -> None:
    assert run("fault('verify.begin')", NOCTURNE_FAULTS=f"verify.begin:{action}").returncode == code


def test_a_stopped_process_stands_still_until_it_is_woken() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "from webapp.core.faults import fault; fault('verify.begin')"],
        cwd=ROOT, env=os.environ | {"NOCTURNE_FAULTS": "verify.begin:stop"},
    ) as process:  # fmt: skip
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        assert process.wait(20) == 0


@pytest.mark.parametrize(("action", "number"), [("enospc", errno.ENOSPC), ("eio", errno.EIO)])
def test_disks_refuse_with_the_systems_own_error(action: str, number: int) -> None:
    kit = FaultKit(parse(f"verify.begin:{action}@2"))
    kit("verify.begin")
    kit("claim.after_commit")
    with pytest.raises(OSError) as refused:
        kit("verify.begin")
    assert refused.value.errno == number
    kit("verify.begin")


def hits(seed: str) -> list[int]:
    kit = FaultKit(parse("verify.begin:eio:0.3"), seed=seed)
    found = []
    for time in range(200):
        try:
            kit("verify.begin")
        except OSError:
            found.append(time)
    return found


def test_chance_is_about_what_was_asked_and_the_same_again() -> None:
    assert hits("1") == hits("1") != hits("2")
    assert 35 < len(hits("1")) < 85


def test_times_are_counted_over_processes_that_share_a_folder(tmp_path: Path) -> None:
    shared = {"NOCTURNE_FAULTS": "verify.begin:exit@3", "NOCTURNE_FAULT_COUNTS": str(tmp_path)}
    codes = [run("fault('verify.begin')", **shared).returncode for _ in range(4)]
    assert codes == [0, 0, 1, 0]


def test_the_operation_log_has_a_line_that_survives_the_kill_after_it(tmp_path: Path) -> None:
    told = {"NOCTURNE_FAULTS": "verify.begin:kill", oplog.VARIABLE: str(tmp_path)}
    run(
        "from webapp.core.oplog import note; note('claimed', cycle='c', epoch=2); fault('verify.begin')",
        **told,
    )
    (path,) = tmp_path.iterdir()
    began, claimed, killed = [json.loads(line) for line in path.read_text().splitlines()]
    assert began["what"] == "began"
    assert (claimed["what"], claimed["cycle"], claimed["epoch"]) == ("claimed", "c", 2)
    assert (killed["what"], killed["point"], killed["action"]) == ("fault", "verify.begin", "kill")
    assert began["monotonic"] <= claimed["monotonic"] <= killed["monotonic"]


def test_the_trainer_hears_of_faults_only_when_they_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers.child import _environment
    from workers.devices import Device

    names = {*faults.VARIABLES, oplog.VARIABLE}
    assert not names & _environment(tmp_path, Device("cpu", 0), 1).keys()
    monkeypatch.setenv("NOCTURNE_FAULTS", "trainer.step:kill@5")
    assert names & _environment(tmp_path, Device("cpu", 0), 1).keys() == {"NOCTURNE_FAULTS"}


def test_every_action_is_known_by_one_word() -> None:
    assert all(re.fullmatch(r"[a-z]+", name) for name in ACTIONS)
