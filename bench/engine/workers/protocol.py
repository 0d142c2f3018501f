"""JSON lines on standard input and output, the same for every worker written in Python."""

import json
import sys
import time
from pathlib import Path


def serve(render, **greeting):
    """`render(bytes, request)` returns the thumbnail's bytes and size; the clock runs around it alone."""

    def measured(request):
        data = Path(request["path"]).read_bytes()
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        thumbnail, width, height = render(data, request)
        cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
        return thumbnail, width, height, cpu, wall

    serve_measured(measured, **greeting)


def serve_measured(render, **greeting):
    """As `serve`, for a `render(request)` that measures itself."""
    write(greeting)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            thumbnail, width, height, cpu, wall = render(request)
        except Exception as error:
            write({"error": f"{type(error).__name__}: {error}"})
            continue
        if request.get("output"):
            Path(request["output"]).write_bytes(thumbnail)
        numbers = {"cpu_us": cpu / 1000, "wall_us": wall / 1000}
        write(numbers | {"width": width, "height": height, "bytes": len(thumbnail), "error": None})


def write(value):
    print(json.dumps(value), flush=True)
