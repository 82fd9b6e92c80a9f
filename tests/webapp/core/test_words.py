"""Whatever a script says to a person, a catalogue can say in another language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.script_words import hidden, loose, reads, texts

SCRIPTS = Path(__file__).resolve().parents[3] / "webapp" / "static" / "js"

# What looks like words and is none: names of versions and of lanes, a code that is shown as it is, what
# stands in for a translated attribute, a command.
NO_WORDS = {
    "dialogs.js": {"Close"},
    "download-link.js": {"curl -fL -C - -o … '…'"},
    "header.js": {"…v…"},
    "matrix.js": {"v…"},
    "stages.js": {"Awake", "Merging", "REM dreaming", "NREM replay", "Downscaling", "Learning", "Scoring"},
}


def modules() -> list[Path]:
    return sorted(SCRIPTS.glob("*.js"))


@pytest.mark.parametrize("module", modules(), ids=lambda path: path.stem)
def test_every_sentence_of_a_script_can_be_translated(module: Path) -> None:
    source = module.read_text()
    allowed = NO_WORDS.get(module.name, set())
    assert [(line, text) for line, text in loose(source) if text not in allowed] == []
    assert hidden(source) == [], "a text that makemessages cannot find"


@pytest.mark.parametrize("module", modules(), ids=lambda path: path.stem)
def test_a_sentence_that_is_not_wrapped_is_found(module: Path) -> None:
    """The same scripts with every wrapping taken off: all that reads like words is told."""
    source = module.read_text()
    bare = re.sub(r'\b(?:_|gettext)\(("(?:\\.|[^"\\])*")\)', r"\1", source)
    sentences = {one for one, many in texts(source) if not many and reads(one)}
    assert sentences <= {text for _, text in loose(bare)}


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ('put(box, "now");', ["now"]),
        ("put(box, `${n} rows`);", ["… rows"]),
        ("return `${n} s`;", ["… s"]),
        ('box.textContent = ready ? "kept" : "lost";', ["kept", "lost"]),
        ('box.setAttribute("aria-label", "close");', ["close"]),
        ('const line = { key: "loss", label: "loss" };', ["loss"]),
        ("put(box, `${one ? `step ${n}` : _('all')} here`);", ["… here", "step …"]),
        ('put(box, _("now"));', []),
        ('put(box, ngettext("%(n)s row", "%(n)s rows", n));', []),
        ('box.className = "button button--small";', []),
        ('row.querySelector("tr[data-task] b") // "No words" here', []),
        ('if (kind === "live" || /No (words|here) "/.test(it)) box.setAttribute("role", "status");', []),
    ],
)
def test_words_are_told_from_code(script: str, found: list[str]) -> None:
    assert [text for _, text in loose(script)] == found


@pytest.mark.parametrize("script", ["_(words)", "_(`${n} rows`)", '_("a" + b)', 'ngettext("row", many, n)'])
def test_a_text_that_makemessages_cannot_find_is_told(script: str) -> None:
    assert len(hidden(script)) == 1


def test_the_texts_are_those_of_makemessages() -> None:
    script = (
        r"""a(_("It\u2019s \"so\""), ngettext("%(n)s row", "%(n)s rows", n), `${_("a hole")}`); // _("no")"""
    )
    assert texts(script) == [('It’s "so"', ""), ("%(n)s row", "%(n)s rows"), ("a hole", "")]
