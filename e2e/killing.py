"""The program under load, killed at random moments, again and again; and what clients were told compared with what
is there.

    TINTYPE_BIN=target/release/tintype target/venv/bin/python e2e/killing.py --kills 500 --seed 1

Clients upload, replace and delete objects through both ports, and read them all the while. After each start what is
there must be what was acknowledged; in the end every picture has the thumbnail of its newest version.
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

import pictures
import signing
from tintype import DESTINATION, SOURCE, Server, run
from waiting import until

WRITERS = 4
READERS = 2
KEYS = 60
PICTURES = 48
NO_PICTURES = (b"no picture", b"", b"\xff\xd8\xff\xe0 hardly one")
LOAD_SECONDS = (0.05, 1.6)
# Of the kills, those that do not wait until the server is ready.
WHILE_STARTING = 0.1

# A connection that breaks, or an answer that ends early.
BROKEN = (OSError, http.client.HTTPException)


def md5(data):
    return hashlib.md5(data).hexdigest()


class Wrong(AssertionError):
    """A promise was broken."""


class Connection:
    """A kept connection to one of the server's ports."""

    def __init__(self, url):
        self.http = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def exchange(self, method, path, body=None, headers=()):
        self.http.request(method, path, body, dict(headers))
        answer = self.http.getresponse()
        return answer, answer.read()

    def close(self):
        self.http.close()


class Known:
    """What the clients were told, by key: the ETags an object may have, None for no object. What was never
    acknowledged may have come to pass or not; what was is all that is possible from then on."""

    def __init__(self, bodies):
        self.etags = {md5(body): body for body in bodies}
        self.possible = {}
        self.acknowledged = self.unacknowledged = self.reads = 0
        # The bytes made of a source version: whoever makes them, they are the same.
        self.thumbnails = {}
        self.lock = threading.Lock()

    def check_listing(self, present):
        wrong = {}
        for key, etags in self.possible.items():
            if present.get(key) not in etags:
                wrong[key] = (present.get(key), etags)
            # Whichever it is, from now on it is that one.
            self.possible[key] = [present.get(key)]
        unknown = set(present) - set(self.possible)
        if wrong or unknown:
            raise Wrong(f"not as acknowledged: {wrong}; never uploaded: {unknown}")

    def check_read(self, key, answer, body):
        etag = answer.getheader("ETag").strip('"')
        if md5(body) != etag:
            raise Wrong(f"a torn read of {key}: {len(body)} bytes with the ETag {etag}")
        source = answer.getheader("x-amz-meta-tintype-source-etag")
        if (source or etag) not in self.etags:
            raise Wrong(f"{key} holds what nobody uploaded")
        with self.lock:
            self.reads += 1
            if source and self.thumbnails.setdefault(source, body) != body:
                raise Wrong(f"{key} is another thumbnail of {source} than before")


def put(server, s3, api, chance, key, body):
    """Uploads by S3, or where the body is a picture now and then over HTTP; answers status and body."""
    if body.startswith(b"\xff\xd8") and len(body) > 100 and chance.random() < 0.15:
        path = f"{urlsplit(server.api_url).path}?key={quote(key, safe='')}"
        return api.exchange("POST", path, body, {"Content-Type": "image/jpeg"})
    return s3.exchange("PUT", signing.path_of(SOURCE, key), body, signing.headers(server, "PUT", SOURCE, key, body))


def write(server, known, number, chance, stop):
    """One client's writes under keys that are its own, until it is stopped or cut off."""
    s3, api = Connection(server.s3_url), Connection(server.http_url)
    bodies = sorted(known.etags.values())
    try:
        while not stop.is_set():
            key = f"killed/{number}/{chance.randrange(KEYS):03}.jpg"
            body = None if chance.random() < 0.15 else chance.choice(bodies)
            etag = None if body is None else md5(body)
            possible = known.possible.setdefault(key, [None])
            possible.append(etag)
            if body is None:
                sent = signing.headers(server, "DELETE", SOURCE, key)
                answer, words = s3.exchange("DELETE", signing.path_of(SOURCE, key), None, sent)
            else:
                answer, words = put(server, s3, api, chance, key, body)
            if answer.status not in (200, 202, 204):
                raise Wrong(f"{key} was refused: {answer.status} {words}")
            possible[:] = [etag]
            with known.lock:
                known.acknowledged += 1
    except BROKEN:
        with known.lock:
            known.unacknowledged += 1
        if not stop.is_set():
            raise
    finally:
        s3.close()
        api.close()


