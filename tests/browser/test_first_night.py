"""The first night, as a new user walks it: link, demo, sleep, watch, compare, download."""

from __future__ import annotations

import json
import re
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.jobs import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Download, Page

    from tests.browser.conftest import Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def saved(download: Download, folder: Path) -> bytes:
    path = folder / download.suggested_filename
    download.save_as(path)
    return path.read_bytes()


def header(content: bytes) -> dict[str, object]:
    (length,) = struct.unpack("<Q", content[:8])
    parsed: dict[str, object] = json.loads(content[8 : 8 + length])
    return parsed


def test_demo_from_click_to_download(
    site: Site, owner_page: Page, problems: list[str], tmp_path: Path
) -> None:
    page = owner_page
    page.goto(f"{site.url}/")
    began = time.monotonic()
    page.get_by_role("button", name="Try the demo model").first.click()
    page.wait_for_url(re.compile(r"/projects/[0-9a-f-]{36}/$"))

    # Five wakes learn five tasks in turn; when the last is done, one click puts the model to sleep.
    sleep = page.get_by_role("button", name=re.compile("Put .*to sleep"))
    sleep.first.wait_for(timeout=90_000)
    sleep.first.click()
    page.wait_for_url(re.compile(r"/cycles/[0-9a-f-]{36}/"))

    verdict = page.locator("[data-verdict]")
    verdict.filter(has_text=re.compile("Improved", re.IGNORECASE)).first.wait_for(timeout=60_000)
    seconds = time.monotonic() - began
    print(f"demo, click to verdict: {seconds:.1f} s")
    assert page.locator("canvas").count() >= 3, "charts of retention, forgetting and loss"
    assert page.locator("table").filter(has_text="Digits, shuffle 1").count() >= 1

    with page.expect_download() as waiting:
        page.get_by_role("link", name=re.compile("Download")).first.click()
    content = saved(waiting.value, tmp_path)
    found = header(content)
    assert {"net.0.weight", "net.0.bias", "net.4.weight"} <= set(found)
    metadata = found["__metadata__"]
    assert isinstance(metadata, dict)
    assert metadata["nocturne.family"] == "mlp"
    assert problems == []


def test_a_checkpoint_of_ones_own_goes_in_and_comes_out_alike(
    site: Site, owner_page: Page, problems: list[str], tmp_path: Path
) -> None:
    """Create a project, upload a file without a description, answer the form, download the same tensors."""
    import numpy as np
    from safetensors.numpy import load, save_file

    rng = np.random.default_rng(1)
    tensors = {
        "fc1.weight": rng.normal(size=(8, 16)).astype(np.float32),
        "fc1.bias": np.zeros(8, np.float32),
        "fc2.weight": rng.normal(size=(3, 8)).astype(np.float32),
        "fc2.bias": np.zeros(3, np.float32),
    }
    path = tmp_path / "mine.safetensors"
    save_file(tensors, path)
    page = owner_page
    page.goto(f"{site.url}/projects/new/")
    page.get_by_label("Name").fill("My own model")
    page.get_by_role("button", name="Make the project").click()
    page.wait_for_url(re.compile(r"/projects/[0-9a-f-]{36}/$"))
    page.goto(page.url + "upload/")
    page.locator("input[type=file]").set_input_files(path)
    if (start := page.get_by_role("button", name=re.compile("^Upload"))).count() and start.first.is_enabled():
        start.first.click()
    page.get_by_text(re.compile(r"\bv1\b")).first.wait_for(timeout=30_000)
    page.get_by_role("link", name=re.compile(r"v1|checkpoint", re.IGNORECASE)).first.click()
    page.wait_for_url(re.compile(r"/checkpoints/"))
    with page.expect_download() as waiting:
        page.get_by_role("link", name=re.compile("Download")).first.click()
    back = load(saved(waiting.value, tmp_path))
    assert set(back) == set(tensors)
    for name, value in tensors.items():
        assert (back[name] == value).all(), name
    assert problems == []


def test_a_text_file_in_disguise_is_refused_with_its_sentence(
    site: Site, owner_page: Page, problems: list[str], tmp_path: Path
) -> None:
    page = owner_page
    page.goto(f"{site.url}/projects/new/")
    page.get_by_label("Name").fill("Disguise")
    page.get_by_role("button", name="Make the project").click()
    page.wait_for_url(re.compile(r"/projects/[0-9a-f-]{36}/$"))
    page.goto(page.url + "upload/")
    incoming = site.data / "store" / ".incoming"
    waiting = set(incoming.glob("*"))
    fake = tmp_path / "model.safetensors"
    fake.write_text("this is a letter, not a model\n" * 20)
    page.locator("input[type=file]").set_input_files(fake)
    if (start := page.get_by_role("button", name=re.compile("^Upload"))).count() and start.first.is_enabled():
        start.first.click()
    refused = page.locator("[data-refused]")
    refused.wait_for(timeout=30_000)
    assert "safetensors" in refused.inner_text()
    # other tests' files may wait there for their bad rows to be left out
    eventually(lambda: set(incoming.glob("*")) <= waiting, what="the end of the refused file")
