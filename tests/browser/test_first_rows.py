"""What the browser finds in Parquet and npz before they are sent: real files, damaged ones, hostile ones."""

from __future__ import annotations

import re
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect

from tests.browser.test_records import narrow, picture

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser.conftest import Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

FIND = """async () => {
  const { tableHead } = await import("/static/js/table-head.js");
  const file = document.querySelector("input[type=file]").files[0];
  const begun = performance.now();
  return { table: await tableHead(file), ms: performance.now() - begun };
}"""
MOODS: dict[str, list[Any]] = {
    "feeling": ["up", "down", "up"],
    "said": ["good morning", "bad, very bad", None],
    "n": [1, 2**53 + 1, 3],
}


@pytest.fixture
def records(site: Site, owner_page: Page) -> Page:
    """The records of a project without a model."""
    page = owner_page
    page.goto(f"{site.url}/projects/new/")
    page.get_by_label("Name").fill("First rows")
    page.get_by_role("button", name="Make the project").click()
    page.wait_for_url(re.compile(r"/projects/[0-9a-f-]{36}/$"))
    page.goto(page.url + "records/")
    page.get_by_label("Add a task").fill("tables")
    page.get_by_role("button", name="Add", exact=True).click()
    page.locator("input[type=file]").wait_for(state="attached")
    return page


def found(page: Page, path: Path) -> dict[str, Any] | None:
    """What the scripts find in the file."""
    page.locator("input[type=file]").set_input_files(path)
    answer: dict[str, Any] = page.evaluate(FIND)
    assert answer["ms"] < 6000, "the page waited"
    table: dict[str, Any] | None = answer["table"]
    return table


def shown(page: Page) -> list[list[str]]:
    page.locator("[data-preview] tbody tr").first.wait_for()
    return [row.locator("td").all_inner_texts() for row in page.locator("[data-preview] tbody tr").all()]


