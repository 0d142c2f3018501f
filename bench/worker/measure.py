"""`tintype worker` beside a NATS server and a store on this machine: its start, its memory when idle, and its throughput where
the store is some milliseconds away.

    cargo build --release && target/venv/bin/python bench/worker/measure.py [--rounds 5] [--delays 0,20]

Needs the packages of e2e/requirements.txt (`scripts/test e2e` installs them). The worker has the last core for itself as far as
this script decides; the store, the NATS server and the proxy in between have the others.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import requests

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "e2e"), str(ROOT / "bench/http")]
from measure import sample_image  # noqa: E402  (bench/http)
from nats_client import NatsClient  # noqa: E402
from tcp_proxy import TcpProxy  # noqa: E402
from tintype import SOURCE, Server  # noqa: E402
from waiting import until  # noqa: E402
from worker import Nats, Worker, s3_event  # noqa: E402

IMAGES = 64
STARTS = 15
# Before idle memory is read.
SETTLE_SECONDS = 1.0
# The share of a round's events before and after the measured part.
WARM_UP, WIND_DOWN = 0.15, 0.9


class Pinned:
    """Runs this process, and what it starts, on some cores."""

    def __init__(self, cores):
        self.cores = cores

    def __enter__(self):
        self.before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.cores)

    def __exit__(self, *_):
        os.sched_setaffinity(0, self.before)


def cpu_and_waiting(pid, prefix=""):
    """Seconds that the threads of a process ran, and that they were ready to and waited for a core."""
    ran = waited = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith(prefix):
            spent, queued, _ = map(int, (task / "schedstat").read_text().split())
            ran, waited = ran + spent, waited + queued
    return ran / 1e9, waited / 1e9


def memory_of(pid):
    """Resident, proportional and anonymous bytes of a process and its children."""
    found = [0, 0, 0]
    for one in [pid, *children_of(pid)]:
        fields = dict(line.split()[:2] for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()[1:])
        for index, name in enumerate(("Rss:", "Pss:", "Anonymous:")):
            found[index] += int(fields[name]) << 10
    return found


def children_of(pid):
    found = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return found + [grandchild for child in found for grandchild in children_of(child)]


def settings(stream, destination):
    return (f'[worker]\nstream = "{stream}"\nsubject = "{stream}.events"\ndead_letters = "{stream}.dead"\n'
            f'[logs]\nlevel = "warn"\n[[trigger]]\nbucket = "{SOURCE}"\ndestination = "{destination}"\n')


class Bench:
    def __init__(self, folder, cores):
        self.folder, self.cores = Path(folder), cores
        with Pinned(cores[:-1] or cores):
            self.nats = Nats(self.folder)
            # Its own function leaves the buckets alone.
            elsewhere = '[logs]\nlevel = "warn"\n[[trigger]]\nbucket = "elsewhere"\ndestination = "elsewhere-thumbnails"\n'
            self.store = Server(self.folder / "store", elsewhere).start()
        self.s3 = self.store.client()
        self.s3.create_bucket(Bucket=SOURCE)
        self.client = NatsClient(self.nats.port)
        self.count = 0

    def worker(self, endpoint):
        """A worker that has not been started, with a stream and a destination of its own."""
        self.count += 1
        stream, destination = f"bench-{self.count}", f"thumbnails-{self.count}"
        self.client.stream(stream, [f"{stream}.events", f"{stream}.dead"], storage="memory")
        self.s3.create_bucket(Bucket=destination)
        worker = Worker(self.folder / stream, self.nats.url, endpoint, self.store.credentials, settings(stream, destination))
        worker.stream = stream
        return worker

    def started(self, worker):
        """Seconds until it accepts requests, and until store and broker are found in order."""
        with Pinned(self.cores[-1:]):
            before = time.perf_counter()
            worker.start()
        accepts = time.perf_counter() - before
        with requests.Session() as session:
            while session.get(f"{worker.http_url}/readyz", timeout=30).status_code != 200:
                time.sleep(0.001)
        return accepts, time.perf_counter() - before

    def close(self):
        self.store.kill()
        self.nats.kill()


def starts(bench):
    accepts, ready, resident, proportional, anonymous = [], [], [], [], []
    for _ in range(STARTS):
        worker = bench.worker(bench.store.s3_url)
        times = bench.started(worker)
        time.sleep(SETTLE_SECONDS)
        memory = memory_of(worker.process.pid)
        assert worker.stop() == 0
        for found, one in zip((accepts, ready, resident, proportional, anonymous), (*times, *memory), strict=True):
            found.append(one)
    print(f"start, {STARTS} times: accepts requests after {statistics.median(accepts) * 1e3:.0f} ms, "
          f"ready after {statistics.median(ready) * 1e3:.0f} ms (most {max(ready) * 1e3:.0f})")
    print(f"idle, codec processes included: proportional {statistics.median(proportional) / 1e6:.1f} MB "
          f"(most {max(proportional) / 1e6:.1f}), resident {statistics.median(resident) / 1e6:.1f} MB, of which anonymous "
          f"{statistics.median(anonymous) / 1e6:.1f} MB", flush=True)


def upload_sources(bench, events):
    """Distinct images under as many keys as a round has events; returns their sizes."""
    images = [sample_image(seed) for seed in range(IMAGES)]
    for number in range(events):
        bench.s3.put_object(Bucket=SOURCE, Key=f"{number:05}.jpg", Body=images[number % IMAGES])
    return [len(images[number % IMAGES]) for number in range(events)]


def one_round(bench, sizes, endpoint):
    """Images a second, the share of the time that the render thread was busy, and CPU seconds an image."""
    worker = bench.worker(endpoint)
    for number, size in enumerate(sizes):
        event = s3_event(SOURCE, f"{number:05}.jpg", size=size, etag=f"{number:032x}")
        bench.client.publish(f"{worker.stream}.events", json.dumps(event).encode())
    bench.started(worker)
    pid = worker.process.pid
    with requests.Session() as session:
        def rendered():
            text = session.get(f"{worker.http_url}/metrics", timeout=60).text
            line = next(line for line in text.splitlines() if line.startswith("tintype_outcomes_total") and 'outcome="made"' in line)
            return float(line.rsplit(" ", 1)[1])

        def sample(share):
            count = until(lambda: (count := rendered()) >= share * len(sizes) and count, "thumbnails are rendered", 600)
            return time.perf_counter(), count, cpu_and_waiting(pid), cpu_and_waiting(pid, "render-")

        first, last = sample(WARM_UP), sample(WIND_DOWN)
        until(lambda: rendered() == len(sizes), "every thumbnail is rendered", 600)
    assert worker.stop() == 0, worker.log_text()
    seconds, count = last[0] - first[0], last[1] - first[1]
    cpu, waiting = (last[2][part] - first[2][part] for part in (0, 1))
    busy = sum(last[3][part] - first[3][part] for part in (0, 1)) / seconds
    return count / seconds, busy, cpu / count, waiting / seconds


def throughput(bench, delays, rounds, events):
    sizes = upload_sources(bench, events)
    port = int(bench.store.s3_url.rsplit(":", 1)[1])
    with Pinned(bench.cores[:-1] or bench.cores):
        # All through a proxy, so that the delay alone differs; half of it in each direction.
        proxies = {delay: TcpProxy(port, delay / 2) for delay in delays}
    found = {delay: [] for delay in delays}
    for number in range(rounds):
        for delay in delays if number % 2 == 0 else reversed(delays):
            found[delay].append(one_round(bench, sizes, f"http://127.0.0.1:{proxies[delay].port}"))
            rate, busy, cpu, _ = found[delay][-1]
            print(f"  round {number + 1}, store {delay:g} ms away: {rate:.0f} images/s, render thread busy {busy:.0%}, "
                  f"{cpu * 1e3:.1f} ms of CPU each", flush=True)
    for proxy in proxies.values():
        proxy.kill()
    base = delays[0]
    for delay in delays:
        rate, busy, cpu, _ = (statistics.median(column) for column in zip(*found[delay], strict=True))
        ratios = [there[0] / here[0] for there, here in zip(found[delay], found[base], strict=True)]
        print(f"store {delay:g} ms away: {rate:.0f} images/s, {statistics.median(ratios):.3f} of that {base:g} ms away "
              f"({min(ratios):.3f} to {max(ratios):.3f}); render thread busy {busy:.0%}; {cpu * 1e3:.2f} ms of CPU each")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--events", type=int, default=1500)
    arguments.add_argument("--delays", default="0,20", help="round trips in milliseconds; the first is what others are compared with")
    arguments.add_argument("--nice", type=int, default=0, help="of this session; less than 0 needs root, for a machine with other load")
    arguments.add_argument("--only", choices=["start", "throughput"])
    arguments = arguments.parse_args()
    if arguments.nice:
        # Linux shares the CPU by session, so this is what counts.
        if os.getpid() != os.getsid(0):
            os.setsid()
        Path("/proc/self/autogroup").write_text(str(arguments.nice))
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder, cores)
        try:
            if arguments.only != "throughput":
                starts(bench)
            if arguments.only != "start":
                throughput(bench, [float(delay) for delay in arguments.delays.split(",")], arguments.rounds, arguments.events)
        finally:
            for server in Server.shown:
                server.kill()
            bench.close()


if __name__ == "__main__":
    main()
