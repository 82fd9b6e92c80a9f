"""Whatever the code writes into the audit log, its page has words for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from tests.webapp.conftest import logged_in
from webapp.core import audit
from webapp.core.audit_words import VERBS
from webapp.cycles.transitions import OWN_STEPS

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace

ROOT = Path(__file__).resolve().parents[3]
SOURCES = [path for name in ("webapp", "workers") for path in sorted((ROOT / name).rglob("*.py"))]


def named(function: ast.FunctionDef) -> list[str]:
    return [arg.arg for arg in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]


def written(source: str) -> Iterator[tuple[int, list[str]]]:
    """(line, the verbs there) of every call that hands a verb on to a function; a module's own helpers may
    take it by its place."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    helpers = {node.name: named(node).index("verb") for node in functions if "verb" in named(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        given = [word.value for word in node.keywords if word.arg == "verb"]
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if not given and name in helpers:
            given = node.args[helpers[name] : helpers[name] + 1]
        for value in given:
            if isinstance(value, ast.Name) and value.id == "verb":
                continue  # handed on: whoever called gave it
            yield (
                node.lineno,
                [
                    one.value
                    for one in ast.walk(value)
                    if isinstance(one, ast.Constant) and isinstance(one.value, str)
                ],
            )


def test_every_verb_that_the_code_writes_has_words() -> None:
    found: dict[str, str] = {}
    for path in SOURCES:
        for line, verbs in written(path.read_text()):
            assert verbs, f"{path}:{line}: this verb cannot be read from the source"
            found |= dict.fromkeys(verbs, f"{path}:{line}")
    assert {"record_set_erase", "schedule_update", "worker_drain", "upload_take_rest"} <= set(found)
    assert {verb: place for verb, place in found.items() if verb not in VERBS} == {}
    assert set(OWN_STEPS) <= set(VERBS)
    assert set(VERBS) == set(found) | set(OWN_STEPS), "words for a verb that nothing writes"


@pytest.mark.parametrize(
    ("source", "verbs"),
    [
        ('audit.record(verb="a_b", target=x)', ["a_b"]),
        ('def _audit(row, verb): audit.record(verb=verb)\n_audit(row, "a_b")', ["a_b"]),
        ('audit.record(verb="on" if x else "off")', ["on", "off"]),
        ("audit.record(verb=names[0])", []),
    ],
)
def test_a_verb_is_found(source: str, verbs: list[str]) -> None:
    assert [found for _, found in written(source)] == [verbs]


def test_the_page_says_what_was_done_and_how_it_is_called(alice: User, workspace: Workspace) -> None:
    audit.record(workspace=workspace, actor=alice, verb="record_set_erase", target=workspace, rows=3)
    audit.record(workspace=workspace, actor=alice, verb="<gone>", target=workspace)
    text = logged_in(alice).get(reverse("settings_audit")).content.decode()
    assert "erased records" in text
    assert ">record_set_erase</code>" in text
    assert ">&lt;gone&gt;</code>" in text, "a verb of an older version is shown as it is"
