"""Requests a second of the HTTP API, by wrk on the same machine: POST of distinct images, each rendered; GET of a
stored thumbnail, with and without the cache.

    cargo build --release && target/venv/bin/python bench/http/measure.py [--seconds 10] [--rounds 3]

Rounds are interleaved; the median round is reported. Responses are checked first. Needs wrk, Pillow and requests.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import requests
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "e2e"))
from tintype import Server  # noqa: E402

IMAGES = 64


def sample_image(seed):
    """A 1000-pixel JPEG of about 150 KB, different for each seed."""
    noise = Image.effect_noise((1000, 750), 20 + seed % 7)
    ramp = Image.linear_gradient("L").rotate(seed * 5).resize((1000, 750))
    image = Image.merge("RGB", (ramp, Image.blend(ramp, noise, 0.3), noise))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


def set_nice(process, nice):
    """Linux shares the CPU by session, so this sets the nice value of the process's session. Less than 0 needs root."""
    if nice:
        Path(f"/proc/{process.pid}/autogroup").write_text(str(nice))


def wrk(url, script, seconds, connections, images, nice=0):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / script), url]
    environment = os.environ | {"IMAGES": str(images)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    set_nice(process, nice)
    out, _ = process.communicate()
    assert process.returncode == 0, out
    line = next(line for line in out.splitlines() if line.startswith("RESULT "))
    count, micros, errors, median, p95 = map(float, line.split()[1:])
    assert errors == 0, out
    return count / micros * 1e6, median, p95


def check(answer):
    assert answer.status_code == 200, answer.text
    assert Image.open(io.BytesIO(answer.content)).size == (128, 96)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=int, default=10)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        images = folder / "images"
        images.mkdir()
        for seed in range(IMAGES):
            (images / f"{seed:03}.jpg").write_bytes(sample_image(seed))
        # No log line for each request: log writes are not measured.
        limits = '[api]\nrate = 1000000\nburst = 1000000\n'
        quiet = '\n[logs]\nlevel = "warn"\n'
        cached = Server(folder / "cached", settings=limits + quiet).start()
        plain = Server(folder / "plain", settings=limits + "cache_ttl_s = 0\n" + quiet).start()
        try:
            for server in (cached, plain):
                first = (images / "000.jpg").read_bytes()
                check(requests.post(server.api_url, first, params={"key": "a.jpg"}, headers={"Content-Type": "image/jpeg"}))
                check(requests.get(server.api_url, params={"key": "a.jpg"}))
            cases = {
                "POST of 1000-pixel JPEGs, 8 connections": (cached.api_url, "post.lua", 8),
                "GET of a stored thumbnail, cached, 32 connections": (f"{cached.api_url}?key=a.jpg", "get.lua", 32),
                "GET of a stored thumbnail, cache off, 32 connections": (f"{plain.api_url}?key=a.jpg", "get.lua", 32),
            }
            results = {name: [] for name in cases}
            for _ in range(arguments.rounds):
                for name, (url, script, connections) in cases.items():
                    results[name].append(wrk(url, script, arguments.seconds, connections, images))
        finally:
            cached.kill()
            plain.kill()
    for name, rounds in results.items():
        rate, median, p95 = (statistics.median(values) for values in zip(*rounds, strict=True))
        print(f"{name}: {rate:,.0f} requests a second, median {median:.2f} ms, p95 {p95:.2f} ms")


if __name__ == "__main__":
    main()
