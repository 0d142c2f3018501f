#!/usr/bin/env python3
"""Our PNG writer beside libvips' default: bytes and CPU time on thumbnails of a corpus.

    png_writers.py --corpus DIR [--rounds N] [--no-build]

Each file's thumbnail of 256 pixels is rendered by our worker as PNG. Both then read that file and write it again at its
size, so both decode and encode the same pixels; ours also resamples them one to one. Interleaved; medians of CPU time.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import environment

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, metavar="DIR", required=True, help="images, in one folder a group")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="times each thumbnail is written (9)")
    parser.add_argument("--files", action="store_true", help="print every file")
    parser.add_argument("--no-build", action="store_true", help="measure the worker as it was last built")
    options = parser.parse_args()
    environment.enter_venv()
    import os

    os.environ["VIPS_CONCURRENCY"] = "1"
    import contenders
    import pyvips

    pyvips.cache_set_max(0)
    print(f"libvips {'.'.join(str(pyvips.version(part)) for part in range(3))}, pngsave with its defaults")
    print(f"{'group':18} {'files':>5} {'bytes':>9} {'libvips':>9} {'ratio':>6} {'ms':>7} {'libvips':>8} {'ratio':>6}  largest of ours to theirs")
    worker = environment.our_worker(not options.no_build)
    with contenders.Worker([worker, "worker"]) as ours, tempfile.TemporaryDirectory() as folder:
        groups = {}
        for path in sorted(options.corpus.glob("*/*")):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                thumbnail = Path(folder) / f"{path.parent.name}-{path.name}.png"
                if not ours.render(path, "png", thumbnail).get("error"):
                    groups.setdefault(path.parent.name, []).append(thumbnail)
        for group, thumbnails in groups.items():
            files = [measured(ours, pyvips, path, options.rounds) for path in thumbnails]
            if options.files:
                for path, file in zip(thumbnails, files):
                    print(line(path.name.removeprefix(f"{group}-")[:18], [file]))
            print(line(group, files), flush=True)


def measured(ours, pyvips, path, rounds):
    """Bytes and median CPU milliseconds: ours, theirs."""
    data = path.read_bytes()
    times, sizes = ([], []), [0, 0]
    for _ in range(rounds + 1):
        answer = ours.render(path, "png")
        sizes[0] = answer["bytes"]
        times[0].append(answer["cpu_us"] / 1000)
        start = time.process_time()
        saved = pyvips.Image.new_from_buffer(data, "").pngsave_buffer(keep="none")
        times[1].append((time.process_time() - start) * 1000)
        sizes[1] = len(saved)
    # The first round warms up.
    return *sizes, *(statistics.median(times[1:]) for times in times)


def line(group, files):
    bytes_ours, bytes_theirs, time_ours, time_theirs = map(sum, zip(*files))
    worst = max(ours / theirs for ours, theirs, *_ in files)
    return (
        f"{group:18} {len(files):5} {bytes_ours:9} {bytes_theirs:9} {bytes_ours / bytes_theirs:6.3f}"
        f" {time_ours:7.1f} {time_theirs:8.1f} {time_ours / time_theirs:6.3f}  {worst:.3f}"
    )


if __name__ == "__main__":
    main()
