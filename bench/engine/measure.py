"""The three measurements, each of one file by one contender; METHODOLOGY.md explains them."""

import os
import subprocess
import tempfile
from pathlib import Path

import reference
from contenders import SETTINGS, Worker, WorkerExited


def speed(commands, files, rounds, results, progress):
    """CPU time, interleaved: every contender in turn on a file, in an order that rotates, then the next file."""
    workers = {name: Worker(command) for name, command in commands.items()}
    names = list(commands)
    try:
        # The first round is not counted: it loads code and grows buffers.
        for number in range(rounds + 1):
            for index, (key, path) in enumerate(files.items()):
                first = (index + number) % len(names)
                for name in names[first:] + names[:first]:
                    result = results[key][name]
                    if "error" in result:
                        continue
                    try:
                        answer = workers[name].render(path, "jpeg")
                    except WorkerExited:
                        answer = {"error": "the worker ended"}
                        workers[name].close()
                        workers[name] = Worker(commands[name])
                    if answer.get("error"):
                        result["error"] = answer["error"]
                    elif number:
                        result.setdefault("cpu_us", []).append(round(answer["cpu_us"], 1))
                        result.setdefault("wall_us", []).append(round(answer["wall_us"], 1))
                        result |= {part: answer[part] for part in ("width", "height", "bytes")}
            progress(f"round {number} of {rounds}")
    finally:
        for worker in workers.values():
            worker.close()


def memory(commands, files, results, progress):
    """The memory that one thumbnail adds to the peak of a new process, without its input."""
    for key, path in files.items():
        for name, command in commands.items():
            result = results[key][name]
            if "error" in result:
                continue
            with Worker(command) as worker:
                # Resets the peak, so that it is the thumbnail's.
                Path(f"/proc/{worker.pid}/clear_refs").write_text("5")
                before = status(worker.pid, "VmRSS")
                try:
                    answer = worker.render(path, "jpeg")
                except WorkerExited:
                    answer = {"error": "the worker ended"}
                if answer.get("error"):
                    result["error"] = answer["error"]
                else:
                    added = status(worker.pid, "VmHWM") - before
                    held = path.stat().st_size / 1024 if worker.holds_input else 0
                    result["peak_kib"] = round(added - held)
        progress(f"memory, {key}")


def status(pid, field):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise KeyError(field)


def whole_process(program, files, progress):
    """The peak of `tintype make` from start to end, without its input, in KiB."""
    peaks = {}
    box = f"{SETTINGS['size']}x{SETTINGS['size']}"
    with tempfile.TemporaryDirectory() as folder:
        for key, path in files.items():
            command = [program, "make", path, "-o", folder, "--size", box, "--format", "jpeg", "--jobs", "1"]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _, code, usage = os.wait4(process.pid, 0)
            process.returncode = code
            if code == 0:
                peaks[key] = round(usage.ru_maxrss - path.stat().st_size / 1024)
            progress(f"tintype make, {key}")
    return peaks


def sharpness(commands, files, scorer, folder_of_references, results, progress, images=None):
    """SSIMULACRA2 of the pixels before they are encoded: a PNG at the same settings against the reference."""
    references = reference.References(folder_of_references)
    with tempfile.TemporaryDirectory() as scratch, Worker([scorer, "score"]) as score:
        folder = Path(images or scratch)
        for name, command in commands.items():
            with Worker(command) as worker:
                for key, path in files.items():
                    result = results[key][name]
                    if "error" in result:
                        continue
                    image = folder / f"{key.replace('/', ' ')} {name}.png"
                    image.parent.mkdir(parents=True, exist_ok=True)
                    answer = worker.render(path, "png", image)
                    if answer.get("error"):
                        result["error"] = answer["error"]
                        continue
                    try:
                        truth, converted = references.of(path, answer["width"], answer["height"])
                    except (OSError, ValueError) as error:
                        # Too corrupt for the reference's decoder, or of a kind it does not define.
                        result["unscored"] = str(error)
                        continue
                    reference.as_seen(image)
                    answer = score.ask(reference=truth, image=image)
                    if answer["error"]:
                        result["unscored"] = answer["error"]
                    else:
                        result["score"] = round(answer["score"], 2)
                        result["converted"] = converted
                    progress(f"sharpness, {name}, {key}")
