"""A night in which nothing happens for over a minute, behind a proxy that closes what is idle so long."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from tests.browser.conftest import free_port, shows
from tests.support import night
from tests.support.database import url_of
from tests.support.night_script import Night
from tests.webapp.live.people import COOKIE, session_of, start_web

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from webapp.accounts.models import User
    from webapp.cycles.models import Cycle

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.django_db(transaction=True),
]

# What nginx allows between two bytes when nobody tells it otherwise (proxy_read_timeout).
IDLE_SECONDS = 60.0
QUIET_MS = 70_000
# What a frame may take to the page while a machine does other things as well.
USUAL_MS = 5_000


@dataclass(eq=False)
class Line:
    """One connection through the proxy."""

    request: str = ""
    open: bool = True
    idled: bool = False


@dataclass
class IdleProxy:
    """Passes bytes on to a port; where none passed in either direction for IDLE_SECONDS, it hangs up."""

    target: int
    lines: list[Line] = field(default_factory=list)
    _listening: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    @property
    def sockets(self) -> list[Line]:
        """The live sockets among the connections."""
        return [line for line in self.lines if line.request.startswith("GET /ws/live")]

    def start(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        # Closing alone does not wake who waits in accept().
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                line = Line()
                self.lines.append(line)
                threading.Thread(target=self._pass, args=(client, line), daemon=True).start()

    def _pass(self, client: socket.socket, line: Line) -> None:
        with (
            contextlib.suppress(OSError),
            client,
            socket.create_connection(("127.0.0.1", self.target)) as server,
        ):
            while ready := select.select([client, server], [], [], IDLE_SECONDS)[0]:
                for end in ready:
                    some = end.recv(65536)
                    if not some:
                        line.open = False
                        return
                    line.request = line.request or some.split(b"\r\n", 1)[0].decode("latin-1")
                    (server if end is client else client).sendall(some)
            line.idled = True
        line.open = False


@pytest.fixture
def proxy(tmp_path_factory: pytest.TempPathFactory, alice: User) -> Iterator[IdleProxy]:
    """A web process that is known by the address of the proxy before it."""
    made = IdleProxy(free_port())
    web = start_web(url_of(connection.settings_dict), tmp_path_factory.mktemp("quiet"), made.target, made.url)
    made.start()
    yield made
    made.stop()
    web.stop()


WATCH = """() => {
  const chip = document.querySelector("[data-livechip]");
  window.kinds = [chip.dataset.kind];
  new MutationObserver(() => window.kinds.push(chip.dataset.kind))
    .observe(chip, { attributes: true, attributeFilter: ["data-kind"] });
}"""


def test_after_a_minute_of_silence_the_same_socket_brings_the_next_frame(
    page: Page, proxy: IdleProxy, alice: User, cycle: Cycle
) -> None:
    page.context.add_cookies([{"name": COOKIE, "value": session_of(alice), "url": proxy.url}])
    page.goto(f"{proxy.url}/cycles/{cycle.pk}/")
    page.locator("[data-livechip][data-kind=live]").wait_for()
    script = Night(seconds=6).flushes()
    shows(page, night.flush(cycle, next(script)))
    page.evaluate(WATCH)
    [line] = proxy.sockets
    page.wait_for_timeout(QUIET_MS)
    assert (line.open, line.idled) == (True, False), "the socket did not outlive the silence"
    shows(page, night.flush(cycle, next(script)), USUAL_MS)
    assert set(page.evaluate("window.kinds")) == {"live"}
    assert proxy.sockets == [line]
    assert line.open
