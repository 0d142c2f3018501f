"""The program under load, killed repeatedly at random times; acknowledged writes are compared with the stored objects.

    TINTYPE_BIN=target/release/tintype target/venv/bin/python e2e/killing.py --kills 500 --seed 1

Clients upload, replace, delete and read objects through both ports. After each start the objects must be those that
were acknowledged; at the end every image has the thumbnail of its newest version.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import hashlib
import http.client
import json
import random
import tempfile
import threading
import time
import xml.etree.ElementTree
from urllib.parse import quote, urlsplit

import sample_images
import signing
from tintype import DESTINATION, SOURCE, Server, run
from waiting import until

WRITERS = 4
READERS = 2
KEYS = 60
IMAGES = 48
INVALID_IMAGES = (b"not an image", b"", b"\xff\xd8\xff\xe0 hardly one")
LOAD_SECONDS = (0.05, 1.6)
# The share of kills before the server is ready.
WHILE_STARTING = 0.1

# A broken connection, or a response that ends early.
CONNECTION_ERRORS = (OSError, http.client.HTTPException)


def md5(data):
    return hashlib.md5(data).hexdigest()


class Violation(AssertionError):
    """A guarantee was violated."""


class Connection:
    """A persistent connection to one of the server's ports."""

    def __init__(self, url):
        self.http = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def exchange(self, method, path, body=None, headers=()):
        self.http.request(method, path, body, dict(headers))
        answer = self.http.getresponse()
        return answer, answer.read()

    def close(self):
        self.http.close()


class Expectation:
    """The ETags that an object may have, by key; None for no object. An unacknowledged write may have taken effect or not;
    after an acknowledged one only its result is possible."""

    def __init__(self, bodies):
        self.etags = {md5(body): body for body in bodies}
        self.possible = {}
        self.acknowledged = self.unacknowledged = self.reads = 0
        # The thumbnail of each source version; renders are deterministic.
        self.thumbnails = {}
        self.lock = threading.Lock()

    def check_listing(self, present):
        wrong = {}
        for key, etags in self.possible.items():
            if present.get(key) not in etags:
                wrong[key] = (present.get(key), etags)
            # The state observed is the only possible one from now on.
            self.possible[key] = [present.get(key)]
        unknown = set(present) - set(self.possible)
        if wrong or unknown:
            raise Violation(f"not as acknowledged: {wrong}; never uploaded: {unknown}")

    def check_read(self, key, answer, body):
        etag = answer.getheader("ETag").strip('"')
        if md5(body) != etag:
            raise Violation(f"a torn read of {key}: {len(body)} bytes with the ETag {etag}")
        source = answer.getheader("x-amz-meta-tintype-source-etag")
        if (source or etag) not in self.etags:
            raise Violation(f"{key} has a version that was never uploaded")
        with self.lock:
            self.reads += 1
            if source and self.thumbnails.setdefault(source, body) != body:
                raise Violation(f"{key} is another thumbnail of {source} than before")


def put(server, s3, api, chance, key, body):
    """Uploads by S3, or sometimes over HTTP if the body is an image; returns status and body."""
    if body.startswith(b"\xff\xd8") and len(body) > 100 and chance.random() < 0.15:
        path = f"{urlsplit(server.api_url).path}?key={quote(key, safe='')}"
        return api.exchange("POST", path, body, {"Content-Type": "image/jpeg"})
    return s3.exchange("PUT", signing.path_of(SOURCE, key), body, signing.headers(server, "PUT", SOURCE, key, body))


def write(server, expected, number, chance, stop):
    """One client's writes under its own keys, until it is stopped or disconnected."""
    s3, api = Connection(server.s3_url), Connection(server.http_url)
    bodies = sorted(expected.etags.values())
    try:
        while not stop.is_set():
            key = f"killed/{number}/{chance.randrange(KEYS):03}.jpg"
            body = None if chance.random() < 0.15 else chance.choice(bodies)
            etag = None if body is None else md5(body)
            possible = expected.possible.setdefault(key, [None])
            possible.append(etag)
            if body is None:
                sent = signing.headers(server, "DELETE", SOURCE, key)
                answer, words = s3.exchange("DELETE", signing.path_of(SOURCE, key), None, sent)
            else:
                answer, words = put(server, s3, api, chance, key, body)
            if answer.status not in (200, 202, 204):
                raise Violation(f"{key} was refused: {answer.status} {words}")
            possible[:] = [etag]
            with expected.lock:
                expected.acknowledged += 1
    except CONNECTION_ERRORS:
        with expected.lock:
            expected.unacknowledged += 1
        if not stop.is_set():
            raise
    finally:
        s3.close()
        api.close()


def read(server, expected, chance, stop):
    """One client that reads sources and thumbnails, until it is stopped or disconnected."""
    s3 = Connection(server.s3_url)
    try:
        while not stop.is_set():
            key = f"killed/{chance.randrange(WRITERS)}/{chance.randrange(KEYS):03}.jpg"
            bucket, key = chance.choice([(SOURCE, key), (DESTINATION, f"thumb_{key}")])
            answer, body = s3.exchange("GET", signing.path_of(bucket, key), headers=signing.headers(server, "GET", bucket, key))
            if answer.status == 200:
                expected.check_read(f"{bucket}/{key}", answer, body)
            elif answer.status != 404:
                raise Violation(f"reading {bucket}/{key}: {answer.status} {body}")
    except CONNECTION_ERRORS:
        if not stop.is_set():
            raise
    finally:
        s3.close()


