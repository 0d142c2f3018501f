"""What a client of another address waits for while one address holds as many connections as it gets, each with an
unfinished head: GET /healthz and PUT of a small object, each on a new connection.

    cargo build --release && target/venv/bin/python bench/http/slow_heads.py [--connections 1000] [--requests 200]

The slow clients come back a second after they are closed. Needs Linux, where every address of 127.0.0.0/8 is this machine's.
"""

import argparse
import collections
import http.client
import multiprocessing
import selectors
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "e2e"))
import signing  # noqa: E402
from tintype import SOURCE, Server  # noqa: E402

SLOW, OTHER = "127.0.0.1", "127.0.0.2"
# Seconds after which a slow client comes back.
PAUSE = 1


class SlowClients:
    """So many connections of one address to a port, reopened whenever they are closed; in a process of their own."""

    def __init__(self, url, count):
        address = urlsplit(url)
        self.address, self.ended = (address.hostname, address.port), multiprocessing.Event()
        self.count, self.opened = count, multiprocessing.Value("i", 0)
        self.process = multiprocessing.Process(target=self.run)
        self.process.start()

    def open(self):
        connection = socket.create_connection(self.address, timeout=30, source_address=(SLOW, 0))
        connection.setblocking(False)
        try:
            connection.send(b"GET / HT")
        except OSError:
            pass
        self.selector.register(connection, selectors.EVENT_READ)
        self.opened.value += 1

    def run(self):
        self.selector = selectors.DefaultSelector()
        for _ in range(self.count):
            self.open()
        reopen = collections.deque()
        while not self.ended.is_set():
            for key, _ in self.selector.select(0.05):
                self.selector.unregister(key.fileobj)
                key.fileobj.close()
                reopen.append(time.monotonic() + PAUSE)
            while reopen and reopen[0] <= time.monotonic():
                reopen.popleft()
                self.open()

    def end(self):
        self.ended.set()
        self.process.join()


def healthz(server, number):
    return server.http_url, "GET", "/healthz", None, {}


def put(server, number):
    key, body = f"{number}.txt", b"x" * 1000
    return server.s3_url, "PUT", signing.path_of(SOURCE, key), body, signing.headers(server, "PUT", SOURCE, key, body)


def milliseconds(server, ask, count):
    waits = []
    for number in range(count):
        url, *request = ask(server, number)
        begin = time.perf_counter()
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60, source_address=(OTHER, 0))
        connection.request(*request)
        answer = connection.getresponse()
        answer.read()
        waits.append((time.perf_counter() - begin) * 1e3)
        connection.close()
        assert answer.status == 200, answer.status
    return waits


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--connections", type=int, default=1000)
    arguments.add_argument("--requests", type=int, default=200)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder).start()
        try:
            for connections in (0, given.connections):
                slow = [SlowClients(url, connections) for url in (server.http_url, server.s3_url)]
                # The first are slow by now.
                time.sleep(3)
                for name, ask in (("GET /healthz", healthz), ("PUT of 1 KB", put)):
                    waits = milliseconds(server, ask, given.requests)
                    p99 = statistics.quantiles(waits, n=100)[-1]
                    print(
                        f"{connections:5} slow connections to each port, {name}: "
                        f"median {statistics.median(waits):.1f} ms, p99 {p99:.1f} ms, most {max(waits):.1f} ms"
                    )
                for clients in slow:
                    clients.end()
                print(f"      connections opened: {sum(clients.opened.value for clients in slow)}")
        finally:
            server.kill()


if __name__ == "__main__":
    main()
