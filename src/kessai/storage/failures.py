"""What each error of the production engine means for the statement that met it (R-8). A table, and nothing else.

A statement is one commit. An error that the server sent while it ran undid it whole; one that ends the connection may
have come after the commit, so its outcome is unknown.
"""

from collections.abc import Mapping
from typing import Final

import asyncpg
from asyncpg import exceptions

from kessai.storage.database import Failure

BY_STATE: Final[Mapping[str, Failure]] = {
    "08": Failure.UNKNOWN,  # the connection broke
    "22012": Failure.RETRY,  # our own division by zero: a race that the statement's snapshot did not show
    "25006": Failure.NOT_DONE,  # a standby: it takes no writes
    "25P03": Failure.UNKNOWN,  # the server ended the session
    "25P04": Failure.UNKNOWN,
    "40": Failure.RETRY,  # serialization, deadlock
    "40003": Failure.UNKNOWN,
    "53": Failure.NOT_DONE,  # disk full, no memory, too many connections
    "55006": Failure.NOT_DONE,
    "55P03": Failure.RETRY,  # a lock that could not be had in time
    "57": Failure.UNKNOWN,  # shut down, by somebody or by itself
    "57014": Failure.NOT_DONE,  # cancelled by its own time limit, which ends before the commit
    "57P03": Failure.NOT_DONE,  # starting or stopping: it takes no statements
    "58": Failure.NOT_DONE,  # the server's own files
    "F0": Failure.NOT_DONE,
    "XX": Failure.NOT_DONE,  # the server found itself broken
    "01": Failure.BUG,  # warnings
    "02": Failure.BUG,
    "03": Failure.BUG,
    "09": Failure.BUG,
    "0A": Failure.BUG,
    "0B": Failure.BUG,
    "0F": Failure.BUG,
    "0L": Failure.BUG,
    "0P": Failure.BUG,
    "0Z": Failure.BUG,
    "10": Failure.BUG,
    "20": Failure.BUG,
    "21": Failure.BUG,
    "22": Failure.BUG,  # values that do not fit
    "23": Failure.BUG,  # constraints
    "24": Failure.BUG,
    "25": Failure.BUG,
    "26": Failure.BUG,
    "27": Failure.BUG,
    "28": Failure.NOT_DONE,  # who may sign in
    "2B": Failure.BUG,
    "2D": Failure.BUG,
    "2F": Failure.BUG,
    "34": Failure.BUG,
    "38": Failure.BUG,
    "39": Failure.BUG,
    "3B": Failure.BUG,
    "3D": Failure.NOT_DONE,  # no such database
    "3F": Failure.BUG,
    "42": Failure.BUG,  # syntax, names, rights
    "44": Failure.BUG,
    "54": Failure.BUG,
    "55": Failure.BUG,
    "72": Failure.RETRY,  # the snapshot is too old
    "HV": Failure.BUG,
    "P0": Failure.BUG,
}
"""SQLSTATE, or its class (two characters); the longer one goes before."""

BY_NAME: Final[Mapping[str, Failure]] = {
    "ClientConfigurationError": Failure.BUG,
    "FatalPostgresError": Failure.UNKNOWN,
    "InterfaceError": Failure.BUG,  # the driver was used wrongly: nothing was sent
    "InterfaceWarning": Failure.BUG,
    "InternalClientError": Failure.UNKNOWN,
    "InvalidCachedStatementError": Failure.RETRY,  # the schema has moved on: prepare again
    "OutdatedSchemaCacheError": Failure.RETRY,
    "PostgresError": Failure.UNKNOWN,
    "ProtocolError": Failure.UNKNOWN,
    "TargetServerAttributeNotMatched": Failure.NOT_DONE,
    "UnknownPostgresError": Failure.UNKNOWN,
    "UnsupportedClientFeatureError": Failure.BUG,
    "UnsupportedServerFeatureError": Failure.BUG,
}
"""Errors of the driver, which have no SQLSTATE; and what goes before its SQLSTATE."""


def failure_of(error: BaseException) -> Failure:
    """The class of an error that came out of a statement which may have been sent."""
    kind = type(error)
    if kind.__name__ in BY_NAME and kind.__module__.startswith("asyncpg"):
        return BY_NAME[kind.__name__]
    state = str(getattr(error, "sqlstate", None) or "")
    if isinstance(error, asyncpg.PostgresError) and state:
        return BY_STATE.get(state) or BY_STATE.get(state[:2], Failure.UNKNOWN)
    return Failure.UNKNOWN if isinstance(error, OSError | TimeoutError) else Failure.BUG


STALE: Final = (exceptions.InvalidCachedStatementError, exceptions.OutdatedSchemaCacheError)
"""The schema has moved on under a prepared statement."""
