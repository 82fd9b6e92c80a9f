"""Patterns that tokenizers use are let through; those that could take for ever are not, and none is run."""

from __future__ import annotations

import random
import re
import string

import pytest

from consolidation.formats.pattern_check import danger

USED = {
    "GPT-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "Llama 3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    "capitals apart": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{M}]*[\p{Ll}\p{Lm}\p{M}]+(?i:'s|'t)?|\p{N}{1,3}|\s+",
    "punctuation": r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[\r\n]+|\s?\p{P}+""",
    "digits in threes": r"(?=(\d{3})+(?!\d))",
    "digits from behind": r"\d{1,3}(?=(?:\d{3})*\b)",
    "a class in a class": r"[[:alpha:]&&[^a-z]]+",
    "a bracket in a class": r"[]a]+|[^]b]",
    "a brace that is none": r"{|a{x}",
    "spaces": r" {2,}",
    "words in a row": r"(?:ab|cd)+",
}

ENDLESS = (
    "(a+)+", "(a*)*", "(a|a)*", "(a|aa)+", "(a|b|ab)*", "(a?){50}", "(?:a|[a-z])*", "(.*)*", r"(\w+\s?)+$",
    "((a+)b?)*", "((((a+))))+", "(|a)+", "(?=a+)*b(c+)+", "(?:(?:a+))*", r"(a{1,9}){20}", r"(a+){9}",
    r"\s*" * 10, "a{5000}", "x" * 5000,
)  # fmt: skip

ODD = (
    r"(a)\1", r"(?<x>a)\k<x>", r"\g<0>", "(?R)", "(?1)", "(?P>x)", "(?(1)a|b)", "a**", "a+{3}", "(a", "a)",
    "[a", "(?", "\\", "(" * 40 + ")" * 40, r"\p{",
)  # fmt: skip


@pytest.mark.parametrize("name", USED)
def test_what_tokenizers_use_is_quick(name: str) -> None:
    assert danger(USED[name]) == ""


@pytest.mark.parametrize("pattern", [*ENDLESS, *ODD])
def test_what_could_take_for_ever_or_is_not_understood_is_named(pattern: str) -> None:
    assert danger(pattern)


def test_any_text_is_judged_without_an_error() -> None:
    rng = random.Random(5)
    letters = "ab()[]{}|*+?\\.^$,:=!<>0123pk" + string.whitespace
    for _ in range(3000):
        danger("".join(rng.choices(letters, k=rng.randint(0, 40))))


def test_what_is_let_through_is_quick_where_it_can_be_run() -> None:
    """Python's own engine backs off in the same way; on texts made to hurt, none of them may take long."""
    rng = random.Random(7)
    parts = ("a", "b", "[ab]", ".", "(a|b)", "(?:ab|b)", "(a+)", "(?:a?b)")
    times = ("", "", "*", "+", "?", "{2}", "{1,3}", "{12}")
    let_through = 0
    for _ in range(800):
        pattern = "".join(rng.choice(parts) + rng.choice(times) for _ in range(rng.randint(1, 4)))
        if rng.random() < 0.5:
            pattern = f"(?:{pattern}){rng.choice(times)}"
        if danger(pattern):
            continue
        let_through += 1
        # Quick is a few thousand steps; endless would be 2 to the 40th.
        re.compile(pattern).fullmatch("a" * 40 + "!")
    assert let_through > 200
