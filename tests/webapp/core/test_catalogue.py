"""A language is a folder and a line in LANGUAGES: pages and scripts speak it, and English carries nothing."""

from __future__ import annotations

import json
import re
import struct
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import translation

from tests.webapp.conftest import logged_in
from webapp.core.templatetags.catalogue import Catalogue, catalogue

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings

    from webapp.accounts.models import User

HEADER = (
    "Content-Type: text/plain; charset=UTF-8\n"
    "Plural-Forms: nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);\n"
)
PAGES = {"Tonight": "Dziś w nocy"}
SCRIPTS = {
    "Waiting for a worker.": "Czeka na <b>& wykonawcę</b>.</script>",
    "%(n)s step\0%(n)s steps": "%(n)s krok\0%(n)s kroki\0%(n)s kroków",
}


def write_mo(path: Path, texts: dict[str, str]) -> None:
    """A catalogue as msgfmt writes it: two tables of (length, offset), then the texts, sorted by key."""
    rows = sorted((key.encode(), value.encode()) for key, value in {"": HEADER, **texts}.items())
    at = 28 + 16 * len(rows)
    tables = [b"", b""]
    body = b""
    for place in (0, 1):
        for row in rows:
            tables[place] += struct.pack("<II", len(row[place]), at + len(body))
            body += row[place] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(rows), 28, 28 + 8 * len(rows), 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + tables[0] + tables[1] + body)


@pytest.fixture
def polish(settings: LazySettings, tmp_path: Path) -> None:
    """A contributor's folder, in Polish: three plural forms."""
    write_mo(tmp_path / "pl" / "LC_MESSAGES" / "django.mo", PAGES)
    write_mo(tmp_path / "pl" / "LC_MESSAGES" / "djangojs.mo", SCRIPTS)
    settings.LOCALE_PATHS = [tmp_path]
    settings.LANGUAGES = [("en", "English"), ("pl", "Polish")]


def carried(page: str) -> Any:
    """What js/i18n.js reads of the page."""
    blocks = re.findall(r'<script id="catalogue" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert len(blocks) == 1
    return json.loads(blocks[0])


def test_a_page_and_its_scripts_are_in_the_person_s_language(polish: None, alice: User) -> None:
    page = logged_in(alice).get("/", headers={"accept-language": "pl"}).content.decode()
    assert '<html lang="pl"' in page
    assert ">Dziś w nocy</a>" in page
    book = carried(page)
    assert book["catalog"] == {
        "Waiting for a worker.": SCRIPTS["Waiting for a worker."],
        "%(n)s step": ["%(n)s krok", "%(n)s kroki", "%(n)s kroków"],
    }
    assert len(book["forms"]) == 200
    assert [book["forms"][n] for n in (0, 1, 2, 5, 12, 22, 101, 102, 112)] == list("201221212")


def test_english_carries_nothing(polish: None, alice: User) -> None:
    client = logged_in(alice)
    for language in ("en", "en-gb", "fr"):
        page = client.get("/", headers={"accept-language": language}).content.decode()
        assert '<html lang="en"' in page
        assert ">Tonight</a>" in page
        assert 'id="catalogue"' not in page


def test_a_language_without_words_for_scripts_carries_nothing(polish: None, tmp_path: Path) -> None:
    (tmp_path / "pl" / "LC_MESSAGES" / "djangojs.mo").unlink()
    with translation.override("pl"):
        assert catalogue() == ""
    assert Catalogue("pl").words() == {}


def test_a_stranger_s_page_has_it_too(polish: None, db: None) -> None:
    page = Client().get("/accounts/login/", headers={"accept-language": "pl"}).content.decode()
    assert "%(n)s step" in carried(page)["catalog"]
