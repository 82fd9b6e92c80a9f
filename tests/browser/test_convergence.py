"""State and events are the fresh state (R13).

Whatever happens to frames on their way, and in whatever order a page hears of them: it ends with what a page
has that was opened just now and read them all.
"""

from __future__ import annotations

import json
import math
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.support import night
from tests.webapp.live.people import COOKIE, Web, session_of
from webapp.cycles.selectors import cycle_state
from webapp.cycles.transitions import transition
from webapp.live import protocol
from webapp.live.compaction import cycle_compact
from webapp.live.notes import note_create, note_remove
from webapp.live.store import frames_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from webapp.accounts.models import User
    from webapp.cycles.models import Cycle
    from webapp.live.models import Note

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(600),
    pytest.mark.django_db(transaction=True),
]

TAB = (Path(__file__).parent / "convergence.js").read_text()
PAGE_SIZE = 20
PATIENCE = 10.0

Payload = dict[str, Any]
EVENTS: dict[str, Payload] = {
    "started": {"kind": "stage_started", "stage": "NREM replay", "round": 1},
    "downscaling": {"kind": "stage_started", "stage": "downscaling", "round": 2},
    "ended": {"kind": "stage_ended", "stage": "NREM replay", "round": 1, "seconds": 1.0},
    "watch": {"kind": "probe", "split": "watch", "when": "during", "scores": {"returns": 0.8, "billing": 1}},
    "proof": {"kind": "probe", "split": "proof", "when": "after", "scores": {"returns": 0.9, "billing": 0.7}},
    "kept": {"kind": "decision", "name": "prune", "kept": True, "reason": "Kept: none fell.", "detail": {}},
    "reverted": {
        "kind": "decision", "name": "strengthen", "kept": False, "reason": "Reverted: billing fell by 0.013.",
        "detail": {"before": 0.8, "after": 0.7},
    },
    "histogram": {
        "kind": "histogram", "name": "weights", "when": "after", "round": 1, "edges": [-1.0, 0.0, 1.0],
        "counts": [3, 4], "zeros": 2,
    },
    "snapshot": {"kind": "snapshot", "stage": "NREM replay"},
    "log": {"kind": "log", "level": "info", "message": "On it goes."},
    "verdict": {"kind": "verdict", "verdict": "improved", "reasons": ["It rose."], "metrics": {}},
}  # fmt: skip


class Writer:
    """What happens to one cycle: every row by the service that writes it in earnest."""

    def __init__(self, actor: User, cycle: Cycle) -> None:
        self.actor, self.cycle = actor, cycle
        self.step, self.t, self.wh = 0, 0.0, 0.0
        # (step, t) to go on from.
        self.snapshots = [(0, 0.0)]
        self.notes: list[Note] = []
        self.begins = self.running = True
        self.ended = self.compacted = False

    @property
    def last(self) -> int:
        self.cycle.refresh_from_db()
        return self.cycle.seq

    def flush(self, points: int, events: list[str], looks: int, **more: Any) -> None:
        """One frame of the trainer: so many points, events in order, looks at the device.

        The first thing that an attempt tells is a stage.
        """
        if self.begins:
            events, self.begins = ["started", *events], False
        payload: Payload = {"events": [], **more}
        if points:
            payload["points"] = self._points(points)
        payload["events"] = [{**EVENTS[name], "t": self.t, "step": self.step} for name in events]
        self.snapshots += [(self.step, self.t)] * events.count("snapshot")
        if looks:
            payload |= self._looks(looks)
        payload |= {"t": self.t, "step": self.step, "progress": self.step / 10_000, "total_steps": 10_000}
        night.flush(self.cycle, payload)

    def _points(self, count: int) -> Payload:
        steps = [self.step + i + 1 for i in range(count)]
        times = [round(self.t + 0.013 * (i + 1), 4) for i in range(count)]
        self.step, self.t = steps[-1], times[-1]
        return {
            "step": steps, "t": times, "lr": [0.1] * count,
            # Every ninth is no finite number; a value that only sometimes is there is one more kind of gap.
            "loss": [None if step % 9 == 0 else round(math.sin(step), 4) for step in steps],
            "distill": [round(math.cos(step), 4) if step % 4 else None for step in steps],
        }  # fmt: skip

    def _looks(self, count: int) -> Payload:
        times = [round(self.t + 0.25 * (i + 1), 3) for i in range(count)]
        self.t, self.wh = times[-1], round(self.wh + 0.001 * count, 6)
        device = {"t": times, "cpu": [round(t % 1, 3) for t in times], "watts": [10.0 + t for t in times]}
        return {"device": device, "energy": {"wh": self.wh, "source": "estimated"}}

    def lose(self) -> None:
        """Nobody has heard of the worker for long; the cycle waits for another one."""
        self.cycle = transition(
            self.cycle.pk, to="queued", expect_from=["running"], fence=True, worker=None, reason="worker_lost"
        )
        self.running = False

    def attempt(self, snapshot: int) -> None:
        """Another worker takes it and goes on from a snapshot."""
        self.cycle = night.begin(self.cycle)
        self.running = self.begins = True
        self.step, self.t = self.snapshots[snapshot % len(self.snapshots)]
        self.flush(0, [], 0, resume_step=self.step)

    def note(self) -> None:
        t, words = float(len(self.notes) % 3), f"Note {len(self.notes)}"
        self.notes.append(note_create(actor=self.actor, cycle=self.cycle, t=t, step=self.step, text=words))

    def unnote(self) -> None:
        note_remove(actor=self.actor, note=self.notes.pop())

    def end(self) -> None:
        transition(self.cycle.pk, to="publishing", expect_from=["running"])
        transition(self.cycle.pk, to="succeeded", expect_from=["publishing"], reason="improved")
        self.running, self.ended = False, True

    def compact(self) -> None:
        assert cycle_compact(self.cycle.pk)
        self.compacted = True