def read(server, known, chance, stop):
    """One client that reads sources and thumbnails, until it is stopped or cut off."""
    s3 = Connection(server.s3_url)
    try:
        while not stop.is_set():
            key = f"killed/{chance.randrange(WRITERS)}/{chance.randrange(KEYS):03}.jpg"
            bucket, key = chance.choice([(SOURCE, key), (DESTINATION, f"thumb_{key}")])
            answer, body = s3.exchange("GET", signing.path_of(bucket, key), headers=signing.headers(server, "GET", bucket, key))
            if answer.status == 200:
                known.check_read(f"{bucket}/{key}", answer, body)
            elif answer.status != 404:
                raise Wrong(f"reading {bucket}/{key}: {answer.status} {body}")
    except BROKEN:
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
            raise Wrong(f"the objects cannot be listed: {body}")
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


def one_life(server, known, chance):
    """From a start to a kill."""
    if chance.random() < WHILE_STARTING:
        process = server.spawn()
        time.sleep(chance.uniform(0, 0.012))
        process.kill()
        server.kill()
        return
    server.start()
    known.check_listing(listing(server))
    stop = threading.Event()
    seeds = [random.Random(chance.random()) for _ in range(WRITERS + READERS)]
    with concurrent.futures.ThreadPoolExecutor(WRITERS + READERS) as pool:
        running = [pool.submit(write, server, known, number, seeds[number], stop) for number in range(WRITERS)]
        running += [pool.submit(read, server, known, seed, stop) for seed in seeds[WRITERS:]]
        try:
            concurrent.futures.wait(running, chance.uniform(*LOAD_SECONDS), concurrent.futures.FIRST_COMPLETED)
        finally:
            stop.set()
            server.kill()
    for one in running:
        one.result()


def check_the_end(server, known):
    """Every object has the thumbnail of its newest version, or a dead letter that says why not."""
    server.start()
    present = listing(server)
    known.check_listing(present)
    until(lambda: server.metrics()["tintype_queue_depth"] == 0, "nothing is waiting", 300)
    listed = run("dead-letters", "list", "--server", server.http_url)
    letters = [json.loads(line) for line in listed.stdout.decode().splitlines()]
    # The same bytes may have been uploaded before, and deleted before their turn: then there are several.
    given_up = collections.defaultdict(set)
    for letter in letters:
        given_up[letter["event"]["key"], letter["event"]["etag"].strip('"')].add(letter["reason"])
    connection = Connection(server.s3_url)
    made = dead = 0
    for key, etag in sorted(present.items()):
        answer, body = connection.exchange("GET", signing.path_of(SOURCE, key), headers=signing.headers(server, "GET", SOURCE, key))
        known.check_read(key, answer, body)
        if len(body) < 100:
            if not given_up[key, etag] & {"unsupported", "malformed"}:
                raise Wrong(f"{key} is no picture and has no dead letter: {given_up[key, etag]}")
            dead += 1
            continue
        thumbnail = f"thumb_{key}"
        sent = signing.headers(server, "GET", DESTINATION, thumbnail)
        answer, body = connection.exchange("GET", signing.path_of(DESTINATION, thumbnail), headers=sent)
        if answer.status != 200 or answer.getheader("x-amz-meta-tintype-source-etag") != etag:
            raise Wrong(f"{key} has no thumbnail of its version {etag}: {answer.status}, dead letters: {given_up[key, etag]}")
        known.check_read(thumbnail, answer, body)
        made += 1
    connection.close()
    odd = {letter["reason"] for letter in letters} - {"unsupported", "malformed", "missing"}
    if odd:
        raise Wrong(f"pictures were given up for {odd}")
    until(lambda: not list((server.data / "incoming").iterdir()), "nothing is left of unfinished uploads")
    return made, dead


def kill_again_and_again(server, kills, seed, told=lambda words: None):
    """The whole of it; answers what there is to say, or raises `Wrong`."""
    chance = random.Random(seed)
    bodies = [pictures.distinct_jpeg(number, *chance.choice([(160, 120), (320, 240), (640, 480)])) for number in range(PICTURES)]
    known = Known([*bodies, *NO_PICTURES])
    for number in range(kills):
        one_life(server, known, chance)
        if (number + 1) % 50 == 0:
            told(f"  {number + 1} kills, {known.acknowledged} writes acknowledged, {known.reads} reads")
    made, dead = check_the_end(server, known)
    return (
        f"{kills} kills under load, seed {seed}: {known.acknowledged} writes acknowledged, {known.unacknowledged} cut off, "
        f"{known.reads} reads; 0 acknowledged writes lost, 0 torn reads, 0 pictures without thumbnail "
        f"({made} made, {dead} that are no pictures became dead letters)"
    )


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=500)
    arguments.add_argument("--seed", type=int, default=1)
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        began = time.monotonic()
        try:
            print(kill_again_and_again(server, arguments.kills, arguments.seed, lambda words: print(words, flush=True)))
        finally:
            with contextlib.suppress(Exception):
                server.kill()
        print(f"in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
