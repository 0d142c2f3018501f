"""Four workers on one queue, killed and cut off from the network at random, together with their broker, while images are uploaded.

    TINTYPE_BIN=target/release/tintype target/venv/bin/python e2e/killing_workers.py [--seed 1]

Images are uploaded, some of them twice or more, and some corrupt; each upload's event is published once. Meanwhile workers and the
NATS server are ended by SIGKILL and started again, and workers lose their network: their link goes down (in network namespaces, as
root), or connections break. At the end every image must have the thumbnail of its newest version, and every corrupt one a dead letter:
a second one only of another delivery, where the acknowledgement of the first was lost.
"""

import argparse
import collections
import contextlib
import json
import random
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import cut_off
import sample_images
from nats_client import NatsClient
from tintype import DESTINATION, SOURCE, Server
from waiting import until
from worker import Nats, Worker, s3_event

STREAM, EVENTS, DEAD, CONSUMER = "images", "images.events", "images.dead", "thumbnails"
# Of the consumer, which is created beforehand: short, so that cuts outlast it.
LEASE_SECONDS = 4
SETTINGS = f"""
[worker]
stream = "{STREAM}"
subject = "{EVENTS}"
dead_letters = "{DEAD}"
consumer = "{CONSUMER}"
[logs]
format = "json"
[function]
retry_delays = ["1s"]
[[trigger]]
bucket = "{SOURCE}"
destination = "{DESTINATION}"
"""
CORRUPT_SHARE, OVERWRITTEN_SHARE = 0.05, 0.25
# The share of kills that meet the broker.
BROKER_SHARE = 0.15
CUT_SECONDS = (0.3, 3)
# Longer than a lease: another worker then works on what this one still has.
LONG_CUT_SHARE, LONG_CUT_SECONDS = 0.2, (LEASE_SECONDS + 1, LEASE_SECONDS + 5)
DRAIN_SECONDS = 600


class Violation(AssertionError):
    """A guarantee was violated."""


@dataclass
class Size:
    """How much happens."""

    uploads: int = 2000
    kills: int = 60
    cuts: int = 20
    workers: int = 4


class Setting:
    """Store, broker, and workers, each with a path of its own."""

    def __init__(self, folder, workers):
        self.folder, self.open = Path(folder), contextlib.ExitStack()
        # The store's own function leaves the buckets alone.
        self.store = Server(self.folder / "store", '[[trigger]]\nbucket = "elsewhere"\ndestination = "elsewhere-thumbnails"\n')
        self.open.callback(self.store.kill)
        self.store.start()
        self.s3 = self.store.client()
        for bucket in (SOURCE, DESTINATION):
            self.s3.create_bucket(Bucket=bucket)
        self.nats = Nats(self.folder)
        self.open.callback(lambda: self.nats.kill())
        self.client = NatsClient(self.nats.port)
        self.client.stream(STREAM, [EVENTS, DEAD])
        self.client.consumer(STREAM, CONSUMER, EVENTS, LEASE_SECONDS)
        self.namespaces = cut_off.has_namespaces()
        ports = int(self.store.s3_url.rsplit(":", 1)[1]), self.nats.port
        self.paths, self.workers = [], []
        for number in range(workers):
            path = cut_off.path(number, *ports, namespaces=self.namespaces)
            self.open.callback(path.close)
            worker = Worker(self.folder / f"worker-{number}", path.url(1, "nats"), path.url(0, "http"), self.store.credentials, SETTINGS)
            worker.prefix = path.prefix
            self.open.callback(worker.kill)
            self.paths.append(path)
            self.workers.append(worker.start())

    def close(self):
        self.open.close()
        for server in (self.store, *self.workers):
            Server.shown.remove(server)


class Uploads:
    """What is uploaded, and what must come of it."""

    def __init__(self, setting, count, chance):
        self.setting, self.count, self.chance = setting, count, chance
        self.newest, self.corrupt = {}, {}
        self.versions = collections.Counter()

    def upload(self, number):
        kind = self.chance.random()
        if kind < CORRUPT_SHARE:
            key, body = f"corrupt/{number:05}.jpg", sample_images.corrupt_jpeg()
        elif kind < CORRUPT_SHARE + OVERWRITTEN_SHARE and self.newest:
            key, body = self.chance.choice(list(self.newest)), sample_images.distinct_jpeg(f"version {number}")
        else:
            key, body = f"{number:05}.jpg", sample_images.distinct_jpeg(f"upload {number}")
        etag = self.setting.s3.put_object(Bucket=SOURCE, Key=key, Body=body)["ETag"].strip('"')
        (self.corrupt if key.startswith("corrupt/") else self.newest)[key] = etag
        self.versions[key] += 1
        event = s3_event(SOURCE, key, size=len(body), etag=etag)
        # The broker may be away; an event is published until it is stored, and stored once.
        self.setting.client.publish(EVENTS, json.dumps(event).encode(), message_id=f"upload-{number}")


