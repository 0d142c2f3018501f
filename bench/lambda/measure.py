#!/usr/bin/env python3
"""Measures Tintype's function and the Pillow function in turn, under the same Runtime API and the same moto_server, and
writes measured.json, which "tintype cost" turns into dollars.

    deploy/aws/deploy build
    target/venv/bin/python -m pip install awslambdaric==4.2.2
    target/venv/bin/python bench/lambda/measure.py [--rounds 25] [--out measured.json] [FILE…]

Images are generated from a seed, unless files are named. Every image is uploaded again for each round, so that no thumbnail
is up to date. A time is the minimum of the rounds, since other load only adds to it. Memory is the process's peak. Store
time is that of S3 calls, compute time that from the image's bytes to the thumbnail's. Cold starts are over TLS, with a
dead-letter queue, as deployed functions have them, and against the S3 endpoint of "tintype serve": like S3 it
supports persistent connections, which moto_server does not.
"""

import argparse
import io
import json
import platform
import random
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "e2e"))

from PIL import Image, ImageFilter  # noqa: E402

from lambda_runtime import Function  # noqa: E402
from moto_server import Moto, certificate  # noqa: E402
from tintype import BOOTSTRAP, DESTINATION, SOURCE, Server  # noqa: E402

COLD_STARTS = 9


def sample_image(width, height):
    """Shapes at every scale, like a photograph: octaves of noise, each half as strong as the one before."""
    chance = random.Random(7)
    out = None
    side = 4
    strength = 1.0
    while side <= max(width, height):
        small = Image.new("RGB", (side, max(1, side * height // width)))
        small.putdata([tuple(chance.randrange(256) for _ in range(3)) for _ in range(small.width * small.height)])
        layer = small.resize((width, height), Image.Resampling.BICUBIC)
        out = layer if out is None else Image.blend(out, layer, strength / (1 + strength))
        side, strength = side * 4, strength / 2.2
        if side > 1024:
            break
    return out.filter(ImageFilter.GaussianBlur(0.7))


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def sample_images():
    small, medium, large = sample_image(1000, 750), sample_image(4000, 3000), sample_image(6000, 4000)
    return {
        "1000-pixel JPEG": ("a.jpg", encoded(small, "JPEG", quality=85)),
        "1000-pixel PNG": ("b.png", encoded(small, "PNG")),
        "12 MP JPEG": ("c.jpg", encoded(medium, "JPEG", quality=88)),
        "12 MP progressive JPEG": ("d.jpg", encoded(medium, "JPEG", quality=88, progressive=True)),
        "24 MP JPEG": ("e.jpg", encoded(large, "JPEG", quality=88)),
    }


def event(key, size):
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": SOURCE}, "object": {"key": key, "size": size}},
            }
        ]
    }


def ours(function):
    stages = function.log_lines("tintype.record")[-1]["stages"]
    return stages["decode"] + stages["resample"] + stages["encode"], stages["read"] + stages["write"]


def pillows(function):
    line = function.log_lines("pillow.record")[-1]
    return line["render"], line["read"] + line["write"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--out", type=Path, default=HERE / "measured.json")
    parser.add_argument("files", type=Path, nargs="*")
    chosen = parser.parse_args()
    rounds = chosen.rounds
    images = {file.name: (file.name, file.read_bytes()) for file in chosen.files} or sample_images()
    results = {"machine": f"{platform.machine()}, {cpu()}", "rounds": rounds, "pictures": [], "cold_start": {}}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        moto = Moto(folder)
        try:
            s3 = moto.buckets(SOURCE, DESTINATION)
            env = moto.environment() | {"SOURCE_BUCKET": SOURCE, "DESTINATION_BUCKET": DESTINATION}
            python = [sys.executable, "-m", "awslambdaric", "app.handler"]
            sides = {
                "tintype": (lambda: Function([BOOTSTRAP], env, folder, name="tintype"), ours),
                "pillow": (
                    lambda: Function(python, env | {"PYTHONPATH": str(HERE / "pillow")}, folder, name="pillow"),
                    pillows,
                ),
            }
            for name, (key, data) in images.items():
                results["pictures"].append({"name": name, "bytes": len(data)} | warm(s3, sides, key, data, rounds))
                print(json.dumps(results["pictures"][-1]))
        finally:
            moto.stop()
        # A cold start reads certificates and creates every client of a deployed function.
        server = over_tls(folder)
        try:
            s3 = server.client(verify=server.certificate)
            for bucket in (SOURCE, DESTINATION):
                s3.create_bucket(Bucket=bucket)
            key_id, secret = server.credentials
            env.update(
                AWS_ENDPOINT_URL=server.s3_url,
                AWS_ACCESS_KEY_ID=key_id,
                AWS_SECRET_ACCESS_KEY=secret,
                SSL_CERT_FILE=server.certificate,
                AWS_CA_BUNDLE=server.certificate,
                DEAD_LETTER_QUEUE_URL=f"{server.s3_url}/000000000000/dead-letters",
            )
            key, data = next(iter(images.values()))
            for side, (start, _) in sides.items():
                results["cold_start"][side] = cold(s3, start, key, data)
            print(json.dumps(results["cold_start"]))
        finally:
            server.stop()
    chosen.out.write_text(json.dumps(results, indent=2) + "\n")


def over_tls(folder):
    """An S3 endpoint whose own trigger has other buckets."""
    files = certificate(folder)
    server = Server(
        folder / "server",
        f'[listen]\ntls_certificate = "{files[0]}"\ntls_key = "{files[1]}"\n\n'
        '[[trigger]]\nbucket = "watched"\ndestination = "thumbnails"\n',
    )
    server.certificate = str(files[0])
    server.ready = server.ready.replace("http://", "https://")
    server.start()
    server.s3_url = server.s3_url.replace("127.0.0.1", "localhost")
    return server


def warm(s3, sides, key, data, rounds):
    """Each side in a new process for this image, so that the peak is this image's; rounds in turn."""
    times = {side: ([], []) for side in sides}
    found = {}
    functions = {side: start() for side, (start, _) in sides.items()}
    try:
        for turn in range(rounds + 2):
            for side, function in functions.items():
                s3.put_object(Bucket=SOURCE, Key=key, Body=data)
                s3.delete_object(Bucket=DESTINATION, Key=f"thumb_{key}")
                function.invoke(event(key, len(data))).ok
                compute, store = sides[side][1](function)
                # The first ones warm up.
                if turn >= 2:
                    times[side][0].append(compute)
                    times[side][1].append(store)
        for side, function in functions.items():
            found[side] = {
                "compute_ms": round(min(times[side][0]), 2),
                "store_ms": round(min(times[side][1]), 2),
                "peak_mb": round(function.memory_mb_peak(), 1),
            }
    finally:
        for function in functions.values():
            function.__exit__()
    return found


def cold(s3, start, key, data):
    init, first = [], []
    for _ in range(COLD_STARTS):
        s3.put_object(Bucket=SOURCE, Key=key, Body=data)
        s3.delete_object(Bucket=DESTINATION, Key=f"thumb_{key}")
        with start() as function:
            function.start()
            answer = function.invoke(event(key, len(data)))
            answer.ok
            init.append(function.init_seconds * 1e3)
            first.append((function.init_seconds + answer.seconds) * 1e3)
    return {"init_ms": round(min(init), 1), "first_thumbnail_ms": round(min(first), 1)}


def cpu():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


main()
