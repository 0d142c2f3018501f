"""Time that the gallery of 10,000 images takes for each of its requests.

    cargo build --release && target/venv/bin/python bench/page/gallery.py

A server is filled with so many small images, distinct files by PUT; one in ten lies in a folder, one in a hundred is corrupt, one
in a hundred is of a kind that no trigger takes. Then the first page and every page of the gallery after it is asked for, as the
script of the page does while somebody scrolls through all of them: of the whole bucket, of a folder, of a search by part of a key,
and of each filter. The time of a request is from sending it to its last byte, on one persistent connection. A table has the
requests of each kind, their median, their 99th percentile and their maximum in milliseconds; the exit code is 1 if a request
took longer than --limit.
"""

import argparse
import concurrent.futures
import html
import http.client
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "e2e"))

import sample_images  # noqa: E402
from tintype import SOURCE, Server  # noqa: E402
from waiting import until  # noqa: E402

NEXT = re.compile(rb'data-next="([^"]*)"')
WALKS = [
    ("all", {}),
    ("folder", {"prefix": "2026/"}),
    ("search", {"text": "99"}),
    ("search in vain", {"text": "nothing"}),
    *[(f"only {name}", {"only": name}) for name in ("rendered", "waiting", "failed", "ignored", "missing")],
]


def image(number):
    """The key and the bytes of an image."""
    folder = "2026/" if number % 10 == 0 else ""
    if number % 100 == 1:
        return f"{folder}{number:06}.jpg", sample_images.corrupt_jpeg()
    if number % 100 == 2:
        return f"{folder}{number:06}.txt", b"no image"
    return f"{folder}{number:06}.jpg", sample_images.distinct_jpeg(number, 160, 120)


def fill(server, count):
    s3 = server.client()

    def put(number):
        key, body = image(number)
        s3.put_object(Bucket=SOURCE, Key=key, Body=body)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in pool.map(put, range(count)):
            pass
    until(lambda: server.metrics()["tintype_queue_depth"] == 0, "every image is rendered", 3600)


class Client:
    """One persistent connection."""

    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def get(self, path):
        """The milliseconds of a request, and its answer."""
        began = time.perf_counter()
        self.connection.request("GET", path, headers={"accept-encoding": "identity"})
        answer = self.connection.getresponse()
        body = answer.read()
        took = (time.perf_counter() - began) * 1e3
        assert answer.status == 200, (path, answer.status, body[:200])
        return took, body


def walk(client, conditions):
    """The times of the requests of a walk to its end, and how many images there were."""
    times, images, after = [], 0, {}
    while True:
        took, body = client.get("/gallery?" + urlencode(conditions | after))
        times.append(took)
        images += body.count(b'<li class="tile ')
        found = NEXT.search(body)
        if not found:
            return times, images
        after = {"after": html.unescape(found[1].decode())}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=10_000, help="images")
    options.add_argument("--limit", type=float, default=50.0, help="milliseconds that a request may take")
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder, settings='[logs]\nlevel = "warn"\n').start()
        try:
            began = time.monotonic()
            fill(server, options.count)
            print(f"{options.count} images stored and rendered in {time.monotonic() - began:.0f} s")
            client = Client(server.http_url)
            rows = [("first page", [client.get("/")[0] for _ in range(50)], "")]
            rows += [(name, *walk(client, conditions)) for name, conditions in WALKS]
        finally:
            server.kill()
    print(f"{'':16}{'images':>8}{'requests':>10}{'median':>8}{'p99':>8}{'max':>8}")
    for name, times, images in rows:
        ordered = sorted(times)
        p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
        print(f"{name:16}{images:>8}{len(times):>10}{statistics.median(times):>8.1f}{p99:>8.1f}{ordered[-1]:>8.1f}")
    slowest = max(max(times) for _, times, _ in rows)
    sys.exit(slowest > options.limit)


if __name__ == "__main__":
    main()
