"""Laws of the design system: contrast in both themes, one set of names, nothing inline, nothing foreign."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

WEBAPP = Path(settings.BASE_DIR) / "webapp"
CSS = WEBAPP / "static" / "css"
TOKENS = (CSS / "tokens.css").read_text()
TEMPLATES = sorted((WEBAPP / "templates").rglob("*.html"))
OURS = [*TEMPLATES, *sorted(CSS.glob("*.css")), *sorted((WEBAPP / "static" / "js").glob("*.js"))]

TEXT = ("text", "muted", "faint", "accent", "good", "bad", "warn")
GROUNDS = ("bg", "surface")
MARKS = (
    *(f"task-{n}" for n in range(1, 9)),
    *(f"stage-{name}" for name in ("awake", "merging", "rem", "nrem", "significance")),
    "line-strong",
    "focus",
)


def block(selector: str) -> dict[str, str]:
    """The custom properties of the first rule with this selector."""
    body = TOKENS.split(selector + " {", 1)[1].split("}", 1)[0]
    return dict(re.findall(r"--([\w-]+):\s*([^;]+);", body))


LIGHT = block(":root")
DARK = {**LIGHT, **block(':root[data-theme="dark"]')}
THEMES = {"light": LIGHT, "dark": DARK}


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("ink", TEXT)
def test_text_can_be_read(theme: str, ground: str, ink: str) -> None:
    tokens = THEMES[theme]
    assert contrast(tokens[ink], tokens[ground]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("mark", MARKS)
def test_lines_of_charts_can_be_seen(theme: str, mark: str) -> None:
    tokens = THEMES[theme]
    assert contrast(tokens[mark], tokens["surface"]) >= 3


@pytest.mark.parametrize("theme", THEMES)
def test_words_on_the_accent_can_be_read(theme: str) -> None:
    tokens = THEMES[theme]
    assert contrast(tokens["accent-text"], tokens["accent"]) >= 4.5


def test_the_system_s_dark_is_the_chosen_dark() -> None:
    assert block(':root:not([data-theme="light"])') == block(':root[data-theme="dark"]')


def test_every_token_that_is_used_exists() -> None:
    scripts = "".join(path.read_text() for path in (WEBAPP / "static" / "js").glob("*.js"))
    known = set(DARK) | set(re.findall(r"[\"']--([\w-]+)[\"']", scripts))
    for sheet in sorted(CSS.glob("*.css")):
        own = set(re.findall(r"--([\w-]+)\s*:", sheet.read_text()))
        used = set(re.findall(r"var\(--([\w-]+)\)", sheet.read_text()))
        assert used <= known | own, sheet.name


@pytest.mark.parametrize(
    "template", TEMPLATES, ids=lambda path: path.relative_to(WEBAPP / "templates").as_posix()
)
def test_no_template_holds_a_script_or_a_style(template: Path) -> None:
    text = template.read_text()
    if template.parent.name == "reports":
        # The report is one file that needs nothing but itself; its policy allows this sheet by hash.
        text = text.replace("<style>{{ style }}</style>", "", 1)
    assert not re.search(r"\sstyle\s*=|<style", text)
    assert not re.search(r"\son\w+\s*=\s*[\"']", text)
    for tag in re.findall(r"<script\b[^>]*>", text):
        assert "src=" in tag
    assert "|safe" not in text


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere(path: Path) -> None:
    text = path.read_text().replace("http://www.w3.org/", "")
    assert not re.search(r"(?:src|href|url|import|fetch)\s*[=(]?\s*[\"'(]?\s*(?:https?:)?//\w", text)
