"""Frames that no browser sends. What must come back is worked out from RFC 6455 by a few lines of our own; the server must still be there,
and no larger."""

import itertools
import os
import socket
import struct
import threading
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from test_daphne_flow import MEGABYTE, growth, raw_websocket

LIMIT = 1000  # bytes of a message, as `shared` is started
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GOOD_CODES = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}
# The same examples each time, unless more are asked for: LAUREL_FUZZ_EXAMPLES=5000 draws new ones.
MORE = os.environ.get("LAUREL_FUZZ_EXAMPLES")
FUZZED = settings(
    max_examples=int(MORE or 150),
    derandomize=not MORE,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def frame(opcode, payload=b"", fin=True, reserved=0, masked=True, form=0):
    """A frame as a client sends it. `form` makes the length's field longer than it has to be: 126 or 127."""
    head = bytes([fin << 7 | reserved << 4 | opcode])
    size, mask_bit = len(payload), masked << 7
    if form == 127 or size > 0xFFFF:
        head += bytes([mask_bit | 127]) + struct.pack(">Q", size)
    elif form == 126 or size > 125:
        head += bytes([mask_bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([mask_bit | size])
    if not masked:
        return head + payload
    key = b"\x0f\xf0\x55\xaa"
    return head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def answers(frames):
    """What must come of frames, each as keyword arguments of `frame`.

    ([messages that are echoed], close code that must follow or None, number of the frame that ends it).
    """
    echoed, kind, parts = [], None, b""
    for number, f in enumerate(frames):
        opcode, payload, size = f["opcode"], f["payload"], len(f["payload"])
        if f["reserved"] or not f["masked"] or opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            return echoed, 1002, number
        if opcode >= CLOSE and (not f["fin"] or size > 125):
            return echoed, 1002, number
        if (f["form"] == 127 and size <= 0xFFFF) or (f["form"] == 126 and size <= 125):
            return echoed, 1002, number
        if opcode == CLOSE:
            return echoed, close_code(payload), number
        if opcode in (PING, PONG):
            continue
        if (opcode == CONTINUATION) == (kind is None):
            return echoed, 1002, number
        kind, parts = opcode or kind, parts + payload
        if len(parts) > LIMIT:
            return echoed, 1009, number
        if f["fin"]:
            if kind == TEXT and not is_text(parts):
                return echoed, 1007, number
            echoed.append(parts)
            kind, parts = None, b""
        elif kind == TEXT and not begins_text(parts):
            return echoed, 1007, number
    return echoed, None, len(frames)


def close_code(payload):
    """What a close frame is answered with: 1000 (RFC 6455, 5.5.1 does not ask for its own code), or what is wrong with it."""
    if not payload:
        return 1000
    if len(payload) == 1 or struct.unpack(">H", payload[:2])[0] not in GOOD_CODES:
        return 1002
    return 1000 if is_text(payload[2:]) else 1007


def is_text(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def begins_text(data):
    """Whether more bytes could make it UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


def frames_of(connection):
    """(opcode, payload) of each frame that comes, until the end of the connection."""
    with connection.makefile("rb") as stream, suppress(ConnectionResetError):
        while len(head := stream.read(2)) == 2:
            size = head[1] & 127
            if size > 125:
                size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
            yield head[0] & 15, stream.read(size)


def received(connection, wanted=None):
    """([echoed messages], close code) until a close frame, the connection's end (1006), or the `wanted` number of messages (None)."""
    messages = []
    for opcode, payload in frames_of(connection):
        if opcode in (TEXT, BINARY):
            messages.append(payload)
        elif opcode == CLOSE:
            return messages, struct.unpack(">H", payload[:2])[0] if payload else 1000
        if len(messages) == wanted:
            return messages, None
    return messages, 1006


payloads = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=20).map(str.encode),
    st.sampled_from([bytes(LIMIT), bytes(LIMIT + 1), bytes(125), bytes(126), b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf"]),
    st.sampled_from([1000, 1001, 1004, 1005, 1006, 1015, 1016, 2999, 3000, 4999, 5000, 0]).map(lambda code: struct.pack(">H", code)),
)
rarely = st.integers(0, 19).map(lambda n: n == 0)
odd_frames = st.fixed_dictionaries(
    {
        "opcode": st.one_of(st.sampled_from([CONTINUATION, TEXT, BINARY, PING, PONG]), st.sampled_from([CLOSE]), st.integers(0, 15)),
        "payload": payloads,
        "fin": st.booleans(),
        "reserved": rarely.flatmap(lambda yes: st.integers(1, 7) if yes else st.just(0)),
        "masked": rarely.map(lambda yes: not yes),
        "form": rarely.flatmap(lambda yes: st.sampled_from([126, 127]) if yes else st.just(0)),
    }
)


@pytest.fixture(autouse=True)
def nothing_raised(request):
    """No traceback in what the shared server says meanwhile."""
    server = request.getfixturevalue("shared") if "shared" in request.fixturenames else None
    before = len(server.err.read_text()) if server else 0
    yield
    assert server is None or "Traceback" not in server.err.read_text()[before:]


@FUZZED
@given(frames=st.lists(odd_frames, min_size=1, max_size=8))
def test_any_frames_get_what_the_rfc_says(shared, frames):
    echoed, code, last = answers(frames)
    with raw_websocket(shared, "/") as connection:
        connection.sendall(b"".join(frame(**f) for f in frames[: last + 1]))
        if code is not None:
            messages, closed = received(connection)
            assert messages == echoed[: len(messages)]  # it may close before the last ones are out
            # A close frame that breaks a rule counts as the answer to ours as well: then the connection just ends.
            assert closed == code or (closed == 1006 and frames[last]["opcode"] == CLOSE)
        elif echoed:
            assert received(connection, wanted=len(echoed)) == (echoed, None)
        else:
            connection.sendall(frame(PING, b"there?"))
            assert (PONG, b"there?") in itertools.takewhile(lambda f: f[0] != CLOSE, frames_of(connection))
    assert shared.process.poll() is None


@FUZZED
@given(noise=st.binary(min_size=1, max_size=400))
def test_any_bytes_after_the_handshake_end_one_connection_at_most(shared, noise):
    with raw_websocket(shared, "/") as connection:
        connection.sendall(noise)
        connection.shutdown(socket.SHUT_WR)
        list(frames_of(connection))
    with raw_websocket(shared, "/") as connection:
        connection.sendall(frame(TEXT, b"still here?") + frame(CLOSE, struct.pack(">H", 1000)))
        assert received(connection)[1] == 1000


@FUZZED
@given(size=st.integers(0, 3 * LIMIT), cuts=st.lists(st.integers(0, 3 * LIMIT), max_size=5), kind=st.sampled_from([TEXT, BINARY]))
def test_a_message_of_any_size_in_any_pieces_is_echoed_or_too_big(shared, size, cuts, kind):
    whole = bytes(65 + i % 26 for i in range(size))
    ends = [0, *sorted(min(cut, size) for cut in cuts), size]
    pieces = [whole[a:b] for a, b in itertools.pairwise(ends)]
    with raw_websocket(shared, "/") as connection:
        for number, piece in enumerate(pieces):
            connection.sendall(frame(CONTINUATION if number else kind, piece, fin=number == len(pieces) - 1))
        if size > LIMIT:
            assert received(connection)[1] == 1009
            return
        assert next(frames_of(connection)) == (kind, whole)


@pytest.mark.parametrize(("size", "code"), [(LIMIT + 1, 1009), (0xFFFF, 1009), (0x10000, 1009), (2**40, 1009), (2**63, 1002)])
def test_a_size_that_is_only_announced_is_enough(shared, size, code):
    with raw_websocket(shared, "/") as connection:
        head = b"\xfe" + struct.pack(">H", size) if size <= 0xFFFF else b"\xff" + struct.pack(">Q", size)
        connection.sendall(bytes([0x80 | BINARY]) + head + bytes(4) + bytes(2000))
        assert received(connection) == ([], code)


@pytest.mark.cure("keeps each piece of a message as an object of its own")
def test_a_message_in_tiny_pieces_takes_little_more_than_its_size(start):
    server = start()
    server.get()
    before = server.memory()
    with raw_websocket(server, "/") as connection:
        connection.settimeout(20)
        connection.sendall(frame(BINARY, fin=False))
        for _ in range(20):
            connection.sendall(frame(CONTINUATION, b"ab", fin=False) * 20_000)
        connection.sendall(frame(PING, b"so far"))
        assert next(frames_of(connection)) == (PONG, b"so far")
        assert server.memory() - before < 8 * MEGABYTE  # 0.8 MB came
        connection.sendall(frame(CONTINUATION))
        assert next(frames_of(connection)) == (BINARY, b"ab" * 400_000)


def test_compression_that_was_not_agreed_on_is_refused(shared):
    bomb = b"\xed\xc0\x81\x00\x00\x00\x00\x80\xa0\xfd\xa9\x17\xa9"  # deflated, many times as large
    asked = {"Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits"}
    with raw_websocket(shared, "/", **asked) as connection:
        connection.sendall(frame(TEXT, bomb, reserved=4))
        assert received(connection) == ([], 1002)


@pytest.mark.cure("answers pings that nobody reads the answers of, without bound")
def test_memory_stays_flat_for_a_client_that_pings_and_never_reads(start):
    server = start()
    server.get()
    before = server.memory()
    pings = frame(PING, bytes(125)) * 1000
    with raw_websocket(server, "/deaf") as connection:
        connection.settimeout(0.5)
        try:
            for _ in range(400):  # 52 MB
                connection.sendall(pings)
        except (TimeoutError, ConnectionError):
            pass
        assert growth(server, before, seconds=0.3) < 8 * MEGABYTE
    assert "done" in server.get()


def test_the_newest_ping_is_answered_once_the_client_reads(start):
    server = start()
    with raw_websocket(server, "/") as connection:
        connection.settimeout(1)
        with suppress(TimeoutError):
            for number in range(400):
                connection.sendall(frame(PING, b"%d" % number + bytes(100)) * 1000)
        last = (PONG, b"the last")

        def write():
            connection.sendall(frame(PING, b"the last"))

        connection.settimeout(20)
        writer = threading.Thread(target=write)
        writer.start()
        assert last in frames_of(connection)
        writer.join()


def test_a_ping_is_answered(shared):
    with raw_websocket(shared, "/") as connection:
        connection.sendall(frame(PING, b"one"))
        assert next(frames_of(connection)) == (PONG, b"one")


def test_odd_connections_leave_nothing_behind(start):
    server = start()
    odd = [frame(3), frame(TEXT, b"\xff"), frame(PING, bytes(126)), frame(TEXT, b"x", masked=False), frame(CLOSE, b"x")]
    before = 0
    for number in range(4000):
        with raw_websocket(server, "/") as connection:
            connection.sendall(odd[number % len(odd)])
            received(connection)
        if number == 3000:  # it grows by 50 MB until about here, as stock Daphne does, and then (to 12,000) no more
            before = server.memory()
    assert server.memory() - before < 8 * MEGABYTE
