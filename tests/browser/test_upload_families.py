"""The upload form asks of a file what its family needs, and only that."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING

import pytest
import torch

from consolidation.families.registry import FAMILIES
from tests.consolidation.formats.files import family_file, mlp_file
from tests.consolidation.formats.folders import LLAMA, TOKENIZER, js, packed
from tests.consolidation.formats.folders import model as hf_folder
from tests.consolidation.formats.gguf_files import tiny

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser.conftest import Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

CNN = {"input": [3, 8, 8], "convolutions": [4], "norm": True, "activation": "relu", "classes": 3}
RESNET = {"architecture": "resnet18", "width": 2, "input": [3, 8, 8], "classes": 3}


def asked(page: Page) -> set[str]:
    names = page.locator("[data-form^='config.']:visible").evaluate_all(
        "all => all.map((f) => f.dataset.form)"
    )
    return {str(name).removeprefix("config.") for name in names}


def test_each_family_is_asked_its_own_questions(
    site: Site, owner_page: Page, problems: list[str], tmp_path: Path
) -> None:
    page = owner_page
    page.goto(f"{site.url}/projects/new/")
    page.get_by_label("Name").fill("Pictures")
    page.get_by_role("button", name="Make the project").click()
    page.wait_for_url(re.compile(r"/projects/[0-9a-f-]{36}/$"))
    page.goto(page.url + "upload/")
    chooser = page.locator("input[type=file]")

    chooser.set_input_files(mlp_file(tmp_path / "mlp.safetensors", described=False))
    page.locator("[data-ask]").wait_for()
    assert asked(page) == {"activation"}
    vision = FAMILIES["vision"].validate_config(RESNET)
    chooser.set_input_files(family_file(tmp_path / "resnet.safetensors", "vision", vision, described=False))
    page.get_by_label("Architecture").wait_for()
    assert asked(page) == {"architecture", "input", "layout", "classes"}
    cnn = FAMILIES["cnn"].validate_config(CNN)
    chooser.set_input_files(family_file(tmp_path / "cnn.safetensors", "cnn", cnn, described=False))
    page.get_by_label("Pooling").wait_for()
    assert asked(page) == {"input", "layout", "activation", "pooling"}
    page.get_by_label("Family").select_option("vision")
    assert "architecture" in asked(page)
    page.get_by_label("Family").select_option("")

    page.get_by_label("Input size").fill("3x8x8")
    page.get_by_role("button", name=re.compile("^Upload")).first.click()
    page.get_by_text(re.compile(r"\bv1\b")).first.wait_for(timeout=30_000)
    assert problems == []


def test_weights_of_torch_save_come_in_and_a_hostile_one_is_refused_with_its_sentence(
    site: Site, owner_page: Page, problems: list[str], tmp_path: Path
) -> None:
    weights = {"net.0.weight": torch.ones(3, 4), "net.0.bias": torch.zeros(3)}
    torch.save({"state_dict": weights, "epoch": 7}, tmp_path / "model.pt")
    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as archive:
        archive.writestr("evil/data.pkl", b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R.")
    page = owner_page
    page.goto(f"{site.url}/projects/new/")
    page.get_by_label("Name").fill("From PyTorch")
    page.get_by_role("button", name="Make the project").click()
    page.wait_for_url(re.compile(r"/projects/[0-9a-f-]{36}/$"))
    page.goto(page.url + "upload/")
    chooser = page.locator("input[type=file]")

    chooser.set_input_files(tmp_path / "evil.pt")
    page.get_by_text("code in the file is never run").wait_for()
    page.get_by_role("button", name=re.compile("^Upload")).first.click()
    page.get_by_text("evil.pt asks for posix.system; only tensor types are accepted.").first.wait_for()
    assert page.locator("[data-refused-code]").inner_text() == "pickle.global_forbidden"

    chooser.set_input_files(tmp_path / "model.pt")
    page.get_by_label("Family").select_option("mlp")
    assert asked(page) == {"activation"}
    page.get_by_role("button", name=re.compile("^Upload")).first.click()
    page.locator("[data-ready-link]").click(timeout=30_000)
    page.get_by_text("What was left out or changed").wait_for()
    page.get_by_text("Not taken over: epoch.").wait_for()
    assert problems == []


def test_a_gguf_model_comes_in_with_its_description(
    site: Site, owner_page: Page, problems: list[str], tmp_path: Path
) -> None:
    page = owner_page
    page.goto(f"{site.url}/projects/new/")
    page.get_by_label("Name").fill("From llama.cpp")
    page.get_by_role("button", name="Make the project").click()
    page.wait_for_url(re.compile(r"/projects/[0-9a-f-]{36}/$"))
    page.goto(page.url + "upload/")
    template = {"tokenizer.chat_template": "{{ 7 * 7 }}"}
    path = tiny(tmp_path / "model.gguf", quantised={"blk.0.ffn_up.weight": "Q4_0"}, more=template)
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_text("its chat template is never run").wait_for()
    assert asked(page) == set()
    page.get_by_role("button", name=re.compile("^Upload")).first.click()
    page.locator("[data-ready-link]").click(timeout=30_000)
    page.get_by_text("1 of 21 tensors were quantised (Q4_0)").wait_for()
    page.get_by_text("tokenizer_gguf.json").first.wait_for()
    assert problems == []


def test_a_models_folder_comes_in_and_its_page_says_what_can_be_done_with_it(
    site: Site, owner_page: Page, problems: list[str], tmp_path: Path
) -> None:
    files = hf_folder(LLAMA) | {"tokenizer.json": js(TOKENIZER), "modeling.py": b"import os"}
    (tmp_path / "llama.zip").write_bytes(packed(files, "zip-deflated"))
    page = owner_page
    page.goto(f"{site.url}/projects/new/")
    page.get_by_label("Name").fill("A folder")
    page.get_by_role("button", name="Make the project").click()
    page.wait_for_url(re.compile(r"/projects/[0-9a-f-]{36}/$"))
    project = page.url
    page.goto(project + "upload/")
    page.locator("input[type=file]").set_input_files(tmp_path / "llama.zip")
    page.get_by_text("A model's folder. The server reads").wait_for()
    assert asked(page) == set(), "nothing, until somebody says that it has no config.json"
    page.get_by_label("Family").select_option("cnn")
    assert "input" in asked(page)
    page.get_by_label("Family").select_option("")
    page.get_by_role("button", name=re.compile("^Upload")).first.click()
    page.locator("[data-ready-link]").click(timeout=30_000)
    for words in ("Hugging Face folder", "tokenizer.json", "never run: modeling.py"):
        page.get_by_text(words).first.wait_for()
    assert page.get_by_text("cannot train them").count() == 0
    page.goto(project)
    page.get_by_text("v1").first.wait_for()
    assert problems == []
