"""A small HTTP server whose answers cost a known amount of CPU, and which says how much it has used.

    python burning.py LOOPS

Prints the port it listens on. For each line on standard input it prints its CPU seconds so far. Every GET is answered with
the hello message of `/workload/json` after LOOPS turns of a fixed calculation.
"""

import asyncio
import json
import sys
import time

BODY = json.dumps({"message": "Hello, World!"}).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


def burn(loops: int) -> int:
    value = 1
    for i in range(loops):
        value = (value * 1103515245 + i) % 2147483648
    return value


class Burning(asyncio.Protocol):
    def __init__(self, loops: int) -> None:
        self.loops, self.received = loops, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        while b"\r\n\r\n" in self.received:
            _, _, self.received = self.received.partition(b"\r\n\r\n")
            burn(self.loops)
            self.transport.write(ANSWER)


async def main(loops: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Burning(loops), "127.0.0.1", 0, backlog=500)
    print(server.sockets[0].getsockname()[1], flush=True)

    def tell() -> None:
        if not sys.stdin.readline():
            loop.stop()
            return
        print(time.process_time(), flush=True)

    loop.add_reader(sys.stdin, tell)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1])))
    except (KeyboardInterrupt, RuntimeError):
        sys.exit(0)
