"""The units for machines without containers stay in step with the program; a running cycle saves itself."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.docker.test_compose import settings_read
from workers.cli import app
from workers.launcher.parts import specs

UNITS = Path(__file__).resolve().parents[2] / "docker/systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
PARTS = {
    "nocturne-web.service": "web",
    "nocturne-clock.service": "clock",
    "nocturne-chores.service": "chores",
    "nocturne-nights@.service": "nights",
}
# What systemd brings, or a machine may have beside us.
FOREIGN = {"network-online.target", "multi-user.target", "postgresql.service", "redis-server.service"}


def unit(name: str) -> dict[str, list[str]]:
    """The settings of a unit; a word may come several times."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in (UNITS / name).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            word, _, value = line.partition("=")
            found[word].append(value)
    return found


def environment() -> dict[str, str]:
    text = (UNITS / "nocturne.env.example").read_text()
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def seconds(name: str) -> float:
    return float(unit(name)["TimeoutStopSec"][0])


def test_there_is_a_unit_for_each_part_and_one_for_migrations() -> None:
    assert set(SERVICES) == set(PARTS) | {"nocturne-migrate.service"}
    every = {
        spec.name
        for spec in specs(set(PARTS.values()), listener=None, data_dir=Path("/data"), environment={})
    }
    assert every == set(PARTS.values())


@pytest.mark.parametrize("name", SERVICES)
def test_every_command_is_one_of_the_program(name: str) -> None:
    (line,) = unit(name)["ExecStart"]
    program, *arguments = line.replace("%%", "%").split()
    if program == "/opt/nocturne/bin/nocturne":
        command, option, value = arguments
        known = {each.callback.__name__: each.callback for each in app.registered_commands if each.callback}
        assert option.removeprefix("--") in inspect.signature(known[command]).parameters
        assert value == "%I"
        return
    assert program == "/opt/nocturne/bin/python"
    assert arguments[0] == "-m"
    assert importlib.util.find_spec(arguments[1]) is not None
    if name in {"nocturne-chores.service", "nocturne-clock.service"}:
        (part,) = specs({PARTS[name]}, listener=None, data_dir=Path("/data"), environment={})
        place = {"/tmp/clock", "/data/run/clock"}  # noqa: S108  (the unit has a /tmp of its own)
        assert sorted(set(arguments) - place) == sorted(set(part.command) - place)


@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_part_that_ends_comes_back_and_is_asked_before_it_is_killed(name: str) -> None:
    (part,) = specs({PARTS[name]}, listener=None, data_dir=Path("/data"), environment={})
    words = unit(name)
    assert words["Restart"] == ["always"]
    assert words["StartLimitIntervalSec"] == ["0"]
    # SIGTERM reaches the main process alone: a trainer that got it, too, would end before it is asked to.
    assert words["KillMode"] == ["mixed"]
    assert seconds(name) >= part.grace
    assert "ExecStop" not in words


def test_nothing_keeps_the_trainer_from_its_device_or_from_its_walls() -> None:
    words = unit("nocturne-nights@.service")
    hides_devices = {"PrivateDevices", "ProtectClock", "DevicePolicy", "DeviceAllow"}
    breaks_kernels = {"MemoryDenyWriteExecute", "SystemCallFilter", "ProcSubset", "MemoryMax"}
    assert not (hides_devices | breaks_kernels | {"RestrictNamespaces"}) & set(words)
    assert words["OOMPolicy"] == ["continue"]
    assert "RestrictNamespaces" not in unit("nocturne-chores.service")


@pytest.mark.parametrize("name", [*SERVICES, "nocturne.target"])
def test_units_refer_to_units_that_exist(name: str) -> None:
    words = unit(name)
    named = {
        other
        for word in ("Wants", "After", "PartOf", "WantedBy", "Requires", "Before")
        for value in words[word]
        for other in value.split()
    }
    assert named <= FOREIGN | {path.name for path in UNITS.iterdir()}


@pytest.mark.parametrize("name", SERVICES)
def test_units_name_the_folders_of_the_environment_file(name: str) -> None:
    words, given = unit(name), environment()
    assert words["EnvironmentFile"][0] == "/etc/nocturne/nocturne.env"
    assert [f"/var/lib/{words['StateDirectory'][0]}"] == words["WorkingDirectory"] == [given["NOCTURNE_DATA"]]
    if name in PARTS:
        (shared,) = words["ReadWritePaths"]
        assert words["RequiresMountsFor"] == [shared]
        for folder in ("NOCTURNE_STORE", "NOCTURNE_CYCLES"):
            assert Path(given[folder]).is_relative_to(shared)


def test_the_environment_file_sets_only_what_the_program_reads() -> None:
    assert set(environment()) <= settings_read()
    assert {"DATABASE_URL", "CELERY_BROKER_URL", "NOCTURNE_STORE", "NOCTURNE_CYCLES"} <= set(environment())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
def test_systemd_itself_finds_nothing_to_say(tmp_path: Path) -> None:
    """With this environment's own programs in the place of /opt/nocturne."""
    names = []
    for path in UNITS.iterdir():
        if path.suffix in {".service", ".target"}:
            text = path.read_text().replace("/opt/nocturne/bin", str(Path(sys.executable).parent))
            (tmp_path / path.name).write_text(text)
            names.append(path.name.replace("@.", "@cuda:0."))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in sorted(names))],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "nocturne" in line]
    assert ours == []
