"""Ports for servers that tests start, kill and start again."""

import os
import socket
from itertools import count

# Below the ports that systems give to outgoing connections: a server that is down keeps its own.
_FIRST, _COUNT = 20_000, 10_000
# From another place in each process, so that two seldom ask for the same.
_turns = count(os.getpid() * 61)
_claims: list[socket.socket] = []


def free_port() -> int:
    """
    Return a TCP port of 127.0.0.1 that nobody listens on and no other run of tests is given.

    The UDP port of the same number is held until this process ends, as the claim that others see.
    """
    for turn in _turns:
        port = _FIRST + turn % _COUNT
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port
    raise AssertionError("unreachable: the turns do not end")
