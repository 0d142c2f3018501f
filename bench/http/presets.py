"""GET of a preset by wrk, on the same images and settings in one run: not yet rendered (no cache holds anything) with scaling
"sharp" and "fast", beside fastify with sharp in two processes; and rendered before, from memory and from disk, beside a bare axum handler that returns the
same bytes from memory.

    cargo build --release -p tintype -p tintype-bench
    npm install --prefix target/http-peers fastify sharp
    target/venv/bin/python bench/http/presets.py [--seconds 8] [--rounds 5] [--without-sharp]

Needs wrk, Pillow and requests, and node for sharp. Contenders and wrk have a session each, by which Linux shares the CPU. Rounds
are interleaved, and the order changes from round to round; the median round is reported, with the CPU time a request, which a
busy machine changes less. Answers are checked first: JPEGs of 400 x 400 pixels.
"""

import argparse
import io
import os
import statistics
import tempfile
from pathlib import Path

import requests
from compare import ROOT, WORKERS, Case, Peer, free_port
from measure import HERE, IMAGES, sample_image
from PIL import Image
from tintype import PROGRAM, SOURCE, Server

SETTINGS = """
[api]
public = "presets"
rate = 1000000
burst = 1000000
%s

[[preset]]
name = "card"
size = "400x400"
fit = "cover"
format = "auto"
scaling = "%s"

[logs]
level = "warn"
"""
NOTHING_CACHED = "cache_bytes = 0\ndisk_cache_bytes = 0"
ON_DISK = "cache_bytes = 0"


def check(url):
    answer = requests.get(url, timeout=60)
    assert answer.status_code == 200, answer.text
    image = Image.open(io.BytesIO(answer.content))
    assert (image.format, image.size) == ("JPEG", (400, 400)), (url, image)
    return answer.content


class Tintype(Server):
    """A server with the images, in a session of its own."""

    def __init__(self, folder, more, images, scaling="sharp"):
        super().__init__(folder, settings=SETTINGS % (more, scaling))
        self.before_start = os.setsid
        self.start()
        s3 = self.client()
        for image in sorted(images.iterdir()):
            s3.put_object(Bucket=SOURCE, Key=image.name, Body=image.read_bytes())
        self.wait_until_idle()
        self.url = f"{self.api_url}/card/"
        for image in images.iterdir():
            check(self.url + image.name)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=int, default=8)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--nice", type=int, default=0, help="nice value of each session; less than 0 needs root")
    arguments.add_argument("--without-sharp", action="store_true")
    arguments = arguments.parse_args()
    bench = Path(PROGRAM).parent / "tintype-bench"
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        images = folder / "images"
        images.mkdir()
        for seed in range(IMAGES):
            (images / f"{seed:03}.jpg").write_bytes(sample_image(seed))
        started, peers = [], []
        try:
            for name, more in (("fresh", NOTHING_CACHED), ("disk", ON_DISK), ("memory", "")):
                started.append(Tintype(folder / name, more, images))
            fresh, disk, memory = started
            fast = Tintype(folder / "fast", NOTHING_CACHED, images, "fast")
            started.append(fast)
            rendered = folder / "rendered.jpg"
            rendered.write_bytes(check(memory.url + "000.jpg"))
            port = free_port()
            peers.append(Peer([bench, "serve-bytes", rendered, f"127.0.0.1:{port}"], port, folder / "bare.log", arguments.nice))
            cases = [
                Case("not yet rendered", fresh.url, "paths.lua", fresh),
                Case("not yet rendered, fast", fast.url, "paths.lua", fast),
                Case("rendered before, from disk", disk.url, "paths.lua", disk),
                Case("rendered before, from memory", memory.url, "paths.lua", memory),
                Case("bare axum handler", peers[0].url + "/", "get.lua", peers[0]),
            ]
            if not arguments.without_sharp:
                port = free_port()
                program = ["node", HERE / "peers/sharp_get.cjs", port, WORKERS, images]
                env = {"NODE_PATH": str(ROOT / "target/http-peers/node_modules")}
                peers.append(Peer(program, port, folder / "sharp.log", arguments.nice, env))
                url = f"{peers[-1].url}/card/"
                check(url + "000.jpg")
                cases.append(Case("sharp, each rendered", url, "paths.lua", peers[-1]))
            for number in range(arguments.rounds):
                for case in cases[number % len(cases) :] + cases[: number % len(cases)]:
                    renders = case.name.startswith("not yet") or case.name == "sharp, each rendered"
                    case.measure(arguments, 8 if renders else 32, images)
        finally:
            for server in started:
                server.kill()
            for peer in peers:
                peer.end()
    for case in cases:
        rate, median, p95, cpu, _ = (statistics.median(values) for values in zip(*case.rounds, strict=True))
        print(f"{case.name}: {rate:,.0f} requests a second, {cpu:,.0f} µs of CPU each, median {median:.2f} ms, p95 {p95:.2f} ms")
    for case, peer in [("not yet rendered", "sharp, each rendered"), ("not yet rendered, fast", "sharp, each rendered"),
                       ("rendered before, from disk", "bare axum handler"),
                       ("rendered before, from memory", "bare axum handler")]:  # fmt: skip
        pair = [one.rate for name in (case, peer) for one in cases if one.name == name]
        if len(pair) == 2:
            print(f"{case}: {pair[0] / pair[1]:.2f} of the rate of {peer}")


if __name__ == "__main__":
    main()
