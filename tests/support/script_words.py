"""The words in our scripts: which can be translated, and which a person would read in English anyway.

A lexer as simple as the scripts are: strings, templates, comments and regular expressions are told apart, and
each string knows what it is given to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

TRANSLATED: Final = frozenset({"_", "gettext", "ngettext"})

# What is given to these is for the browser, not for a person.
MACHINE_CALLS: Final = frozenset(
    {
        "Broken", "Cancelled", "Error", "URL", "add", "addEventListener", "closest", "contains",
        "createElement", "createElementNS", "dispatchEvent", "faded", "fetch", "getAttribute", "getContext",
        "getElementById", "hasAttribute", "import", "includes", "mark", "matchMedia", "matches", "namedItem",
        "open", "part", "querySelector", "querySelectorAll", "remove", "removeAttribute",
        "removeEventListener", "replace", "say", "set", "setProperty", "setRequestHeader", "split",
        "startsWith", "toggle", "token",
    }
)  # fmt: skip
MACHINE_PROPERTIES: Final = frozenset(
    {
        "class", "className", "font", "headers", "key", "lane", "method", "name", "role", "textAlign",
        "textBaseline", "token", "type",
    }
)  # fmt: skip
# What is given to these is read by a person: the places of those arguments.
SPOKEN_CALLS: Final[dict[str, set[int]]] = {
    "Option": {0}, "_fill": {2}, "_note": {2}, "_set": {1, 2, 3}, "alert": {0}, "confirm": {0}, "el": {1},
    "fillText": {0}, "node": {2}, "put": {1}, "replaceChildren": {0, 1, 2, 3}, "tell": {0}, "toast": {0},
}  # fmt: skip
SPOKEN_PROPERTIES: Final = frozenset(
    {
        "alt", "ariaLabel", "innerText", "label", "note", "placeholder", "text", "textContent", "title",
        "word", "words",
    }
)  # fmt: skip
SPOKEN_ATTRIBUTES: Final = frozenset({"alt", "aria-description", "aria-label", "placeholder", "title"})

HOLE: Final = "\0"
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
      | (?P<name>[A-Za-z_$][\w$]*)
      | (?P<number>\d[\w.]*)
      | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
      | (?P<mark>=>|===|!==|==|!=|<=|>=|&&|\|\||\?\?|\?\.|\.\.\.|[^\w\s"'`])""",
    re.VERBOSE | re.DOTALL,
)
_REGEX: Final = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/[a-z]*")
_BEFORE_REGEX: Final = frozenset({*"(,=:[!&|?{};", "=>", "&&", "||", "??", "===", "!==", "return", "case"})


@dataclass(frozen=True)
class Token:
    """A piece of a script. A string's `text` is its value; a template's has a HOLE for each expression."""

    kind: str
    text: str
    line: int


@dataclass
class _Open:
    """A bracket that is open: whose call it is, its commas and first string so far, what is being set."""

    mark: str
    callee: str
    commas: int = 0
    target: str = ""
    first: str = ""


@dataclass(frozen=True)
class Literal:
    """A string or template: what stands around it, which argument of which call it is, what it is set to."""

    text: str
    line: int
    before: str
    after: str
    callee: str
    place: int
    target: str
    first: str

    @property
    def translated(self) -> bool:
        """Whether makemessages finds it: a plain string in the place of a text."""
        places = 2 if self.callee == "ngettext" else 1
        return self.callee in TRANSLATED and self.place < places and self.before in {"(", ","}

    @property
    def spoken(self) -> bool:
        """Whether it is given to something that a person reads, whatever it looks like."""
        if self.callee == "setAttribute":
            return self.place == 1 and self.first in SPOKEN_ATTRIBUTES
        return self.target in SPOKEN_PROPERTIES or self.place in SPOKEN_CALLS.get(self.callee, ())

    @property
    def machine(self) -> bool:
        """Whether it is for the browser or compared with something."""
        attribute = self.callee == "setAttribute" and not self.spoken
        compared = self.before in {"===", "!==", "from", "import", "case"} or self.after in {"===", "in"}
        return attribute or compared or self.callee in MACHINE_CALLS or self.target in MACHINE_PROPERTIES


def tokens(source: str) -> list[Token]:
    """The script in pieces; what a template's holes hold follows it, between "${" and "}"."""
    found: list[Token] = []
    _lex(source, 0, found, nested=False)
    return found


def _lex(source: str, at: int, found: list[Token], *, nested: bool) -> int:
    depth = 0
    while at < len(source):
        line = source.count("\n", 0, at) + 1
        if source[at] == "`":
            at = _template(source, at, found)
            continue
        before = found[-1].text if found and found[-1].kind != "string" else ""
        match = None
        if source[at] == "/" and source[at + 1] not in "/*" and (before in _BEFORE_REGEX or not found):
            match = _REGEX.match(source, at)
            kind = "regex"
        if match is None:
            match = _TOKEN.match(source, at)
            if match is None:
                raise ValueError(f"line {line}: {source[at : at + 20]!r}")
            kind = str(match.lastgroup)
        text, at = match[0], match.end()
        if kind == "space":
            continue
        if nested and text == "}" and depth == 0:
            return at
        depth += (text == "{") - (text == "}")
        found.append(Token(kind, _plain(text) if kind == "string" else text, line))
    return at


