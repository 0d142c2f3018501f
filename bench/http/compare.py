"""The HTTP API beside its peers, on the same images and settings, in one run: POST of 1000-pixel JPEGs, each
rendered, beside fastify with sharp in two processes and thumbor in two; GET of a stored thumbnail beside a bare axum
handler that returns the same bytes from memory.

    cargo build --release -p tintype -p tintype-bench
    npm install --prefix target/http-peers fastify sharp
    python3 -m venv target/http-peers/thumbor && target/http-peers/thumbor/bin/pip install thumbor
    target/venv/bin/python bench/http/compare.py [--seconds 8] [--rounds 5]

Needs wrk, node, Pillow and requests. Contenders and wrk have a session each, by which Linux shares the CPU. Rounds are
interleaved, and the order changes from round to round; reported are the median rate, the server's CPU time a request, and
wrk's own load. Every contender's answer is checked first: a JPEG of 128 x 96 pixels. thumbor accepts no image in a request for a
thumbnail: it gets the same images by GET and reads them from a folder, without a storage, so it renders each time and
saves the upload.

The line "wrk's own ceiling" shows whether wrk is the bottleneck: the same requests, to a handler that reads the body and
returns a thumbnail from memory.
"""

import argparse
import io
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "e2e"))
from measure import IMAGES, sample_image, set_nice, wrk  # noqa: E402
from tintype import PROGRAM, environment  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
WORKERS = 2
LIMITS = '[api]\nrate = 1000000\nburst = 1000000\n\n[logs]\nlevel = "warn"\n'


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(group):
    """CPU time so far of all processes of a group."""
    total = 0
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        # Fields 5 (the group), 14 and 15 (user and system time) of proc(5), here from the third on.
        if int(fields[2]) == group:
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


class Peer:
    """A server in a session of its own, so that each has the same share of the CPU."""

    def __init__(self, command, port, log, nice, env=None):
        self.url = f"http://127.0.0.1:{port}"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [str(part) for part in command], stdout=out, stderr=out, env=environment(**(env or {})),
                start_new_session=True,
            )  # fmt: skip
        set_nice(self.process, nice)
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.end()
                raise SystemExit(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)

    def end(self):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        self.process.wait(30)


class Case:
    """One contender of one comparison, with its measurements."""

    def __init__(self, name, url, script, peer):
        self.name, self.url, self.script, self.group = name, url, script, peer.process.pid
        self.rounds = []

    def measure(self, arguments, connections, images):
        cpu, own, seconds = cpu_seconds(self.group), os.times(), arguments.seconds
        rate, median, p95 = wrk(self.url, self.script, seconds, connections, images, arguments.nice)
        after = os.times()
        client = after.children_user + after.children_system - own.children_user - own.children_system
        used = cpu_seconds(self.group) - cpu
        self.rounds.append((rate, median, p95, used / (rate * seconds) * 1e6, client / seconds * 100))

    @property
    def rate(self):
        return statistics.median(rate for rate, *_ in self.rounds)

    def summary(self):
        rate, median, p95, micros, client = (statistics.median(values) for values in zip(*self.rounds, strict=True))
        return (
            f"  {self.name:34} {rate:9,.0f} requests a second, median {median:6.2f} ms, p95 {p95:6.2f} ms, "
            f"{micros:7,.0f} us of CPU each, wrk {client:3.0f} % of a core"
        )


def check(answer, size=(128, 96)):
    assert answer.status_code == 200, (answer.status_code, answer.text[:300])
    image = Image.open(io.BytesIO(answer.content))
    assert (image.format, image.size) == ("JPEG", size), (image.format, image.size)
    return answer.content


def compare(title, cases, arguments, connections, images):
    print(title, flush=True)
    for case in cases:
        # Warm: processes started, code compiled, nothing else.
        wrk(case.url, case.script, 1, connections, images, arguments.nice)
    for number in range(arguments.rounds):
        for case in cases[number % len(cases) :] + cases[: number % len(cases)]:
            case.measure(arguments, connections, images)
    for case in cases:
        print(case.summary(), flush=True)


