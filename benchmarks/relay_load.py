"""The load of the relay's benchmarks, a process of its own: prints one JSON object.

python -m benchmarks.relay_load throughput --port P --messages N --bytes B --kind relay
python -m benchmarks.relay_load idle --port P --sockets N --kind forwarder
python -m benchmarks.relay_load drain --port P --messages N --bytes B
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.relay_client import ClientError, Collector, RawSocket, first_length, frame
from worker.relay import relay_pb2 as pb

# So many bits that every seq takes the same four bytes.
FIRST_SEQ = 1 << 22
CHUNK = 256


def _sends(count: int, size: int, to: str, client_ids: bool) -> list[bytes]:
    body = b"c" * size
    return [
        frame(
            pb.ClientFrame(
                seq=FIRST_SEQ + one,
                send=pb.Send(to=to, ciphertext=body, client_id=f"{one:012d}" if client_ids else ""),
            ).SerializeToString()
        )
        for one in range(count)
    ]


def relay_throughput(options: argparse.Namespace) -> dict[str, float]:
    """One pipelining sender, one subscribed recipient; both hear of every message."""
    from_token, to_token, to = json.load(sys.stdin)
    sender = RawSocket(options.port, f"/ws?token={from_token}")
    reader = RawSocket(options.port, f"/ws?token={to_token}")
    reader.send(frame(pb.ClientFrame(seq=1, subscribe=pb.Subscribe()).SerializeToString()))
    reader.receive_frame()
    frames = _sends(options.messages, options.bytes, to, options.client_ids)
    oks, messages, seconds = _run(sender, reader, frames)
    seqs = [pb.ServerFrame.FromString(one) for one in oks]
    if [one.seq for one in seqs] != list(range(FIRST_SEQ, FIRST_SEQ + options.messages)):
        raise ClientError("the oks are not one for each message, in order")
    got = [pb.ServerFrame.FromString(one).message.id for one in messages]
    if got != [one.sent.id for one in seqs]:
        raise ClientError("the recipient did not get what was accepted, once and in order")
    return {"seconds": seconds}


def _run(
    sender: RawSocket, reader: RawSocket, frames: list[bytes]
) -> tuple[list[bytes], list[bytes], float]:
    count = len(frames)
    data = [b"".join(frames[at : at + CHUNK]) for at in range(0, count, CHUNK)]
    collectors = [Collector(one, count, first_length) for one in (sender, reader)]
    for one in collectors:
        one.start()
    began = time.perf_counter()
    for piece in data:
        sender.send(piece)
    for one in collectors:
        one.join()
        if one.problem is not None:
            raise one.problem
    oks, messages = collectors
    return oks.payloads(), messages.payloads(), max(one.finished for one in collectors) - began


def forwarder_throughput(options: argparse.Namespace) -> dict[str, float]:
    """The same bytes through the forwarder, until the last has arrived."""
    reader = RawSocket(options.port, "/to")
    sender = RawSocket(options.port, "/from")
    frames = _sends(options.messages, options.bytes, "recipient_b", options.client_ids)
    messages = Collector(reader, len(frames), first_length)
    messages.start()
    began = time.perf_counter()
    for at in range(0, len(frames), CHUNK):
        sender.send(b"".join(frames[at : at + CHUNK]))
    messages.join()
    if messages.problem is not None:
        raise messages.problem
    return {"seconds": messages.finished - began}


def javascript_throughput(options: argparse.Namespace) -> dict[str, float]:
    """The JavaScript Durable Object: the same frames; it answers and forwards in short."""
    stem = f"t{time.time_ns()}"
    reader = RawSocket(options.port, f"/bench/relay?inbox={stem}&role=reader")
    sender = RawSocket(options.port, f"/bench/relay?inbox={stem}&role=sender")
    frames = _sends(options.messages, options.bytes, "recipient_b", options.client_ids)
    oks, messages, seconds = _run(sender, reader, frames)
    if len(oks) != len(frames) or len(messages) != len(frames):
        raise ClientError("not every message arrived")
    return {"seconds": seconds}


def idle(options: argparse.Namespace) -> dict[str, float]:
    """Open sockets, say how many, and hold them until the input ends."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, options.sockets + 1000), hard))
    if options.kind == "relay":
        paths = [f"/ws?token={token}" for token in json.load(sys.stdin)]
    else:
        paths = ["/to"] * options.sockets
    sockets: list[RawSocket] = []
    with ThreadPoolExecutor(8) as threads:
        sockets = list(threads.map(lambda path: RawSocket(options.port, path), paths))
    print(json.dumps({"open": len(sockets)}), flush=True)
    time.sleep(options.hold)
    for one in sockets:
        one.close()
    return {"closed": len(sockets)}


def fill(options: argparse.Namespace) -> dict[str, float]:
    """Send to somebody who is away."""
    from_token, _to_token, to = json.load(sys.stdin)
    sender = RawSocket(options.port, f"/ws?token={from_token}")
    frames = _sends(options.messages, options.bytes, to, client_ids=True)
    oks = Collector(sender, len(frames), first_length)
    oks.start()
    sender.send(b"".join(frames))
    oks.join()
    return {"sent": len(oks.payloads())}


def read(options: argparse.Namespace, token: str = "") -> dict[str, float]:
    """Fetch what waits and time it, from the request to the last message."""
    if not token:
        [token] = json.load(sys.stdin)
    reader = RawSocket(options.port, f"/ws?token={token}")
    messages = Collector(reader, options.messages, first_length)
    ask = frame(pb.ClientFrame(seq=1, fetch=pb.Fetch()).SerializeToString())
    messages.start()
    began = time.perf_counter()
    reader.send(ask)
    messages.join()
    if messages.problem is not None:
        raise messages.problem
    return {"seconds": messages.finished - began}


def drain(options: argparse.Namespace) -> dict[str, float]:
    """Fill an inbox while its owner is away, then time how fast it is delivered."""
    from_token, to_token, to = given = json.load(sys.stdin)
    assert from_token
    assert to
    sys.stdin = io.StringIO(json.dumps(given))
    fill(options)
    return read(options, to_token)


def main() -> None:
    """Command line: see the module text."""
    parser = argparse.ArgumentParser(description="Load for the relay's benchmarks.")
    parser.add_argument("what", choices=["throughput", "idle", "drain", "fill", "read"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--kind", choices=["relay", "forwarder", "javascript"], default="relay")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=256)
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--hold", type=float, default=5)
    parser.add_argument("--client-ids", action="store_true")
    options = parser.parse_args()
    work = {
        ("throughput", "relay"): relay_throughput,
        ("throughput", "forwarder"): forwarder_throughput,
        ("throughput", "javascript"): javascript_throughput,
        ("idle", "relay"): idle,
        ("idle", "forwarder"): idle,
        ("drain", "relay"): drain,
        ("fill", "relay"): fill,
        ("read", "relay"): read,
    }
    print(json.dumps(work[options.what, options.kind](options)))


if __name__ == "__main__":
    main()
