"""`python -m consolidation.benchmarks` on the digits twin: format, resume, ordering, refusals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import psutil
import pytest

from consolidation.benchmarks.cli import main
from consolidation.benchmarks.run import RowSpec

METHODS = ("finetune", "er", "derpp", "sleep")
KEYS = (
    "method",
    "seed",
    "acc",
    "forgetting",
    "compute_ratio",
    "bytes",
    "steps",
    "seconds",
    "matrix",
    "settings",
)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with digits.json, digits.md, digits.svg of four methods and two seeds."""
    folder = tmp_path_factory.mktemp("digits")
    assert (
        main([*command(folder), "--markdown", str(folder / "digits.md"), "--svg", str(folder / "digits.svg")])
        == 0
    )
    return folder


def command(folder: Path, methods: tuple[str, ...] = METHODS) -> list[str]:
    return [
        "permuted-digits", "--methods", ",".join(methods), "--buffer", "150", "--seeds", "2",
        "--json", str(folder / "digits.json"),
    ]  # fmt: skip


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "digits.json").read_text())
    return rows


def test_the_file_is_an_array_with_one_object_a_method_and_seed(ran: Path) -> None:
    rows = rows_of(ran)
    assert [(row["method"], row["seed"]) for row in rows] == [(m, s) for m in METHODS for s in (0, 1)]
    for row in rows:
        assert set(KEYS) <= set(row)
        assert [len(scores) for scores in row["matrix"]] == [5] * 5
        assert all(0 <= row["matrix"][s][j] <= 1 for s in range(5) for j in range(s + 1))
        assert row["acc"] == pytest.approx(100 * sum(row["matrix"][4]) / 5, abs=1e-3)
        lost = [max(row["matrix"][s][j] for s in range(j, 4)) - row["matrix"][4][j] for j in range(4)]
        assert row["forgetting"] == pytest.approx(100 * sum(lost) / 4, abs=1e-3)


def test_sleep_is_above_replay_above_fine_tuning(ran: Path) -> None:
    mean = {m: sum(row["acc"] for row in rows_of(ran) if row["method"] == m) / 2 for m in METHODS}
    assert mean["sleep"] > mean["er"] + 1.5
    assert mean["er"] > mean["finetune"] + 8
    cost = {row["method"]: row["compute_ratio"] for row in rows_of(ran)}
    assert cost["finetune"] == 1.0 and cost["sleep"] < 1.5 < cost["er"] < cost["derpp"]


def test_rows_that_are_there_are_kept_and_those_of_other_settings_too(ran: Path, tmp_path: Path) -> None:
    marked = [row | {"seconds": 12345.0} for row in rows_of(ran)[:2]]
    other = rows_of(ran)[2] | {"settings": rows_of(ran)[2]["settings"] | {"buffer": 7}}
    (tmp_path / "digits.json").write_text(json.dumps([*marked, other]))
    assert main(command(tmp_path, ("finetune",))) == 0
    assert rows_of(tmp_path) == [*marked, other]


def test_another_ratio_is_another_row_of_thinned_derpp_only(ran: Path, tmp_path: Path) -> None:
    base = RowSpec(benchmark="permuted-digits", method="sleep", seed=0, ratio=1.3)
    assert base.like("derpp-thin", 0).ratio == 1.3
    (tmp_path / "digits.json").write_text((ran / "digits.json").read_text())
    assert main([*command(tmp_path, ("er", "sleep")), "--ratio", "1.3"]) == 0
    assert rows_of(tmp_path) == rows_of(ran)


def test_other_seeds_and_another_rival_can_be_asked_for(tmp_path: Path) -> None:
    line = [
        "permuted-digits", "--methods", "finetune,ewc", "--tasks", "2", "--epochs", "1", "--seeds", "2",
        "--first-seed", "40", "--against", "finetune", "--json", str(tmp_path / "digits.json"),
        "--markdown", str(tmp_path / "digits.md"),
    ]  # fmt: skip
    assert main(line) == 0
    assert [row["seed"] for row in rows_of(tmp_path)] == [40, 41, 40, 41]
    page = (tmp_path / "digits.md").read_text()
    assert "vs finetune [95 % CI]" in page and "paired by seed" in page


def test_two_processes_give_the_rows_of_one(ran: Path, tmp_path: Path) -> None:
    assert main([*command(tmp_path, ("finetune",)), "--workers", "2"]) == 0
    alone = {row["seed"]: row["matrix"] for row in rows_of(ran) if row["method"] == "finetune"}
    assert {row["seed"]: row["matrix"] for row in rows_of(tmp_path)} == alone


