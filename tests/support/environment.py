"""What the tests run in: a data folder and a database of their own, chosen before Django is set up."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from webapp.core.embedded import EmbeddedPostgres, dsn
from webapp.core.processes import started_at

_ROOT = "NOCTURNE_TEST_ROOT"
_PREFIX = "nocturne-test-"
# A developer's own settings must not decide whether a test passes.
_FOREIGN = (
    "NOCTURNE_URL",
    "NOCTURNE_STORE",
    "NOCTURNE_STORES",
    "NOCTURNE_STORE_NEW",
    "NOCTURNE_CYCLES",
    "NOCTURNE_STATIC",
    "NOCTURNE_DEBUG",
    "SECRET_KEY",
    "SECRET_KEY_FILE",
)


def prepare() -> None:
    """Point every setting at this run's temporary folder; pytest-xdist's workers inherit the run's choice.

    ``DATABASE_URL`` is kept when it is given; otherwise it names a throw-away embedded server, which the
    first test that wants a database starts.
    """
    for name in _FOREIGN:
        os.environ.pop(name, None)
    if _ROOT not in os.environ:
        _sweep()
        os.environ[_ROOT] = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    os.environ["NOCTURNE_DATA"] = str(root() / "data" / worker)
    os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.config.settings"
    os.environ.setdefault("DATABASE_URL", dsn(_server_dir(root())))
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers on two cores leave one thread for each


def before_workers_start() -> None:
    """Or pytest-django reads the settings before a worker's own `prepare`, with the parent's folder."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


def root() -> Path:
    """The temporary folder of this test run."""
    return Path(os.environ[_ROOT])


def missing_services() -> list[str]:
    """The variables of real services that whoever started this run did not give."""
    missing = ["DATABASE_URL"] if _own_server() else []
    return missing if "CELERY_BROKER_URL" in os.environ else [*missing, "CELERY_BROKER_URL"]


def ensure_database_server() -> None:
    """Start the embedded server unless ``DATABASE_URL`` names another; safe from several workers at once."""
    if _own_server():
        EmbeddedPostgres(_server_dir(root()), durable=False).start()


def tear_down() -> None:
    """Stop what :func:`ensure_database_server` started and remove the run's folder."""
    _remove(root())
    del os.environ[_ROOT]


def _own_server() -> bool:
    return os.environ["DATABASE_URL"] == dsn(_server_dir(root()))


def _server_dir(folder: Path) -> Path:
    return folder / "postgresql"


def _sweep() -> None:
    """Clear away after test runs that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        try:
            mine = folder.stat().st_uid == os.geteuid()
        except FileNotFoundError:  # a run beside this one has just ended
            continue
        if mine and pid.isdigit() and started_at(int(pid)) is None:
            _remove(folder)


def _remove(folder: Path) -> None:
    EmbeddedPostgres(_server_dir(folder)).stop()
    shutil.rmtree(folder, ignore_errors=True)
