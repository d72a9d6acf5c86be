import socket
import sys
from pathlib import Path

import pytest

from spice_cli.stages.keepalive import PATIENCE, keep_alive


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_connections_notice_a_host_that_is_gone_and_go_on_working() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as one,
        server.accept()[0] as other,
    ):
        before = len(list(Path("/proc/self/fd").iterdir()))
        keep_alive()
        assert len(list(Path("/proc/self/fd").iterdir())) == before
        waits = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert waits == 1000 * PATIENCE
        assert other.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        one.sendall(b"x")
        assert other.recv(1) == b"x"
