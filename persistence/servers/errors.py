"""What can go wrong with the embedded servers; each text is one line: why, and what to do."""


class ServersError(Exception):
    """The servers could not be run."""


class FolderInUseError(ServersError):
    """Another process runs the servers of this data folder."""
