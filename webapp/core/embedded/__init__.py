"""The embedded PostgreSQL server: one cluster in the data folder, reached over a Unix socket.

Usable before Django is set up: nothing here imports Django or reads settings.
"""

from webapp.core.embedded.address import dsn, socket_dir
from webapp.core.embedded.binaries import Binaries, find_binaries
from webapp.core.embedded.errors import EmbeddedPostgresError
from webapp.core.embedded.server import EmbeddedPostgres

__all__ = ["Binaries", "EmbeddedPostgres", "EmbeddedPostgresError", "dsn", "find_binaries", "socket_dir"]
