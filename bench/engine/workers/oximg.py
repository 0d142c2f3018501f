"""oximg: its server on loopback, one request a thumbnail. Arguments: the program, the profile's name."""

import hashlib
import http.client
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

from protocol import serve_measured

# The speed mode of its documentation (sRGB light, minimal decoding) with the fastest encoder here.
PROFILES = {
    "oximg": {},
    "oximg fast": {"OXIMG_RESIZE": "srgb", "OXIMG_DCT_MARGIN": "1.0", "PRESET": "fast"},
}
# One thread an image, as in every other worker.
SINGLE_THREADED = {"OXIMG_WORKERS": "1", "OXIMG_PAR": "1", "OXIMG_OVERLAP": "0", "OXIMG_WEBP_DECODE_THREADS": "0"}


class Server:
    def __init__(self, program, profile, folder):
        self.folder = folder
        environment = SINGLE_THREADED | PROFILES[profile] | {
            "OXIMG_BIND": "127.0.0.1",
            "PORT": "0",
            "IMAGES_DIR": str(folder),
            "OXIMG_OPTIONS_PREFIX": "/image",
            # Accepts the largest images, as the others do.
            "OXIMG_MAX_SRC_PIXELS": "300000000",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OXIMG_")}
        self.process = subprocess.Popen(
            [program, "serve"], env=inherited | environment, stderr=subprocess.PIPE, text=True
        )
        for line in self.process.stderr:
            if found := re.search(r"listening on \S*:(\d+)", line):
                self.connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
                break
        else:
            raise SystemExit("oximg did not start")
        # Drains the pipe, which would block the server when full.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        # The clock of that process's CPU time, all its threads, as clock_getcpuclockid(3) makes it.
        self.clock = (~self.process.pid << 3) | 2
        # The cost of HTTP alone is subtracted.
        self.idle = median(self.measured("/health")[1] for _ in range(50))

    def measured(self, url):
        wall, cpu = time.perf_counter_ns(), time.clock_gettime_ns(self.clock)
        self.connection.request("GET", url)
        response = self.connection.getresponse()
        body = response.read()
        cpu, wall = time.clock_gettime_ns(self.clock) - cpu, time.perf_counter_ns() - wall
        if response.status != 200:
            raise RuntimeError(f"{response.status} {body[:200].decode(errors='replace').strip()}")
        return body, cpu, wall

    def render(self, request):
        source = Path(request["path"])
        # Its server reads files below one folder, without links.
        name = hashlib.sha256(bytes(source)).hexdigest()[:24] + source.suffix
        if not (self.folder / name).exists():
            shutil.copy(source, self.folder / name)
        side, quality, format = request["size"], request["quality"], request["format"]
        url = f"/image/width={side},height={side},quality={quality},format={format}/{name}"
        thumbnail, cpu, wall = self.measured(url)
        width, height = dimensions(thumbnail)
        return thumbnail, width, height, max(cpu - self.idle, 0), wall


def dimensions(data):
    if data.startswith(b"\x89PNG"):
        return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    at = 2
    while at + 9 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        # Any start of frame; the other markers from C0 to CF are tables.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        at += 2 + length
    raise ValueError("neither PNG nor JPEG")


def main():
    program, profile = sys.argv[1:]
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    settings = " ".join(f"{name}={value}" for name, value in PROFILES[profile].items())
    with tempfile.TemporaryDirectory() as folder:
        server = Server(program, profile, Path(folder))
        try:
            greeting = f"{version}, {settings or 'defaults'}"
            serve_measured(server.render, ready=greeting, pid=server.process.pid, holds_input=False)
        finally:
            server.process.terminate()
            server.process.wait()


main()