def main():
    peers = ROOT / "target/http-peers"
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=int, default=8)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--nice", type=int, default=0, help="of all contenders and of wrk, where the machine is busy")
    arguments.add_argument("--node-modules", type=Path, default=peers / "node_modules")
    arguments.add_argument("--thumbor", type=Path, default=peers / "thumbor/bin/thumbor")
    arguments.add_argument("--bench", type=Path, default=Path(PROGRAM).parent / "tintype-bench")
    arguments = arguments.parse_args()
    running = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        images = folder / "images"
        images.mkdir()
        for seed in range(IMAGES):
            (images / f"{seed:03}.jpg").write_bytes(sample_image(seed))
        sizes = sorted(file.stat().st_size for file in images.iterdir())
        print(f"{IMAGES} JPEGs of 1000 x 750 pixels, {sizes[0] >> 10} to {sizes[-1] >> 10} KiB")
        first = (images / "000.jpg").read_bytes()

        try:
            port = free_port()
            (folder / "tintype.toml").write_text(LIMITS)
            own = Peer(
                [PROGRAM, "serve", "--config", folder / "tintype.toml", "--data", folder / "data",
                 "--s3", "127.0.0.1:0", "--http", f"127.0.0.1:{port}"], port, folder / "tintype.log", arguments.nice,
            )  # fmt: skip
            running.append(own)
            api, jpeg = f"{own.url}/dev1/myimage", {"Content-Type": "image/jpeg"}
            check(requests.post(api, first, headers=jpeg, timeout=30))
            check(requests.post(api, first, params={"key": "a.jpg"}, headers=jpeg, timeout=30))
            stored = check(requests.get(api, params={"key": "a.jpg"}, timeout=30))
            (folder / "stored.jpg").write_bytes(stored)

            port = free_port()
            bare = Peer(
                [arguments.bench, "serve-bytes", folder / "stored.jpg", f"127.0.0.1:{port}"], port, folder / "bare.log",
                arguments.nice,
            )  # fmt: skip
            running.append(bare)
            assert check(requests.get(bare.url, timeout=30)) == stored
            assert check(requests.post(bare.url, first, timeout=30)) == stored

            port = free_port()
            node = Peer(
                ["node", HERE / "peers/fastify.cjs", port, WORKERS], port, folder / "node.log", arguments.nice,
                env={"NODE_PATH": str(arguments.node_modules)},
            )  # fmt: skip
            running.append(node)
            check(requests.post(node.url, first, headers=jpeg, timeout=30))

            port = free_port()
            (folder / "thumbor.conf").write_text(
                "LOADER = 'thumbor.loaders.file_loader'\n"
                f"FILE_LOADER_ROOT_PATH = {str(images)!r}\n"
                "STORAGE = 'thumbor.storages.no_storage'\nRESULT_STORAGE = None\nQUALITY = 80\n"
            )
            thumbor = Peer(
                [arguments.thumbor, "--ip", "127.0.0.1", "--port", port, "--processes", WORKERS,
                 "--conf", folder / "thumbor.conf", "--log-level", "error"], port, folder / "thumbor.log", arguments.nice,
            )  # fmt: skip
            running.append(thumbor)
            check(requests.get(f"{thumbor.url}/unsafe/fit-in/128x128/000.jpg", timeout=30))

            post = [
                Case("tintype", api, "post.lua", own),
                Case("fastify and sharp, 2 processes", f"{node.url}/", "post.lua", node),
                Case("thumbor, 2 processes", f"{thumbor.url}/unsafe/fit-in/128x128/", "paths.lua", thumbor),
                Case("wrk's own ceiling", f"{bare.url}/", "post.lua", bare),
            ]
            compare("POST of distinct 1000-pixel JPEGs, 8 connections:", post, arguments, 8, images)
            for peer in post[1:3]:
                print(f"  {post[0].rate / peer.rate:.2f} times {peer.name}")
            get = [
                Case("tintype", f"{api}?key=a.jpg", "get.lua", own),
                Case("bare axum handler", bare.url, "get.lua", bare),
            ]
            compare(f"GET of a stored thumbnail of {len(stored)} bytes, 32 connections:", get, arguments, 32, images)
            print(f"  {get[0].rate / get[1].rate:.2f} of the bare handler")
        finally:
            for peer in running:
                peer.end()


if __name__ == "__main__":
    main()
