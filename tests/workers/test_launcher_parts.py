"""The launcher's smaller promises: ports, logs, and a database that is new enough."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from workers.launcher import ports, prepare
from workers.launcher.errors import LauncherError
from workers.launcher.logs import ChildLog


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


def test_a_named_port_in_use_is_refused_with_a_way_out(taken: int) -> None:
    with pytest.raises(LauncherError, match="--port") as caught:
        ports.bind("127.0.0.1", taken)
    assert caught.value.code == "port.in_use"


def test_without_a_name_the_next_free_port_is_taken() -> None:
    with ports.bind("127.0.0.1", None) as first, ports.bind("127.0.0.1", None) as second:
        chosen = [each.getsockname()[1] for each in (first, second)]
        assert ports.FIRST_PORT <= chosen[0] < chosen[1] <= ports.LAST_PORT
        assert ports.url_of(second) == f"http://127.0.0.1:{chosen[1]}"


def test_an_address_of_another_machine() -> None:
    with pytest.raises(LauncherError) as caught:
        ports.bind("192.0.2.1", 8190)
    assert caught.value.code == "host.unknown"


def test_requests_wait_for_the_web_process_instead_of_failing() -> None:
    """The launcher listens before uvicorn is there and while it is started again."""
    with ports.bind("127.0.0.1", None) as listener, socket.create_connection(listener.getsockname()) as early:
        early.sendall(b"GET / HTTP/1.1\r\n\r\n")
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(100).startswith(b"GET /")


def test_a_log_that_grows_too_long_starts_over_and_keeps_one_older_file(tmp_path: Path) -> None:
    log = ChildLog(tmp_path, "web", lambda line: None)
    line = b"x" * 999 + b"\n"
    for _ in range(12):
        log.feed(line * 1000)
    log.close()
    assert {path.name for path in tmp_path.iterdir()} == {"web.log", "web.log.1"}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 13_000_000


def test_a_child_that_complains_without_end_does_not_flood_the_terminal(tmp_path: Path) -> None:
    said: list[str] = []
    log = ChildLog(tmp_path, "web", said.append)
    log.feed(b"2026-01-02 03:04:05,678 ERROR nocturne: no disk\n" * 500)
    log.close()
    assert len(said) == 6
    assert said[0] == "web     ERROR nocturne: no disk"
    assert said[-1].endswith(f"says more in {log.path}")


def test_lines_cut_anywhere_are_put_together_again(tmp_path: Path) -> None:
    said: list[str] = []
    log = ChildLog(tmp_path, "web", said.append)
    for byte in b"2026-01-02 03:04:05,678 WARNING nocturne: slow\n":
        log.feed(bytes([byte]))
    log.close()
    assert said == ["web     WARNING nocturne: slow"]


@pytest.mark.django_db
def test_a_current_database_has_nothing_to_migrate() -> None:
    prepare.check_database()
    assert prepare.migrate() is False


@pytest.mark.django_db
def test_a_database_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "OLDEST_POSTGRESQL", 99)
    with pytest.raises(LauncherError, match="PostgreSQL 99 or newer") as caught:
        prepare.check_database()
    assert caught.value.code == "database.too_old"


@pytest.mark.django_db
def test_an_unreachable_database_is_one_sentence_without_a_password() -> None:
    other = connection.copy()
    other.settings_dict = {
        **other.settings_dict, "HOST": "127.0.0.1", "PORT": "1", "PASSWORD": "tell-nobody",
    }  # fmt: skip
    with pytest.raises(LauncherError) as caught:
        prepare.check_database(other)
    assert caught.value.code == "database.unreachable"
    assert "tell-nobody" not in caught.value.message and "127.0.0.1" in caught.value.message