class Wire:
    """A real socket on the real server, and all that came through it so far."""

    def __init__(self, web: Web, session: str, words: Payload) -> None:
        self._open = ExitStack()
        self._socket: ClientConnection = self._open.enter_context(
            connect(
                f"ws://127.0.0.1:{web.port}/ws/live",
                origin=Origin(web.url),
                additional_headers={"Cookie": f"{COOKIE}={session}"},
            )
        )
        self._words, self._said = words, False
        self._reached = 0
        self.control: list[Payload] = []
        self.frames: list[Payload] = []
        self.topic = words["topic"]

    def read(self, last: int) -> None:
        """Everything up to frame `last`; the server hears of the wish at the first call."""
        if not self._said:
            self._said = True
            self._socket.send(json.dumps(self._words))
            hello = self._next("hello")
            self._reached = self._words["after"] if "after" in self._words else hello["last"]
            if not 0 <= self._reached <= last:
                self._next("reset")
        while self._reached < last:
            self._next("frames", "reset")

    def _next(self, *kinds: str) -> Payload:
        while True:
            message: Payload = json.loads(self._socket.recv(PATIENCE))
            if message["type"] not in kinds:
                assert message["type"] in {"ping", "hello"}, message
                continue
            if message["type"] == "frames":
                self.frames += message["items"]
            else:
                self.control.append(message)
            if message["type"] != "hello":
                self._reached = message["last"]
            return message

    def close(self) -> None:
        self._open.close()


