"""A TCP proxy, in a process of its own, between a client and a server on this machine: it delays bytes, breaks connections, or
holds everything back as a network that is cut off.

    python e2e/tcp_proxy.py TARGET_PORT [--delay-ms 10] [--address 127.0.0.1]

It prints its port, and takes one command a line: `hold` forwards nothing, neither of old nor of new connections; `reset` breaks
every connection and each new one; `pass` forwards again, what was held back first.
"""

import argparse
import asyncio
import subprocess
import sys
from collections import deque

CHUNK = 64 << 10
# Held back by one connection in one direction, in bytes; then its sender is not read any more.
MOST_HELD = 4 << 20


class TcpProxy:
    """Starts the proxy; `delay_ms` is added in each direction, and to the first bytes of a connection for its handshake."""

    def __init__(self, target_port, delay_ms=0, address="127.0.0.1"):
        command = [sys.executable, __file__, str(target_port), "--delay-ms", str(delay_ms), "--address", address]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.port = int(self.process.stdout.readline())

    def command(self, name):
        """Returns once it is in force."""
        self.process.stdin.write(f"{name}\n")
        assert self.process.stdout.readline().strip() == name

    def kill(self):
        self.process.kill()
        self.process.wait(30)
        self.process.stdin.close()
        self.process.stdout.close()


class Proxy:
    def __init__(self, target_port, delay):
        self.target_port, self.delay = target_port, delay
        self.mode, self.changed = "pass", asyncio.Event()
        self.writers = set()

    def set(self, mode):
        self.mode = mode
        self.changed.set()
        self.changed = asyncio.Event()
        if mode == "reset":
            for writer in self.writers:
                writer.transport.abort()

    async def passes(self):
        while self.mode != "pass":
            await self.changed.wait()

    async def accept(self, reader, writer):
        if self.mode == "reset":
            writer.transport.abort()
            return
        self.writers.add(writer)
        other = None
        try:
            await self.passes()
            # The client's handshake was not delayed; this is as late as one that was.
            await asyncio.sleep(2 * self.delay)
            back, other = await asyncio.open_connection("127.0.0.1", self.target_port)
            self.writers.add(other)
            await asyncio.gather(self.forward(reader, other), self.forward(back, writer))
        except OSError:
            pass
        finally:
            for one in (writer, other):
                if one:
                    self.writers.discard(one)
                    one.transport.abort()

    async def forward(self, reader, writer):
        loop = asyncio.get_running_loop()
        waiting, held, more, room = deque(), 0, asyncio.Event(), asyncio.Event()

        async def read():
            nonlocal held
            while True:
                chunk = await reader.read(CHUNK)
                waiting.append((loop.time() + self.delay, chunk))
                held += len(chunk)
                more.set()
                if not chunk:
                    return
                while held > MOST_HELD:
                    room.clear()
                    await room.wait()

        async def write():
            nonlocal held
            while True:
                while not waiting:
                    more.clear()
                    await more.wait()
                due, chunk = waiting.popleft()
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                await self.passes()
                if not chunk:
                    if writer.can_write_eof():
                        writer.write_eof()
                    return
                writer.write(chunk)
                await writer.drain()
                held -= len(chunk)
                room.set()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read())
            tasks.create_task(write())


async def commands(proxy):
    """Obeys until whoever started it has ended."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode().strip():
        proxy.set(line)
        print(line, flush=True)


async def serve(target_port, delay, address):
    proxy = Proxy(target_port, delay)

    async def accept(reader, writer):
        try:
            await proxy.accept(reader, writer)
        except* OSError:
            pass

    server = await asyncio.start_server(accept, address, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await commands(proxy)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("target_port", type=int)
    arguments.add_argument("--delay-ms", type=float, default=0)
    arguments.add_argument("--address", default="127.0.0.1", help="where it listens")
    arguments = arguments.parse_args()
    asyncio.run(serve(arguments.target_port, arguments.delay_ms / 1000, arguments.address))


if __name__ == "__main__":
    main()
