"""`manage.py up`: the order of a start and of a stop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from webapp.core.embedded import EmbeddedPostgres, EmbeddedPostgresError
from workers.launcher import ports, prepare
from workers.launcher.errors import LauncherError
from workers.launcher.parts import specs
from workers.launcher.runfile import RunFile
from workers.launcher.supervisor import Supervisor

if TYPE_CHECKING:
    import socket


def up(
    *,
    host: str,
    port: int | None,
    parts: Collection[str],
    files: Sequence[str] = (),
    say: Callable[[str], None],
) -> None:
    """Run the chosen parts until a signal ends them.

    Args:
        files: folders from which the owner may take files in.

    Raises:
        LauncherError: something that the person at the terminal can put right.
        EmbeddedPostgresError: the embedded database cannot be started.
    """
    began = time.monotonic()
    data_dir: Path = settings.DATA_DIR
    runfile = RunFile(data_dir)
    with ExitStack() as undo:
        undo.callback(runfile.release)
        runfile.acquire()
        if ended := runfile.end_leftovers():
            say(f"Ended what a killed Nocturne had left behind: {', '.join(ended)}.")
        listener = undo.enter_context(_take_port(host, port, say)) if "web" in parts else None
        url = os.environ.get("NOCTURNE_URL") or (
            ports.url_of(listener) if listener else settings.NOCTURNE_URL
        )
        local = _local_folders(files, url)
        database = EmbeddedPostgres(data_dir) if settings.EMBEDDED_DATABASE else None
        if database is not None:
            undo.callback(database.stop)
            database.start()
        link = _prepare(url, parts, say)

        def ready(name: str) -> None:
            nonlocal link
            took = time.monotonic() - began
            say(f"Nocturne is at {url} ({took:.1f} s). Logs: {data_dir / 'logs'}. Ctrl-C stops it.")
            if link:
                say(f"Nobody owns it yet. This link makes you its owner, once: {link}")
            link = None

        Supervisor(
            specs(
                parts,
                listener=listener,
                data_dir=data_dir,
                environment={"NOCTURNE_URL": url, "NOCTURNE_DATA": str(data_dir), **local},
            ),
            logs=data_dir / "logs",
            runfile=runfile,
            url=url,
            say=say,
            on_ready=ready,
            on_check=lambda: _keep_running(database, say),
        ).run()


def _take_port(host: str, port: int | None, say: Callable[[str], None]) -> socket.socket:
    if "NOCTURNE_URL" not in os.environ and not ports.is_loopback(host):
        raise LauncherError(
            "up.address_needed",
            f"With --host {host[:80]} other machines can reach Nocturne, so it has to know the address that "
            "people use: set NOCTURNE_URL, for example NOCTURNE_URL=https://nocturne.example.",
        )
    listener = ports.bind(host, port)
    taken = listener.getsockname()[1]
    if port is None and taken != ports.FIRST_PORT:
        say(f"Port {ports.FIRST_PORT} is in use, so Nocturne takes {taken}.")
    return listener


def _local_folders(files: Sequence[str], url: str) -> dict[str, str]:
    """The setting that offers them, for the children; nothing changes without any.

    Raises:
        LauncherError: `files.shared`: other people reach this Nocturne; `files.no_folder`.
    """
    if not files:
        return {}
    if not settings.EMBEDDED_DATABASE or not ports.is_loopback(urlsplit(url).hostname or ""):
        raise LauncherError(
            "files.shared",
            "--files is for a Nocturne on your own computer: with its own database, and on 127.0.0.1 only. "
            "Leave it out; files are uploaded in the browser.",
        )
    folders = [Path(folder).expanduser().resolve() for folder in files]
    for folder in folders:
        if not folder.is_dir():
            raise LauncherError("files.no_folder", f"--files {str(folder)[:200]}: there is no such folder.")
    return {"NOCTURNE_LOCAL_FOLDERS": os.pathsep.join(map(str, folders))}


def _prepare(url: str, parts: Collection[str], say: Callable[[str], None]) -> str | None:
    """Everything that needs the database before the children do; the first owner's link, if one is due."""
    prepare.check_database()
    if prepare.migrate():
        say("The database was brought up to date.")
    # A worker alone must not name a store that may not be mounted on its machine.
    if {"web", "chores"} & set(parts) and (problem := prepare.store()):
        say(problem)  # not a reason to stay down: pages work, and uploads say the same until it is put right
    link = prepare.owner_link(url)
    connection.close()
    return link


def _keep_running(database: EmbeddedPostgres | None, say: Callable[[str], None]) -> None:
    if database is None or database.is_running():
        return
    say("The embedded PostgreSQL is gone; starting it again.")
    try:
        database.start()
    except EmbeddedPostgresError as problem:
        say(f"{problem.message} [{problem.code}]")
