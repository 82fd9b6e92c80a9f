"""Typed readers for environment variables, each failing with a sentence that names the variable."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


def env_str(name: str, default: str) -> str:
    """The variable's text, or the default when it is unset."""
    return os.environ.get(name, default)


def env_int(name: str, default: int) -> int:
    """The variable as a whole number of at least 0."""
    text = os.environ.get(name)
    if text is None or text == "":
        return default
    if not text.isdigit():
        raise ImproperlyConfigured(f"{name} is {text!r}; it must be a whole number of at least 0.")
    return int(text)


def env_bool(name: str, default: bool) -> bool:
    """The variable as a switch: 1/true/yes/on or 0/false/no/off."""
    text = os.environ.get(name)
    if text is None:
        return default
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ImproperlyConfigured(f"{name} is {text!r}; it must be one of 1, true, yes, on, 0, false, no, off.")


def env_path(name: str, default: Path) -> Path:
    """The variable as an absolute path; `~` is expanded."""
    text = os.environ.get(name)
    return Path(text).expanduser().resolve() if text else default


def env_paths(name: str) -> list[Path]:
    """The variable as absolute folders, separated as in PATH; none when it is unset."""
    texts = [text for text in os.environ.get(name, "").split(os.pathsep) if text]
    return [Path(text).expanduser().resolve() for text in texts]


def env_folders(name: str) -> dict[str, Path]:
    """Named folders, as in "shared=/mnt/nocturne,archive=/mnt/slow"; a name has small letters and digits."""
    found: dict[str, Path] = {}
    for entry in filter(None, (part.strip() for part in os.environ.get(name, "").split(","))):
        key, _, folder = entry.partition("=")
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", key) or key == "local" or key in found or not folder:
            raise ImproperlyConfigured(
                f"{name} has {entry!r}; each entry must be a name of its own (not local), an equals sign and "
                "a folder, like shared=/mnt/nocturne."
            )
        found[key] = Path(folder).expanduser().resolve()
    return found


def env_secret(name: str) -> str:
    """A secret given as NAME, or read from the file that NAME_FILE names; empty when neither is set."""
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE cannot be read: {error.strerror}.") from error
    return os.environ.get(name, "")


def database_from_url(url: str) -> dict[str, Any]:
    """Django's DATABASES entry for a postgresql:// URL; a unix socket folder is given as ?host=/folder."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(
            "DATABASE_URL must start with postgresql://; Nocturne keeps everything in PostgreSQL 15 or newer."
        )
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "nocturne",
        "USER": unquote(parts.username or "") or options.pop("user", ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", "") or parts.hostname or "",
        "PORT": str(parts.port or options.pop("port", "")),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 10, **options},
        "TEST": {"NAME": os.environ.get("NOCTURNE_TEST_DATABASE")},
    }
