"""The embedded servers: a real PostgreSQL and a real Valkey kept in one data folder.

Owns starting, watching, restarting and stopping them, and the folder they live in. Does not own
what is inside the database (`persistence.migrate`) nor who decides to embed servers (`api`).
"""

from persistence.servers.errors import FolderInUseError, ServersError
from persistence.servers.folder import Addresses, Owner, Running, running
from persistence.servers.servers import Servers

__all__ = [
    "Addresses",
    "FolderInUseError",
    "Owner",
    "Running",
    "Servers",
    "ServersError",
    "running",
]
