"""The contenders: long-lived worker processes that respond to one JSON line with another."""

import json
import os
import select
import shutil
import subprocess
import sys

import environment

# `scaling` is ours alone. Set by compare.py.
SETTINGS = {"size": 256, "quality": 80, "scaling": "sharp"}
WORKERS = environment.HERE / "workers"
# One thread each; other settings of a peer are in its worker.
SINGLE_THREADED = {"VIPS_CONCURRENCY": "1", "UV_THREADPOOL_SIZE": "1", "OMP_NUM_THREADS": "1"}


class WorkerExited(Exception):
    """The worker ended without a response."""


class Worker:
    """A process that speaks the protocol; `pid` is the process that does the work."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | SINGLE_THREADED,
        )
        greeting = self._read()
        self.version = greeting["ready"]
        self.pid = greeting.get("pid", self.process.pid)
        # A worker that streams its input never holds it.
        self.holds_input = greeting.get("holds_input", True)

    def ask(self, **request):
        try:
            self.process.stdin.write(json.dumps(request, default=str) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerExited from error
        return self._read()

    def render(self, path, format, output=None):
        return self.ask(path=path, format=format, output=output, **SETTINGS)

    def _read(self):
        # No render takes minutes. A response is one line, so no second one is buffered.
        ready, _, _ = select.select([self.process.stdout], [], [], 120)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.process.kill()
            raise WorkerExited
        return json.loads(line)

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def commands(ours, builds, oximg, only):
    """Each contender's command by name, ours first; without `only` all that are installed; missing ones are reported."""
    python = sys.executable
    is_chosen = lambda *names: not only or set(names) & set(only)
    found = {"tintype": [ours, "worker"]}
    found |= {name: [path, "worker"] for name, path in builds}
    found["libvips"] = [python, WORKERS / "vips.py"]
    if is_chosen("sharp"):
        node = environment.node_packages()
        if node:
            found["sharp"] = ["node", WORKERS / "sharp.cjs", node]
        else:
            print("sharp is left out: there is no node with npm here", file=sys.stderr)
    found["image"] = [ours, "image"]
    found["Pillow"] = [python, WORKERS / "pillow.py"]
    if is_chosen("oximg", "oximg fast"):
        program = shutil.which(oximg or "oximg")
        if program:
            found |= {name: [python, WORKERS / "oximg.py", program, name] for name in ("oximg", "oximg fast")}
        else:
            print("oximg is left out: it is neither on the PATH nor named by --oximg", file=sys.stderr)
    unknown = set(only or ()) - set(found)
    if unknown:
        sys.exit(f"no contender {', '.join(sorted(unknown))}; there are {', '.join(found)}")
    return {name: command for name, command in found.items() if is_chosen(name)}


def versions(commands):
    found = {}
    for name, command in commands.items():
        with Worker(command) as worker:
            found[name] = worker.version
    return found