class Convergence(RuleBasedStateMachine):
    """A night, a page that watches it, and everything that may come between the two."""

    def __init__(self, page: Page, web: Web, actor: User, session: str) -> None:
        super().__init__()
        self.page, self.web, self.actor, self.session = page, web, actor, session
        self.wire: Wire | None = None
        self.delivered = 0
        self.told = 0

    def tab(self, name: str, *given: Any) -> Any:
        script = "([name, given]) => window.tab[name](...given)"
        return self.page.evaluate(script, [name, given])

    @initialize(before=st.integers(0, 3))
    def open(self, before: int) -> None:
        """The page is opened when some of the night is over."""
        workspace = self.actor.memberships.get().workspace
        line = night.line(workspace=workspace, actor=self.actor, tasks=("returns", "billing"), past=False)
        self.night = Writer(self.actor, night.begin(night.sleep_cycle(line, actor=self.actor)))
        for number in range(before):
            self.night.flush(3, ["started", "watch"][number % 2 :], 1)
        self.pk = self.night.cycle.pk
        api = f"/api/cycles/{self.pk}"
        urls = {"frames": f"{api}/frames", "history": f"{api}/history?points=50", "points": f"{api}/points"}
        state = json.loads(json.dumps(cycle_state(self.night.cycle), default=str))
        self.page.evaluate(TAB, [state, urls, PAGE_SIZE])

    # ------------------------------------------------------------ what happens

    @precondition(lambda self: self.night.running)
    @rule(
        points=st.integers(0, 12),
        events=st.lists(st.sampled_from(sorted(EVENTS)), max_size=3),
        looks=st.integers(0, 3),
    )
    def a_frame_is_written(self, points: int, events: list[str], looks: int) -> None:
        self.night.flush(points, events, looks)

    @precondition(lambda self: self.night.running and self.night.step < 4096)
    @rule(frames=st.integers(2, 17))
    def a_long_stretch_is_written(self, frames: int) -> None:
        """Up to more points than a page keeps one by one."""
        for _ in range(frames):
            self.night.flush(256, [], 1)

    @precondition(lambda self: self.night.running)
    @rule()
    def the_worker_is_lost(self) -> None:
        self.night.lose()

    @precondition(lambda self: not self.night.running and not self.night.ended)
    @rule(snapshot=st.integers(0, 20))
    def another_attempt_goes_on_from_a_snapshot(self, snapshot: int) -> None:
        self.night.attempt(snapshot)

    @rule(take_away=st.booleans())
    def somebody_writes_a_note_or_takes_one_away(self, take_away: bool) -> None:
        if take_away and self.night.notes:
            self.night.unnote()
        else:
            self.night.note()

    @precondition(lambda self: self.night.running and self.night.step > 20)
    @rule()
    def it_ends(self) -> None:
        self.night.end()

    @precondition(lambda self: self.night.ended and not self.night.compacted)
    @rule()
    def what_ended_is_compacted(self) -> None:
        self.truth()
        self.night.compact()

    # ------------------------------------------------------------ what the page hears, and when

    @rule()
    def the_socket_is_lost_and_another_one_subscribes(self) -> None:
        self.cut()
        self.wire = Wire(self.web, self.session, self.tab("sub"))

    @precondition(lambda self: self.wire is not None)
    @rule()
    def the_socket_is_lost(self) -> None:
        self.cut()

    @rule()
    def the_page_claims_frames_that_never_were(self) -> None:
        """As after a database was put back to an older day."""
        self.cut()
        self.wire = Wire(self.web, self.session, {**self.tab("sub"), "after": self.night.last + 1000})

    @precondition(lambda self: self.wire is not None)
    @rule(picks=st.lists(st.integers(0, 30), max_size=12))
    def some_frames_arrive_doubled_and_in_any_order(self, picks: list[int]) -> None:
        """Those of this socket so far, old ones too, counted from the newest."""
        wire = self.read()
        chosen = [wire.frames[-1 - pick % len(wire.frames)] for pick in picks] if wire.frames else []
        self.hear([{"type": "frames", "topic": wire.topic, "items": [frame]} for frame in chosen])

    @precondition(lambda self: self.wire is not None)
    @rule()
    def all_frames_arrive_in_one_message(self) -> None:
        wire = self.read()
        if wire.frames:
            self.hear([{"type": "frames", "topic": wire.topic, "items": wire.frames}])

    @precondition(lambda self: self.wire is not None)
    @rule(reason=st.sampled_from(["slow", "behind"]))
    def the_server_says_what_it_will_not_send(self, reason: str) -> None:
        wire = self.read()
        self.hear([json.loads(protocol.reset(self.pk, reason, self.night.last))])
        wire.frames.clear()

    @rule()
    def the_page_polls(self) -> None:
        self.tab("poll")

    @rule()
    def the_page_asks_for_history(self) -> None:
        self.tab("history")

    @rule(milliseconds=st.sampled_from([100, 200, 1200]))
    def time_passes(self, milliseconds: int) -> None:
        self.tab("pass", milliseconds)

    @rule()
    def answers_are_on_their_way_for_long(self) -> None:
        self.tab("hold")

    @rule()
    def answers_arrive(self) -> None:
        self.tab("release")

    @rule(requests=st.integers(1, 4))
    def requests_fail(self, requests: int) -> None:
        self.tab("fail", requests)

    # ------------------------------------------------------------ what must hold

    @rule(start=st.floats(0, 1), share=st.floats(0, 1))
    def somebody_zooms_when_all_is_there(self, start: float, share: float) -> None:
        self.settle()
        assert self.tab("zoomed", start, share) == []

    @rule()
    def settle(self) -> None:
        """The network is well again. A socket brings all that it has, without one the page polls; nobody
        reloads."""
        self.tab("fail", 0)
        self.tab("release")
        if self.wire is None:
            self.tab("poll")
        else:
            wire = self.read()
            self.hear([{"type": "frames", "topic": wire.topic, "items": [frame]} for frame in wire.frames])
        self.tab("pass", 5000)
        self.truth()
        state = json.loads(json.dumps(cycle_state(self.night.cycle), default=str))
        assert self.tab("differences", state) == []

    @invariant()
    def what_is_there_is_what_the_first_frames_say(self) -> None:
        self.truth()
        assert self.tab("differences", None) == []

    def teardown(self) -> None:
        if hasattr(self, "night"):
            self.settle()
        self.cut()

    # ------------------------------------------------------------ how

    def truth(self) -> None:
        """Tell the tab, past its own network, what the database has."""
        if self.night.compacted and self.told == self.night.last:
            return
        found = [json.loads(frame.text) for frame in frames_after(self.pk, self.told, 10_000)]
        self.told += len(found)
        self.tab("tell", found)

    def read(self) -> Wire:
        """What the server has sent; what is not a frame is heard once and in its place."""
        assert self.wire is not None
        self.wire.read(self.night.last)
        self.hear(self.wire.control[self.delivered :])
        self.delivered = len(self.wire.control)
        return self.wire

    def hear(self, messages: list[Payload]) -> None:
        self.tab("hear", messages)

    def cut(self) -> None:
        if self.wire is not None:
            self.wire.close()
        self.wire, self.delivered = None, 0


