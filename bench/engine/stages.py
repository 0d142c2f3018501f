"""Where our time goes: samples of our worker by the engine's module they fell into. Needs perf."""

import collections
import json
import os
import re
import shutil
import subprocess
import sys

import environment
import report
from contenders import SETTINGS

# Samples a second. A prime, so that it does not alias with periodic work.
RATE = 1997
MODULE = re.compile(r"tintype_engine::(\w+)")
# Modules that belong to their caller's stage; `render` itself is the last resort.
PASSAGES = {"pixels", "stop", "bytes", "render"}


def report_stages(files, repeats):
    if not shutil.which("perf"):
        sys.exit("--stages needs perf")
    worker = profiled_worker()
    for group, keys in report.groups(files).items():
        print(stages(worker, group, [files[key] for key in keys], repeats), end="\n\n")


def profiled_worker():
    """Our worker with frame pointers, so that samples in libraries are attributed to their callers."""
    target = environment.CACHE / "profiled"
    flags = {"RUSTFLAGS": "-C force-frame-pointers=yes", "CARGO_TARGET_DIR": str(target)}
    command = ["cargo", "build", "--release", "--quiet", "--locked", "-p", "tintype-engine-bench"]
    subprocess.run(command, cwd=environment.ROOT, check=True, env=os.environ | flags)
    return target / "release" / "tintype-engine-bench"


def stages(worker, group, paths, repeats):
    requests = [json.dumps({"path": str(path), "format": "jpeg"} | SETTINGS) for path in paths] * repeats
    samples = environment.CACHE / "perf.data"
    record = ["perf", "record", "--quiet", "-e", "cpu-clock:u", "-F", str(RATE), "-g", "-o", samples, "--", worker, "worker"]
    subprocess.run(record, input="\n".join(requests), text=True, check=True, stdout=subprocess.DEVNULL)
    script = ["perf", "script", "-i", samples, "-F", "ip,sym"]
    stacks = subprocess.run(script, capture_output=True, text=True, check=True).stdout.split("\n\n")
    counts = collections.Counter(stage(stack.splitlines()) for stack in stacks if stack.strip())
    total = sum(counts.values())
    rows = [[group, "ms an image", "share"]]
    for name, count in counts.most_common():
        rows.append([name, f"{count / RATE / len(requests) * 1000:.2f}", f"{count / total:.1%}"])
    return report.table(rows)


def stage(frames):
    """The engine's module nearest to the top of the stack."""
    last = "outside the engine"
    for frame in frames:
        for module in MODULE.findall(frame):
            if module not in PASSAGES:
                return module
            last = module
    return last