def _plain(text: str) -> str:
    """A quoted string's own value."""
    return re.sub(r"\\(u\{?([0-9a-fA-F]+)\}?|.)", _escaped, text[1:-1], flags=re.DOTALL)


def _escaped(match: re.Match[str]) -> str:
    if match[2]:
        return chr(int(match[2], 16))
    return {"n": "\n", "t": "\t", "r": "\r"}.get(match[1], match[1])


def _template(source: str, at: int, found: list[Token]) -> int:
    line, text, at = source.count("\n", 0, at) + 1, "", at + 1
    holes: list[Token] = []
    while source[at] != "`":
        if source.startswith("${", at):
            holes.append(Token("mark", "${", line))
            at = _lex(source, at + 2, holes, nested=True)
            holes.append(Token("mark", "}", line))
            text += HOLE
        else:
            step = 2 if source[at] == "\\" else 1
            text, at = text + source[at : at + step], at + step
    found += [Token("template", text, line), *holes]
    return at + 1


def literals(source: str) -> list[Literal]:
    """Every string and template with what it is given to."""
    found: list[Literal] = []
    stack = [_Open("", "")]
    before = Token("mark", "", 0)
    name = ""
    pieces = tokens(source)
    for token, after in zip(pieces, [*pieces[1:], before], strict=True):
        top = stack[-1]
        key = top.mark == "{" and before.text in {"{", ","} and after.text == ":"
        if token.kind in {"string", "template"} and not key:
            call = next((one for one in reversed(stack) if one.mark != "(" or one.callee), stack[0])
            if not top.callee and top.mark == "(":
                target = call.target or next((one.target for one in reversed(stack) if one.target), "")
            else:
                target = top.target
            around = (before.text if before.kind != "string" else "", after.text)
            literal = Literal(token.text, token.line, *around, call.callee, call.commas, target, call.first)
            found.append(literal)
            if top.mark == "(" and not top.commas:
                top.first = token.text
        elif token.text in {"(", "[", "{", "${"}:
            callee = before.text if token.text == "(" and before.kind == "name" else ""
            stack.append(_Open(token.text, callee if callee not in {"if", "return", "for", "while"} else ""))
        elif token.text in {")", "]", "}"}:
            if len(stack) > 1:
                stack.pop()
        elif token.text in {",", ";"}:
            top.commas += token.text == ","
            top.target = ""
        elif name and (token.text == "=" or (token.text == ":" and top.mark == "{" and not top.target)):
            top.target = name  # the colon of `a ? b : c` comes when something is being set already
        name = token.text if token.kind in {"name", "string"} else ""
        before = token
    return found


def texts(source: str) -> list[tuple[str, str]]:
    """What makemessages finds: each text, and its plural or ""."""
    found: list[tuple[str, str]] = []
    for literal in literals(source):
        if not literal.translated:
            continue
        if literal.callee == "ngettext" and literal.place == 1:
            found[-1] = (found[-1][0], literal.text)
        else:
            found.append((literal.text, ""))
    return found


def hidden(source: str) -> list[tuple[int, str]]:
    """Calls for a translation that makemessages does not find, for their text is no plain string."""
    pieces = tokens(source)
    found = []
    for at, token in enumerate(pieces[:-3]):
        call = token.kind == "name" and token.text in TRANSLATED and pieces[at + 1].text == "("
        if not call or (at and pieces[at - 1].text == "function"):
            continue
        step = 2 if token.text == "ngettext" else 1
        given = pieces[at + 2 : at + 2 + 2 * step]
        plain = all(one.kind == "string" for one in given[::2])
        if not plain or any(one.text not in {",", ")"} for one in given[1::2]):
            found.append((token.line, token.text))
    return found


_WORD: Final = re.compile(r"[(“„\"']*[a-z][a-z’']*[.,;:!?…)”\"']*")
_CODE: Final = re.compile(r"--|__|[\[\]#={}@<>\\/]|^\.|[a-z]\(|\w:\w")


def reads(text: str) -> bool:
    """Whether it looks like a sentence or a label: words side by side, a unit after a number, a capital."""
    parts = text.split()
    if any(_CODE.search(part) for part in parts):
        return False
    if len(parts) > 1 and any(_WORD.fullmatch(part) or part == "%" for part in parts):
        return True
    return re.match(r"[A-Z][a-z]", text) is not None


def loose(source: str) -> list[tuple[int, str]]:
    """What a person would read and no catalogue can change: line and text, with … for a value."""
    found = []
    for literal in literals(source):
        if literal.translated or literal.machine:
            continue
        text = re.sub(r"%\(\w+\)s", HOLE, literal.text)
        if reads(text) or (literal.spoken and re.search(r"[^\W\d_]", text)):
            found.append((literal.line, literal.text.replace(HOLE, "…")))
    return found
