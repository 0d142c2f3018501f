"""Small files that would take long: CPU time until they are refused, by every way in; and a good upload behind many.

    cargo build --release && target/venv/bin/python bench/http/hostile.py [--queued 200]

The four files are made here: a progressive JPEG of 882 scans, a PNG of 1 x 300,000,000 pixels, an interlaced PNG of 17,320
pixels square in 16 bits, a TIFF of 262,144 tiles. Then one folder fills the queue with them, and a good image is put into
another, and one beside them. Needs boto3, requests and Pillow.
"""

import argparse
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "e2e"))
from measure import sample_image  # noqa: E402
from tintype import DESTINATION, PROGRAM, SOURCE, Server, environment  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")


def png(width, height, bits, colour, interlaced, row_bytes):
    """A PNG of black pixels; `row_bytes` yields the length of each row without its filter byte."""
    deflate = zlib.compressobj(9)
    data = bytearray()
    zeros = bytes(1 << 20)
    left = sum(length + 1 for length in row_bytes)
    while left:
        data += deflate.compress(zeros[: min(left, len(zeros))])
        left -= min(left, len(zeros))
    data += deflate.flush()

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", bytes(data)) + chunk(b"IEND", b"")


def interlaced_rows(side, pixel_bytes):
    """The rows of Adam7's passes."""
    for x, y, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        for _ in range(y, side, dy):
            yield len(range(x, side, dx)) * pixel_bytes


def jpeg_of_scans(side, scans):
    """A gray progressive JPEG whose scans hold no coefficient: end-of-band runs over 32,767 blocks each."""

    def segment(marker, body):
        return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body

    def packed(values):
        bits = "".join(format(value, f"0{width}b") for value, width in values)
        bits += "1" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")

    def codes(kind, symbol):
        return segment(0xC4, bytes([kind, 1] + [0] * 15 + [symbol]))

    def scan(coefficient, approximation):
        return segment(0xDA, bytes([1, 1, 0, coefficient, coefficient, approximation]))

    blocks = (-(-side // 8)) ** 2
    frame = struct.pack(">BHHBBBB", 8, side, side, 1, 1, 0x11, 0)
    out = b"\xff\xd8" + segment(0xDB, bytes([0] + [1] * 64)) + segment(0xC2, frame) + codes(0, 0) + codes(0x10, 0xE0)
    out += scan(0, 0) + bytes(-(-blocks // 8))
    run = packed([(0, 1), ((1 << 14) - 1, 14)] * -(-blocks // 32767))
    for index in range(scans - 1):
        coefficient, bit = 1 + index // 14, 13 - index % 14
        out += scan(coefficient, (0 if bit == 13 else bit + 1) << 4 | bit) + run
    return out + b"\xff\xd9"


def tiff_of_tiles(side):
    """A gray TIFF of 16 x 16 tiles, all of them the same bytes."""
    count = (side // 16) ** 2
    offsets = 8 + 256
    lengths = offsets + 4 * count
    tags = [(256, 1, side), (257, 1, side), (258, 1, 8), (259, 1, 1), (262, 1, 1), (277, 1, 1), (322, 1, 16), (323, 1, 16)]
    tags += [(324, count, offsets), (325, count, lengths)]
    out = b"II*\0" + struct.pack("<I", lengths + 4 * count) + bytes([90] * 256)
    out += struct.pack("<I", 8) * count + struct.pack("<I", 256) * count
    out += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, number, value) for tag, number, value in tags)
    return out + bytes(4)


def cpu_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def made(path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run([PROGRAM, "make", str(path), "--output", str(path.parent / "thumbnails")], capture_output=True, env=environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, run.returncode


def thumbnail_after(s3, server, key, body):
    """Seconds from the put of an image to its thumbnail."""
    began = time.monotonic()
    s3.put_object(Bucket=SOURCE, Key=key, Body=body)
    while time.monotonic() - began < 120:
        if s3.list_objects_v2(Bucket=DESTINATION, Prefix=f"thumb_{key}").get("KeyCount"):
            return time.monotonic() - began
        time.sleep(0.01)
    raise TimeoutError(f"{key} has no thumbnail\n{server.log_text()[-2000:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queued", type=int, default=200, help="how many expensive files wait before the good one")
    options = parser.parse_args()
    files = {
        "scans.jpg": jpeg_of_scans(16_000, 882),
        "column.png": png(1, 300_000_000, 8, 0, False, (1 for _ in range(300_000_000))),
        "interlaced.png": png(17_320, 17_320, 16, 0, True, interlaced_rows(17_320, 2)),
        "tiles.tif": tiff_of_tiles(8192),
    }
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "server", "[function]\nconcurrency = 2\n")
        server.start()
        s3 = server.client()
        print("| file | KB | make, CPU s | POST, CPU s | POST | event, CPU s |\n|---|---|---|---|---|---|")
        for name, body in files.items():
            path = Path(folder) / name
            path.write_bytes(body)
            seconds, code = made(path)
            before = cpu_of(server.process.pid)
            answer = requests.post(server.api_url, data=body, headers={"Content-Type": "image/jpeg"}, timeout=120)
            posted = cpu_of(server.process.pid) - before
            before = cpu_of(server.process.pid)
            s3.put_object(Bucket=SOURCE, Key=name, Body=body)
            time.sleep(3)
            event = cpu_of(server.process.pid) - before
            print(f"| {name} | {len(body) // 1000} | {seconds:.2f} (exit {code}) | {posted:.2f} | {answer.status_code} | {event:.2f} |")
        bodies = list(files.items())
        for index in range(options.queued):
            name, body = bodies[index % len(bodies)]
            s3.put_object(Bucket=SOURCE, Key=f"hostile/{index:03}-{name}", Body=body)
        other = thumbnail_after(s3, server, "shop/good.jpg", sample_image(1))
        same = thumbnail_after(s3, server, "hostile/good.jpg", sample_image(2))
        print(f"\nbehind {options.queued} of them: {other:.2f} s for another folder's image, {same:.2f} s for one of the same folder")
        server.stop()


if __name__ == "__main__":
    main()