def listing(server):
    """ETags by key of all source objects."""
    present, after = {}, ""
    connection = Connection(server.s3_url)
    while after is not None:
        answer, body = signed_listing(server, connection, after)
        if answer.status != 200:
            raise Violation(f"the objects cannot be listed: {body}")
        tree = xml.etree.ElementTree.fromstring(body)
        space = tree.tag.partition("}")[0] + "}"
        found = [(one.findtext(f"{space}Key"), one.findtext(f"{space}ETag").strip('"')) for one in tree.iter(f"{space}Contents")]
        present |= dict(found)
        after = found[-1][0] if tree.findtext(f"{space}IsTruncated") == "true" else None
    connection.close()
    return present


def signed_listing(server, connection, after):
    url = signing.presigned(server, "GET", SOURCE, "", query={"list-type": "2", "start-after": after})
    parts = urlsplit(url)
    return connection.exchange("GET", f"{parts.path}?{parts.query}")


def run_until_killed(server, expected, chance):
    """Starts the server and kills it under load."""
    if chance.random() < WHILE_STARTING:
        process = server.spawn()
        time.sleep(chance.uniform(0, 0.012))
        process.kill()
        server.kill()
        return
    server.start()
    expected.check_listing(listing(server))
    stop = threading.Event()
    seeds = [random.Random(chance.random()) for _ in range(WRITERS + READERS)]
    with concurrent.futures.ThreadPoolExecutor(WRITERS + READERS) as pool:
        running = [pool.submit(write, server, expected, number, seeds[number], stop) for number in range(WRITERS)]
        running += [pool.submit(read, server, expected, seed, stop) for seed in seeds[WRITERS:]]
        try:
            concurrent.futures.wait(running, chance.uniform(*LOAD_SECONDS), concurrent.futures.FIRST_COMPLETED)
        finally:
            stop.set()
            server.kill()
    for one in running:
        one.result()


def check_final_state(server, expected):
    """Every object has the thumbnail of its newest version, or a dead letter with the reason."""
    server.start()
    present = listing(server)
    expected.check_listing(present)
    until(lambda: server.metrics()["tintype_queue_depth"] == 0, "the queue is empty", 300)
    listed = run("dead-letters", "list", "--server", server.http_url)
    dead_letters = [json.loads(line) for line in listed.stdout.decode().splitlines()]
    # The same bytes may have been uploaded earlier and deleted before their event: then there are several reasons.
    reasons = collections.defaultdict(set)
    for dead_letter in dead_letters:
        reasons[dead_letter["event"]["key"], dead_letter["event"]["etag"].strip('"')].add(dead_letter["reason"])
    connection = Connection(server.s3_url)
    rendered = dead = 0
    for key, etag in sorted(present.items()):
        answer, body = connection.exchange("GET", signing.path_of(SOURCE, key), headers=signing.headers(server, "GET", SOURCE, key))
        expected.check_read(key, answer, body)
        if len(body) < 100:
            if not reasons[key, etag] & {"unsupported", "malformed"}:
                raise Violation(f"{key} is no image and has no dead letter: {reasons[key, etag]}")
            dead += 1
            continue
        thumbnail = f"thumb_{key}"
        sent = signing.headers(server, "GET", DESTINATION, thumbnail)
        answer, body = connection.exchange("GET", signing.path_of(DESTINATION, thumbnail), headers=sent)
        if answer.status != 200 or answer.getheader("x-amz-meta-tintype-source-etag") != etag:
            raise Violation(f"{key} has no thumbnail of its version {etag}: {answer.status}, dead letters: {reasons[key, etag]}")
        expected.check_read(thumbnail, answer, body)
        rendered += 1
    connection.close()
    unexpected = {dead_letter["reason"] for dead_letter in dead_letters} - {"unsupported", "malformed", "missing"}
    if unexpected:
        raise Violation(f"images became dead letters for {unexpected}")
    until(lambda: not list((server.data / "incoming").iterdir()), "temporary files of unfinished uploads are removed")
    return rendered, dead


def kill_repeatedly(server, kills, seed, report=lambda text: None):
    """Runs all kills and the final check; returns a summary, or raises `Violation`."""
    chance = random.Random(seed)
    bodies = [sample_images.distinct_jpeg(number, *chance.choice([(160, 120), (320, 240), (640, 480)])) for number in range(IMAGES)]
    expected = Expectation([*bodies, *INVALID_IMAGES])
    for number in range(kills):
        run_until_killed(server, expected, chance)
        if (number + 1) % 50 == 0:
            report(f"  {number + 1} kills, {expected.acknowledged} writes acknowledged, {expected.reads} reads")
    rendered, dead = check_final_state(server, expected)
    return (
        f"{kills} kills under load, seed {seed}: {expected.acknowledged} writes acknowledged, {expected.unacknowledged} cut off, "
        f"{expected.reads} reads; 0 acknowledged writes lost, 0 torn reads, 0 images without thumbnail "
        f"({rendered} rendered, {dead} invalid images became dead letters)"
    )


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=500)
    arguments.add_argument("--seed", type=int, default=1)
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        started = time.monotonic()
        try:
            print(kill_repeatedly(server, arguments.kills, arguments.seed, lambda text: print(text, flush=True)))
        finally:
            with contextlib.suppress(Exception):
                server.kill()
        print(f"in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
