"""The words of the live socket: what a browser may say, what it hears, and the limits on both.

Client: `sub {topic, after?}`, `unsub {topic}`, `ping`, `pong`.
Server: `hello {topic, last, state}`, `frames {topic, items, last}`, `reset {topic, reason, last}`, `ping`,
`pong`, `bye {code}` before every close of ours.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TOPICS: Final = 20
MAX_SOCKETS: Final = 10
MAX_INBOUND_BYTES: Final = 64 * 1024
MAX_INBOUND_RATE: Final = 30
PING_SECONDS: Final = 15.0
SILENCE_SECONDS: Final = 45.0
RECHECK_SECONDS: Final = 60.0
NOTICE_SECONDS: Final = 1.0
REPLAY_FRAMES: Final = 2_000
MESSAGE_BYTES: Final = 512 * 1024
QUEUE_MESSAGES: Final = 256
QUEUE_BYTES: Final = 4 * 1024 * 1024
DRAIN_SECONDS: Final = 10.0


class Code(IntEnum):
    """Why the server closes a socket."""

    MALFORMED = 4400
    LOGIN = 4401
    ROLE_LOST = 4403
    GONE = 4404
    TOO_SLOW = 4408
    TOO_MANY = 4429
    DRAINING = 4503


class ProtocolError(Exception):
    """The client said something that the protocol does not know; the socket is closed with `code`."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass(frozen=True, slots=True)
class Sub:
    """Watch a cycle; `after`: the last frame that the viewer has, None: only what comes from now on."""

    cycle: uuid.UUID
    after: int | None


@dataclass(frozen=True, slots=True)
class Unsub:
    """Watch it no longer."""

    cycle: uuid.UUID


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there?"""


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to our ping."""


Message = Sub | Unsub | Ping | Pong


def topic(cycle: uuid.UUID) -> str:
    """The name of a cycle's stream."""
    return f"cycle:{cycle}"


def parse(text: str | None) -> Message:
    """One message of a client. Raises ProtocolError (4400) for binary, over-long, broken or unknown ones."""
    if text is None or len(text.encode()) > MAX_INBOUND_BYTES:
        raise ProtocolError(Code.MALFORMED)
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(Code.MALFORMED) from error
    if not isinstance(body, dict):
        raise ProtocolError(Code.MALFORMED)
    match body.get("type"):
        case "ping":
            return Ping()
        case "pong":
            return Pong()
        case "sub":
            after = body.get("after")
            if after is not None and (isinstance(after, bool) or not isinstance(after, int)):
                raise ProtocolError(Code.MALFORMED)
            return Sub(_cycle(body), after)
        case "unsub":
            return Unsub(_cycle(body))
    raise ProtocolError(Code.MALFORMED)


def _cycle(body: dict[str, Any]) -> uuid.UUID:
    name = body.get("topic")
    if not isinstance(name, str) or not name.startswith("cycle:"):
        raise ProtocolError(Code.MALFORMED)
    try:
        return uuid.UUID(name.removeprefix("cycle:"))
    except ValueError as error:
        raise ProtocolError(Code.MALFORMED) from error


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A frame with its JSON already written: parsed by no one between the database and the browser."""

    seq: int
    text: str


def hello(cycle: uuid.UUID, last: int, state: dict[str, Any]) -> str:
    """What a viewer knows before the first frame. Frames above `last` follow."""
    return json.dumps({"type": "hello", "topic": topic(cycle), "last": last, "state": state}, default=str)


def frames(cycle: uuid.UUID, items: list[RawFrame]) -> str:
    """Consecutive frames, oldest first; `items` is not empty."""
    joined = ",".join(item.text for item in items)
    return f'{{"type":"frames","topic":"{topic(cycle)}","items":[{joined}],"last":{items[-1].seq}}}'


def in_messages(cycle: uuid.UUID, items: list[RawFrame]) -> Iterator[tuple[str, int]]:
    """Consecutive frames as one or more `frames` messages of about MESSAGE_BYTES at most, each with its last
    number: what a browser has to parse at once stays small."""
    some: list[RawFrame] = []
    size = 0
    for item in items:
        if some and size + len(item.text) > MESSAGE_BYTES:
            yield frames(cycle, some), some[-1].seq
            some, size = [], 0
        some.append(item)
        size += len(item.text)
    if some:
        yield frames(cycle, some), some[-1].seq


def reset(cycle: uuid.UUID, reason: str, last: int) -> str:
    """Frames up to `last` will not come on this socket: fetch them over HTTP.

    Reasons: `ahead` (the viewer claims frames that do not exist; what it holds is not of this stream),
    `behind` (too far back to be sent here), `slow` (it did not read fast enough; what it holds is right).
    """
    return json.dumps({"type": "reset", "topic": topic(cycle), "reason": reason, "last": last})


def bye(code: Code) -> str:
    """Said before the close, because some proxies swallow close codes."""
    return json.dumps({"type": "bye", "code": int(code)})


PING: Final = json.dumps({"type": "ping"})
PONG: Final = json.dumps({"type": "pong"})