def test_a_killed_run_keeps_its_rows_and_goes_on(ran: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "consolidation.benchmarks", *command(tmp_path, ("finetune", "er"))]
    process = subprocess.Popen(line, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (tmp_path / "digits.json").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = rows_of(tmp_path)
    assert 1 <= len(kept) < 4
    assert main(command(tmp_path, ("finetune", "er"))) == 0
    assert rows_of(tmp_path)[: len(kept)] == kept
    whole = {(row["method"], row["seed"]): row["matrix"] for row in rows_of(tmp_path)}
    assert whole == {
        (row["method"], row["seed"]): row["matrix"]
        for row in rows_of(ran)
        if row["method"] in ("finetune", "er")
    }


def test_worker_processes_end_when_their_parent_was_killed(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "consolidation.benchmarks", *command(tmp_path), "--workers", "2"]
    process = psutil.Popen(line, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while len(process.children()) < 3 and process.is_running() and time.monotonic() < until:
        time.sleep(0.01)  # two workers and multiprocessing's own tracker
    children = process.children()
    process.kill()
    process.wait()
    assert len(children) == 3
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive


def test_ctrl_c_ends_with_a_sentence(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "consolidation.benchmarks", *command(tmp_path), "--workers", "2"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    until = time.monotonic() + 60
    while not (tmp_path / "digits.json").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from there" in said
    assert rows_of(tmp_path)


def test_the_table_has_differences_with_intervals_and_the_plot_is_a_described_picture(ran: Path) -> None:
    page = (ran / "digits.md").read_text()
    assert "| sleep |" in page and "vs ER [95 % CI]" in page and "domain-incremental" in page
    picture = ET.fromstring((ran / "digits.svg").read_text())  # noqa: S314  our own file
    assert picture.findtext(f"{SVG}title") and "sleep" in (picture.findtext(f"{SVG}desc") or "")
    assert len(picture.findall(f"{SVG}circle")) == len(METHODS)
    assert "prefers-color-scheme:dark" in (picture.findtext(f"{SVG}style") or "")


def test_claims_take_the_published_results_when_nothing_is_named(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs" / "results").mkdir(parents=True)
    (tmp_path / "docs" / "results" / "digits.json").write_bytes((ran / "digits.json").read_bytes())
    (tmp_path / "docs" / "measures.json").write_text('{"slope of prune": 0.9, "slope of strengthen": 1.0}')
    monkeypatch.chdir(tmp_path)
    assert main(["claims"]) == 0
    assert "prune 0.90, strengthen 1.00 | supported" in (tmp_path / "docs" / "claims.md").read_text()


def test_claims_without_results_say_so(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # away from what is published in docs/
    page = tmp_path / "claims.md"
    assert main(["claims", "--results", str(ran / "digits.json"), "--out", str(page)]) == 0
    text = page.read_text()
    assert text.count("not measured yet") >= 10 and "not testable here" in text
    assert "| supported |" not in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["permuted-digits"], "--json"),
        (["permuted-digits", "--methods", "gem", "--json", "{}/a.json"], "gem"),
        (["permuted-digits", "--tasks", "9", "--json", "{}/a.json"], "2 to 5"),
        (["permuted-digits", "--seeds", "0", "--json", "{}/a.json"], "1 or more"),
        (["permuted-digits", "--epochs", "0", "--json", "{}/a.json"], "1 or more"),
        (["permuted-digits", "--ratio", ".5", "--json", "{}/a.json"], "1 to 3"),
        (["permuted-digits", "--methods", "er", "--against", "derpp", "--json", "{}/a.json"], "its rows"),
        (["permuted-digits", "--buffer", "-3", "--json", "{}/a.json"], "1 or more"),
        (["permuted-digits", "--methods", "pnn", "--json", "{}/a.json"], "--task-ids"),
        (
            ["permuted-digits", "--methods", "sleep", "--set", "noise=77", "--json", "{}/a.json"],
            "noise is 77",
        ),
        (["permuted-mnist", "--data", "{}", "--json", "{}/a.json"], "mnist.npz"),
        (["split-cifar", "--json", "{}/a.json"], "cifar10_subset.npz"),
        (["claims", "--results", "{}/none.json"], "no results file"),
        (["claims", "--measures", "{}/none.json", "--out", "{}/claims.md"], "no measurements"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.format(tmp_path) for word in arguments]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert sentence in said and "Traceback" not in said


def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "digits.json").write_text('{"mine": true}')
    assert main(command(tmp_path)) == 2
    assert (tmp_path / "digits.json").read_text() == '{"mine": true}'
