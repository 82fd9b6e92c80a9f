"""What can keep Nocturne from starting."""

from __future__ import annotations

from webapp.core.errors import NocturneError


class LauncherError(NocturneError):
    """A sentence for the person at the terminal.

    Codes: ``up.already_running``, ``up.address_needed``, ``port.in_use``, ``port.not_allowed``,
    ``host.unknown``, ``device.unknown``, ``database.unreachable``, ``database.too_old``,
    ``data.not_writable``.
    """
