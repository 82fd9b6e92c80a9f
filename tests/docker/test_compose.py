"""The container files stay in step with the settings and with what `manage.py up` runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from workers.cli import app
from workers.launcher.parts import specs

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"] == "nocturne")
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()


def settings_read() -> set[str]:
    """The environment variables that the settings and the web process read."""
    settings = (ROOT / "webapp/config/settings.py").read_text()
    names = set(re.findall(r'\benv_\w+\(\s*"(\w+)"', settings))
    secrets = set(re.findall(r'\benv_secret\(\s*"(\w+)"', settings))
    web = set(re.findall(r'"(\w+)" in os\.environ', (ROOT / "workers/web.py").read_text()))
    return names | {f"{name}_FILE" for name in secrets} | web


@pytest.mark.parametrize("service", OURS)
def test_every_variable_is_one_that_the_program_reads(service: str) -> None:
    assert set(SERVICES[service]["environment"]) <= settings_read()


def test_the_image_sets_only_what_the_program_reads() -> None:
    ours = set(re.findall(r"\b(NOCTURNE_\w+)=", DOCKERFILE))
    assert ours and ours <= settings_read()


def test_the_parts_are_those_of_manage_py_up() -> None:
    parts = {
        spec.name: spec
        for spec in specs(
            {"web", "nights", "chores", "clock"}, listener=None, data_dir=Path("/data"), environment={}
        )
    }
    assert set(OURS) == set(parts) | {"migrate"}
    chores = [str(word) for word in SERVICES["chores"]["command"]]
    assert sorted(chores[1:]) == sorted(parts["chores"].command)
    # The command line makes the launcher's command of it, with the queues of NOCTURNE_DEVICE.
    assert SERVICES["nights"]["command"] == ["nocturne", "worker"]
    assert SERVICES["web"]["command"][:3] == ["python", *parts["web"].command]


def test_a_running_cycle_gets_as_long_to_save_as_under_the_launcher() -> None:
    (nights,) = specs({"nights"}, listener=None, data_dir=Path("/data"), environment={})
    assert float(SERVICES["nights"]["stop_grace_period"].removesuffix("s")) >= nights.grace


def test_a_worker_is_asked_how_it_is() -> None:
    check = SERVICES["nights"]["healthcheck"]
    assert check["test"] == ["CMD", "nocturne", "health"]
    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert {"worker", "health"} <= known
    # The first heartbeat comes when torch-free imports are done; a check must not be quicker than that.
    assert float(check["start_period"].removesuffix("s")) >= 30


def test_all_who_touch_models_share_the_store_and_the_snapshots() -> None:
    for name in ("web", "chores", "nights"):
        mounted = dict(volume.split(":") for volume in SERVICES[name]["volumes"])
        given = SERVICES[name]["environment"]
        assert given["NOCTURNE_STORE"] == mounted["store"]
        assert given["NOCTURNE_CYCLES"] == mounted["cycles"]
    assert {"store", "cycles"} <= set(COMPOSE["volumes"])
    assert "container_name" not in SERVICES["nights"] and "hostname" not in SERVICES["nights"]


def test_the_gpu_file_changes_the_nights_only() -> None:
    override = yaml.safe_load((ROOT / "docker/compose.gpu.yaml").read_text())
    assert set(override["services"]) == {"nights"} <= set(SERVICES)
    # Its own image, or the slim one of the others would be replaced by one of several GB.
    assert override["services"]["nights"]["image"] != "nocturne"
    assert override["services"]["nights"]["build"]["args"] == {"PIP_EXTRA_INDEX_URL": ""}
    assert override["services"]["nights"]["environment"] == {"NOCTURNE_DEVICE": "cuda"}


def test_every_required_variable_is_explained_in_the_example() -> None:
    wanted = set(re.findall(r"\$\{(\w+)", (ROOT / "docker/compose.yaml").read_text()))
    given = set(re.findall(r"^(\w+)=", (ROOT / "docker/example.env").read_text(), re.MULTILINE))
    assert wanted == given


def test_the_image_is_built_from_files_that_exist_and_travel() -> None:
    copied = [
        word
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    travels = set(re.findall(r"^!([\w.]+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert copied
    for name in copied:
        assert (ROOT / name).exists(), name
        assert name in travels, name


def test_torch_and_python_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (torch,) = [each for each in project["dependencies"] if each.startswith("torch")]
    assert f'"{torch}"' in DOCKERFILE
    python = re.search(r"^ARG PYTHON=3\.(\d+)$", DOCKERFILE, re.MULTILINE)
    floor = re.fullmatch(r">=3\.(\d+)", project["requires-python"])
    assert python and floor and int(floor[1]) <= int(python[1]) <= 13


def test_nothing_runs_as_root_and_no_registry_is_named() -> None:
    assert re.search(r"^USER nocturne$", DOCKERFILE, re.MULTILINE)
    for path in (path for path in (ROOT / "docker").rglob("*") if path.is_file()):
        assert not re.search(r"(index-url|INDEX_URL)[ =]+https?:", path.read_text()), path
