"""Noticing that another host is gone, though nothing said so: its power, its cable, its switch."""

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

PATIENCE = 30
"""Seconds for which a host may not answer."""
OPTIONS = {"TCP_KEEPIDLE": PATIENCE // 3, "TCP_KEEPINTVL": PATIENCE // 6, "TCP_KEEPCNT": 4}


def keep_alive() -> None:
    """Have the kernel probe the other end of every TCP connection that this process has open.

    It answers for a process that is busy or stopped. A connection whose host does not answer for
    `PATIENCE` breaks, as it does at once where a process ends; else it would for 15 minutes or
    for ever. Does nothing on systems that do not list open files under `/proc`.
    """
    folder = Path("/proc/self/fd")
    opened = [int(each.name) for each in folder.iterdir()] if folder.exists() else []
    for number in opened:
        with suppress(OSError):
            _set(number)


def _set(number: int) -> None:
    if stat.S_ISSOCK(os.fstat(number).st_mode):
        with socket.socket(fileno=os.dup(number)) as connection:
            internet = connection.family in (socket.AF_INET, socket.AF_INET6)
            if not internet or connection.type != socket.SOCK_STREAM:
                return
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in OPTIONS.items():
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
            milliseconds = 1000 * PATIENCE
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
