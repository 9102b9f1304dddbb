"""One server process for each embedded database: SQLite's writers queue inside the process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SecondServerError(Exception):
    """Another server process has this embedded database."""


@contextmanager
def only_server(file: str) -> Iterator[None]:
    """Be the one server process on the SQLite file, until the block ends or the process does.

    Commands do not ask for the lock, so they work beside a running server. Raises SecondServerError.
    """
    # Beside the database, by its real name: whoever opens the same file meets the same lock.
    database = Path(file).resolve()
    descriptor = os.open(
        database.with_name(database.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        # The file stays: to remove it would let two servers lock two files of one name.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        os.close(descriptor)
        raise SecondServerError(
            f"database_url: another server process uses {file}; stop it, or use PostgreSQL for more than one"
        ) from fault
    try:
        yield
    finally:
        os.close(descriptor)
