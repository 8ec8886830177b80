"""A slow line to a real server: `python -m benchmarks.link ORIGIN_PORT ROUND_TRIP_MS MEGABITS` prints its own port.

A proxy on loopback, in a process of its own, that knows nothing of HTTP. Every byte is delayed by half a round trip
each way, a new connection by a whole one more, as its handshake would be; all connections share one line of so many
bits a second towards the client, first come, first served. What it does not simulate: slow start, loss, a limit
towards the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_PIECE_BYTES = 16 << 10
_WINDOW_BYTES = 4 << 20
"""A connection has no more than this on its way, as a receive window would have it."""


class Line:
    """What all connections share."""

    def __init__(self, round_trip_s: float, bytes_per_s: float) -> None:
        self.half_s, self.bytes_per_s = round_trip_s / 2, bytes_per_s
        self._free_at = 0.0

    def arrival(self, size: int) -> float:
        """When so many bytes, sent now, are there."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + size / self.bytes_per_s
        return self._free_at + self.half_s


class Connection:
    """One client, and its connection to the origin."""

    def __init__(self, line: Line, origin_port: int) -> None:
        self._line, self._origin_port = line, origin_port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until one side ends."""
        loop = asyncio.get_running_loop()
        opened_at = loop.time() + 2 * self._line.half_s
        origin_reader, origin_writer = await asyncio.open_connection("127.0.0.1", self._origin_port)

        async def up() -> None:
            while data := await reader.read(_PIECE_BYTES):
                loop.call_at(max(loop.time(), opened_at) + self._line.half_s, origin_writer.write, data)
            loop.call_later(2 * self._line.half_s, origin_writer.close)

        async def down() -> None:
            on_the_way, room = 0, asyncio.Event()

            def arrive(data: bytes) -> None:
                nonlocal on_the_way
                on_the_way -= len(data)
                room.set()
                if not writer.is_closing():
                    writer.write(data)

            while data := await origin_reader.read(_PIECE_BYTES):
                while (
                    on_the_way + len(data) > _WINDOW_BYTES or writer.transport.get_write_buffer_size() > _WINDOW_BYTES
                ):
                    room.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(room.wait(), 0.01)
                on_the_way += len(data)
                loop.call_at(self._line.arrival(len(data)), arrive, data)
            while on_the_way:
                await asyncio.sleep(0.01)
            writer.close()

        ends = [asyncio.create_task(up()), asyncio.create_task(down())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        for side in (writer, origin_writer):
            side.close()


async def main(origin_port: int, round_trip_s: float, bytes_per_s: float) -> None:
    """Serve for ever; the port is printed first."""
    line = Line(round_trip_s, bytes_per_s)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await Connection(line, origin_port).serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=_WINDOW_BYTES)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    port, milliseconds, megabits = sys.argv[1:]
    asyncio.run(main(int(port), float(milliseconds) / 1000, float(megabits) * 125_000))