@pytest.mark.parametrize("packing", ["none", "snappy"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_parquet_file_shows_its_columns_types_and_first_rows(
    records: Page, problems: list[str], tmp_path: Path, packing: str, version: str
) -> None:
    moods = pa.table({name: column * 700 for name, column in MOODS.items()})
    path = tmp_path / "moods.parquet"
    pq.write_table(moods, path, compression=packing, data_page_version=version)
    table = found(records, path)
    assert table is not None
    assert (table["columns"], table["packed"]) == (["feeling", "said", "n"], "")
    assert table["types"] == {"feeling": "string", "said": "string", "n": "int64"}
    assert table["rows"][:3] == [
        {"feeling": "up", "said": "good morning", "n": 1},
        {"feeling": "down", "said": "bad, very bad", "n": "9007199254740993"},
        {"feeling": "up", "said": None, "n": 3},
    ]
    assert len(table["rows"]) == 5
    assert shown(records)[1] == ["down", "bad, very bad", "9007199254740993"]
    records.get_by_label("Hide values").check()
    assert shown(records)[1] == ["••••", "•••• •••• •••", "••••••••••••••••"]
    assert problems == []


def test_nested_columns_times_and_bytes_are_shown_shortened(
    records: Page, problems: list[str], tmp_path: Path
) -> None:
    rows = 2000  # more than one page of the lists
    whole = pa.table(
        {
            "x": pa.array([[float(n)] * 400 for n in range(rows)], pa.list_(pa.float32())),
            "answers": pa.array([{"text": ["a", "b"], "answer_start": [n]} for n in range(rows)]),
            "at": pa.array([datetime(2026, 1, 31, tzinfo=UTC)] * rows),
            "raw": pa.array([b"\x00" * 3000] * rows),
            "y": pa.array([None, *range(1, rows)], pa.int32()),
            "__index_level_0__": pa.array(range(rows)),
        }
    )
    path = tmp_path / "nested.parquet"
    pq.write_table(whole, path, use_dictionary=["y"])
    table = found(records, path)
    assert table is not None
    assert table["types"] == {
        "x": "list<float32>", "answers": "struct", "at": "timestamp", "raw": "binary", "y": "int32",
    }  # fmt: skip
    assert [row["answers"] for row in table["rows"][:2]] == [
        {"text": ["a", "b"], "answer_start": [0]}, {"text": ["a", "b"], "answer_start": [1]},
    ]  # fmt: skip
    assert table["rows"][4]["x"] == [4] * 16 + ["…"]
    first = table["rows"][0]
    assert (first["at"], first["raw"], first["y"]) == ("2026-01-31 00:00:00", "3000 B", None)
    picture(records, "parquet-nested")
    narrow(records)
    assert problems == []


def test_values_that_are_packed_otherwise_stay_closed_and_their_columns_do_not(
    records: Page, tmp_path: Path
) -> None:
    path = tmp_path / "moods.parquet"
    pq.write_table(pa.table(MOODS), path, compression="zstd")
    table = found(records, path)
    assert table is not None
    assert (table["columns"], table["rows"], table["packed"]) == (["feeling", "said", "n"], [], "ZSTD")
    note = records.locator("[data-packed]")
    expect(note).to_have_text("Values packed with ZSTD are not shown: only the server unpacks them.")


def damaged(path: Path) -> dict[str, bytes]:
    """A good file's bytes, spoilt in ways that a browser could choke on."""
    good = path.read_bytes()
    size = struct.unpack("<I", good[-8:-4])[0]
    return {
        "cut": good[: len(good) // 2],
        "empty": b"",
        "no-footer": good[:-8] + struct.pack("<I", 2**31) + b"PAR1",
        "long-footer": b"PAR1" + bytes(5 * 2**20) + struct.pack("<I", 5 * 2**20 - 8) + b"PAR1",
        "noise": good[: -8 - size] + np.random.default_rng(1).bytes(size) + good[-8:],
        # A list that says it has two thousand million members.
        "long-list": b"PAR1" + b"\x29\xfc\xff\xff\xff\xff\x07" + struct.pack("<I", 7) + b"PAR1",
    }


def test_damaged_files_are_told_and_can_still_be_sent(
    records: Page, problems: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "moods.parquet"
    pq.write_table(pa.table(MOODS), path)
    for name, content in damaged(path).items():
        bad = tmp_path / f"{name}.parquet"
        bad.write_bytes(content)
        assert found(records, bad) is None, name
        records.locator("[data-damaged]").wait_for()
        assert records.locator("[data-preview-table]").is_hidden()
        assert records.locator("[data-send]").is_enabled()
    found(records, path)
    records.locator("[data-damaged]").wait_for(state="hidden")
    assert len(shown(records)) == 3
    assert problems == []


def test_every_spoilt_byte_leaves_the_page_alive(records: Page, problems: list[str], tmp_path: Path) -> None:
    """Pages and footer with noise in them: the columns, or nothing, and soon."""
    path, chance = tmp_path / "moods.parquet", np.random.default_rng(7)
    pq.write_table(pa.table({name: column * 200 for name, column in MOODS.items()}), path)
    good = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(30):
        spoilt = good.copy()
        spoilt[chance.integers(4, len(good) - 8, 12)] = chance.integers(0, 256, 12)
        path.write_bytes(spoilt.tobytes())
        table = found(records, path)
        assert table is None or table["columns"]
    assert records.locator("[data-send]").is_enabled()
    assert problems == []


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_shows_its_arrays_and_their_first_rows(
    records: Page, problems: list[str], tmp_path: Path, save: Any
) -> None:
    path = tmp_path / "digits.npz"
    x = np.arange(2000 * 28 * 28, dtype=np.uint8).reshape(2000, 28, 28)
    half = np.linspace(-2, 2, 2000, dtype=np.float16)
    big = np.arange(2000, dtype=">i4")
    across = np.asfortranarray(np.ones((2000, 3), np.float32))
    save(path, x=x, y=np.arange(2000), half=half, big=big, across=across, scale=np.float64(0.5))
    table = found(records, path)
    assert table is not None
    assert table["types"] == {
        "x": "uint8 2000 × 28 × 28", "y": "int64 2000", "half": "float16 2000", "big": "int32 2000",
        "across": "float32 2000 × 3", "scale": "float64",
    }  # fmt: skip
    assert table["rows"][2] == {
        "x": [*(int(n) for n in x[2].flat[:16]), "…"], "y": 2, "half": round(float(half[2]), 6), "big": 2,
    }  # fmt: skip
    assert shown(records)[0][1] == "0"
    picture(records, "npz")
    narrow(records)
    path.write_bytes(path.read_bytes()[:-40])
    assert found(records, path) is None
    assert problems == []