@pytest.fixture
def begin(page: Page, web: Web, alice: User) -> Iterator[Callable[[], Convergence]]:
    """Begins nights in one and the same window; no error may go unhandled there."""
    session = session_of(alice)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.context.add_cookies([{"name": COOKIE, "value": session, "url": web.url}])
    page.goto(f"{web.url}/healthz")
    yield lambda: Convergence(page, web, alice, session)
    assert errors == []


@pytest.fixture
def watched(begin: Callable[[], Convergence]) -> Iterator[Convergence]:
    """A page that has been opened and has not asked for anything yet."""
    made = begin()
    made.open(before=2)
    yield made
    made.teardown()


def test_state_and_events_are_the_fresh_state_whatever_happens_on_the_way(
    begin: Callable[[], Convergence],
) -> None:
    run_state_machine_as_test(
        begin,  # type: ignore[arg-type]  # a factory will do
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


# ------------------------------------------------------------ what such a machine once found


def test_a_frame_written_between_the_first_page_and_the_hello_is_fetched(watched: Convergence) -> None:
    watched.answers_are_on_their_way_for_long()
    watched.the_page_polls()
    watched.the_socket_is_lost_and_another_one_subscribes()
    watched.answers_arrive()
    watched.it_ends()
    watched.settle()


@pytest.mark.parametrize("ahead", [False, True])
def test_a_reset_during_a_request_is_not_taken_for_answered_by_it(watched: Convergence, ahead: bool) -> None:
    watched.the_page_polls()
    watched.answers_are_on_their_way_for_long()
    watched.the_page_polls()
    watched.it_ends()
    if ahead:
        watched.the_page_claims_frames_that_never_were()
        watched.all_frames_arrive_in_one_message()
    else:
        watched.the_socket_is_lost_and_another_one_subscribes()
        watched.the_server_says_what_it_will_not_send("slow")
    watched.settle()


def test_requests_that_fail_are_made_again_until_nothing_is_missing(watched: Convergence) -> None:
    watched.the_page_polls()
    watched.the_socket_is_lost_and_another_one_subscribes()
    watched.it_ends()
    watched.requests_fail(3)
    watched.the_server_says_what_it_will_not_send("slow")
    for _ in range(3):
        watched.time_passes(1200)
    watched.settle()


def test_history_tells_the_energy_and_the_progress_of_frames_that_it_leaves_out(watched: Convergence) -> None:
    watched.a_long_stretch_is_written(3)
    watched.the_page_asks_for_history()
    watched.settle()


def test_history_hides_no_look_at_the_device_within_a_second(watched: Convergence) -> None:
    watched.a_frame_is_written(points=1, events=[], looks=3)
    watched.the_page_asks_for_history()
    watched.a_frame_is_written(points=1, events=[], looks=3)
    watched.settle()
