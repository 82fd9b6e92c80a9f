"""What may change between two attempts: a longer plan, smaller pieces; snapshots stay good all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from consolidation.changes import Changes
from consolidation.cycle import sleep
from consolidation.errors import NocturneInputError, Stopped
from consolidation.waking import wake
from consolidation.weights import new_model
from tests.consolidation.helpers import CONFIG, Recorder, bits, make_records, make_world, wake_recipe
from tests.consolidation.test_resume import stop_after

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from consolidation.report import Report

RECIPE: dict[str, Any] = {"rounds": 1, "min_gain": 0.0, "dream": 0.0}


def night(
    changes: Changes,
    workdir: Path | None = None,
    stop: Callable[[], str | None] | None = None,
    **overrides: Any,
) -> tuple[dict[str, bytes], Report, Recorder]:
    world, heard = make_world(**(RECIPE | overrides)), Recorder()
    report = sleep(
        world.model, world.memories, world.probes, world.recipe, reference=world.reference, workdir=workdir,
        stop=stop, on_event=heard, changes=changes,
    )  # fmt: skip
    return bits(world.model), report, heard


def day(
    changes: Changes, workdir: Path | None = None, stop: Callable[[], str | None] | None = None
) -> tuple[dict[str, bytes], Report]:
    model = new_model("mlp", CONFIG, 1)
    data, probe = make_records(0, 100, 1), make_records(0, 60, 2)
    report = wake(
        model, data, [probe], wake_recipe(momentum=0.9), workdir=workdir, stop=stop, changes=changes
    )
    return bits(model), report


def test_an_extension_adds_its_share_of_the_replay_and_is_told() -> None:
    _, plain, _ = night(Changes())
    _, longer, heard = night(Changes(extended=0.5))
    assert longer.steps == pytest.approx(1.5 * plain.steps, abs=1)
    assert heard.of("step")[-1]["total_steps"] == longer.steps
    [decision] = [one for one in heard.of("decision") if one["name"] == "extended"]
    assert decision["detail"] == {"steps": longer.steps, "planned": plain.steps}
    assert "50%" in decision["reason"]


def test_extended_in_the_middle_it_is_the_night_that_was_longer_from_the_beginning(tmp_path: Path) -> None:
    whole, report, _ = night(Changes(extended=0.5))
    # before the loop, in it, and when the shorter plan averaged already and the longer one not yet
    for calls in (3, 12, 42):
        folder = tmp_path / str(calls)
        with pytest.raises(Stopped):
            night(Changes(), folder, stop_after(calls))
        found, again, _ = night(Changes(extended=0.5), folder)
        assert again.steps == report.steps
        assert found == whole, f"extended after {calls} questions"


def test_extended_late_the_average_keeps_what_it_holds(tmp_path: Path) -> None:
    _, plain, _ = night(Changes())
    with pytest.raises(Stopped):
        night(Changes(), tmp_path, stop_after(plain.steps - 2))
    _, again, heard = night(Changes(extended=0.5), tmp_path)
    assert again.steps == pytest.approx(1.5 * plain.steps, abs=1)
    assert any("Resumed" in log["message"] for log in heard.of("log"))


def test_a_day_is_extended_too(tmp_path: Path) -> None:
    whole, report = day(Changes(extended=1.0))
    _, plain = day(Changes())
    assert report.steps == 2 * plain.steps
    with pytest.raises(Stopped):
        day(Changes(), tmp_path, stop_after(plain.steps // 2))
    found, again = day(Changes(extended=1.0), tmp_path)
    assert (found, again.steps) == (whole, report.steps)


def test_an_extension_after_the_replay_changes_nothing(tmp_path: Path) -> None:
    whole, _, heard = night(Changes())
    asked = len(heard.of("step")) + 6  # inside significance or later
    with pytest.raises(Stopped):
        night(Changes(), tmp_path, stop_after(asked))
    found, _, _ = night(Changes(extended=2.0), tmp_path)
    assert found == whole


def test_smaller_pieces_go_on_from_the_same_snapshot_to_nearly_the_same_weights(tmp_path: Path) -> None:
    whole, report, _ = night(Changes(), noise=0.0)
    with pytest.raises(Stopped):
        night(Changes(), tmp_path, stop_after(9), noise=0.0)
    found, again, heard = night(Changes(micro_batch=4), tmp_path, noise=0.0)
    assert any("Resumed" in log["message"] for log in heard.of("log"))
    assert again.steps == report.steps
    for name, data in whole.items():
        one, two = (torch.frombuffer(bytearray(raw), dtype=torch.float32) for raw in (data, found[name]))
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


def test_without_memory_for_smaller_pieces_either_it_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from consolidation.phases import accumulating

    def none_left(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(accumulating, "backward", none_left)
    with pytest.raises(NocturneInputError) as error:
        night(Changes(micro_batch=8))
    assert error.value.code == "cycle.out_of_memory"
    assert "with 8 records at a time" in error.value.message