class Faults:
    """Kills and cuts, as they come."""

    def __init__(self, setting, size, chance):
        self.setting, self.chance = setting, chance
        self.planned = ["kill"] * size.kills + ["cut"] * size.cuts
        chance.shuffle(self.planned)
        self.counts = collections.Counter()
        self.busy = [threading.Lock() for _ in setting.workers]
        self.cuts = []

    def one(self):
        if self.planned.pop() == "cut":
            self.cut()
        elif self.chance.random() < BROKER_SHARE:
            self.counts["kills of the broker"] += 1
            self.setting.nats.kill()
            time.sleep(self.chance.uniform(0, 0.5))
            self.setting.nats.start()
        else:
            self.counts["kills of workers"] += 1
            worker = self.chance.choice(self.setting.workers)
            worker.kill()
            worker.start()

    def cut(self):
        number = self.chance.randrange(len(self.setting.workers))
        path = self.setting.paths[number]
        way = self.chance.choice(path.ways)
        is_long = self.chance.random() < LONG_CUT_SHARE
        seconds = self.chance.uniform(*(LONG_CUT_SECONDS if is_long else CUT_SECONDS))
        self.counts[f"cuts ({way})"] += 1
        self.counts["cuts longer than a lease"] += is_long

        def cut_off():
            with self.busy[number]:
                path.cut(way)
                time.sleep(seconds)
                path.restore()

        self.cuts.append(threading.Thread(target=cut_off))
        self.cuts[-1].start()

    def end(self):
        for cut in self.cuts:
            cut.join()


def check(setting, uploads):
    """The state at the end; returns how many second dead letters there are."""
    wrong = []
    for key, etag in sorted(uploads.newest.items()):
        try:
            found = setting.s3.get_object(Bucket=DESTINATION, Key=f"thumb_{key}")
        except setting.s3.exceptions.NoSuchKey:
            wrong.append(f"{key} has no thumbnail")
            continue
        if found["Metadata"]["tintype-source-etag"] != etag:
            wrong.append(f"{key} has the thumbnail of an older version")
        sample_images.opened(found["Body"].read())
    deliveries = collections.defaultdict(list)
    for headers, body in setting.client.messages(STREAM, DEAD):
        key = json.loads(body)["Records"][0]["s3"]["object"]["key"]
        if headers["Reason"] != "malformed" or key not in uploads.corrupt:
            wrong.append(f"{key} became a dead letter: {headers}")
        deliveries[key].append(headers["RequestID"])
    for key in uploads.corrupt:
        if not deliveries[key]:
            wrong.append(f"{key} is corrupt and has no dead letter")
        if len(set(deliveries[key])) != len(deliveries[key]):
            wrong.append(f"{key} has two dead letters of one delivery: {deliveries[key]}")
    if wrong:
        raise Violation("; ".join(wrong[:10]) + f" ({len(wrong)} in all)")
    return sum(len(found) - 1 for found in deliveries.values())


def reports(setting):
    """Attempts that the workers reported, by outcome."""
    counts = collections.Counter()
    for worker in setting.workers:
        for line in worker.log_text().splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                counts[json.loads(line)["record"]["outcome"]] += 1
    return dict(counts)


def run(folder, size, seed, report=lambda text: None):
    """The whole run; returns a summary, or raises `Violation`."""
    chance = random.Random(seed)
    setting = Setting(folder, size.workers)
    try:
        uploads, faults = Uploads(setting, size.uploads, chance), Faults(setting, size, chance)
        # Faults are spread over the uploads, and each is somewhere within its share of them.
        share = size.uploads / (size.kills + size.cuts)
        due = sorted(int(share * (number + chance.random())) for number in range(len(faults.planned)))
        for number in range(size.uploads):
            uploads.upload(number)
            while due and due[0] <= number:
                due.pop(0)
                faults.one()
            if (number + 1) % 250 == 0:
                report(f"  {number + 1} uploads, {dict(faults.counts)}")
        faults.end()
        until(lambda: setting.client.backlog(STREAM, CONSUMER) == 0, "every event is settled", DRAIN_SECONDS)
        seconds = check(setting, uploads)
        for worker in setting.workers:
            if worker.stop() != 0:
                raise Violation(f"a worker did not end with 0: {worker.log_text()[-2000:]}")
        overwritten = sum(count > 1 for count in uploads.versions.values())
        counts = faults.counts
        return (
            f"{size.workers} workers{' in network namespaces' if setting.namespaces else ''}, {size.uploads} uploads, seed {seed}: "
            f"{counts['kills of workers']} SIGKILLs of workers, {counts['kills of the broker']} of the broker; "
            f"{size.cuts} network cuts ({', '.join(f'{name[6:-1]} {count}' for name, count in counts.items() if name.startswith('cuts ('))}; "
            f"{counts['cuts longer than a lease']} longer than a lease). {len(uploads.newest)} images, {overwritten} of them "
            f"overwritten: all have their newest thumbnail; {len(uploads.corrupt)} corrupt images: all have their dead letter, "
            f"{seconds} a second one. Reported attempts: {reports(setting)}"
        )
    finally:
        setting.close()


def main():
    size = Size()
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--uploads", type=int, default=size.uploads)
    arguments.add_argument("--kills", type=int, default=size.kills)
    arguments.add_argument("--cuts", type=int, default=size.cuts)
    arguments.add_argument("--workers", type=int, default=size.workers)
    arguments.add_argument("--seed", type=int, default=1)
    arguments = arguments.parse_args()
    size = Size(arguments.uploads, arguments.kills, arguments.cuts, arguments.workers)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        print(run(folder, size, arguments.seed, lambda text: print(text, flush=True)))
    print(f"in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
