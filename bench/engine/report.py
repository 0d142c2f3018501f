"""Markdown tables, and the raw run as JSON."""

import datetime
import json
import math
import platform
import re
from pathlib import Path
from statistics import fmean, median


def geometric(values):
    return math.exp(fmean(map(math.log, values)))


def groups(files):
    found = {}
    for key in files:
        found.setdefault(key.split("/")[0], []).append(key)
    return found


def table(rows):
    """Markdown; the first column to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ) + " |"
        for row in rows
    ]
    rule = "|" + "|".join(("-" * (width + 1)) + (":" if column else "-") for column, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def milliseconds(result):
    return median(result["cpu_us"]) / 1000 if result.get("cpu_us") else None


def per_file(names, files, results):
    """CPU time and sharpness of every file, one column a contender."""
    timed = any("cpu_us" in results[key][name] for key in files for name in names)
    scored = any("score" in results[key][name] for key in files for name in names)
    heads = [f"{name}, ms" for name in names if timed] + [f"{name}, score" for name in names if scored]
    rows = [["file", *heads]]
    for key in files:
        row = [key]
        if timed:
            row += [f"{ms:.2f}" if (ms := milliseconds(results[key][name])) else "-" for name in names]
        if scored:
            row += [f"{results[key][name]['score']:.2f}" if "score" in results[key][name] else "-" for name in names]
        rows.append(row)
    return table(rows)


def summary(group, keys, names, peers, results):
    """One table a group. `results[key][name]` holds the measurements of one file by one contender."""
    ours = names[0]
    # Sums are over the files that every contender could render.
    common = [key for key in keys if all(milliseconds(results[key][name]) for name in names)]
    srgb = [key for key in keys if not any(results[key][name].get("converted") for name in names)]
    rows = [[
        group, "CPU ms, sum", "geo. mean", f"{ours} / it, sum", "by file", "bytes", "peak MB, median", "most",
        "SSIMULACRA2, mean", "least",
    ]]
    against = {}
    for name in names:
        row = [name]
        if common:
            times = [milliseconds(results[key][name]) for key in common]
            mine = [milliseconds(results[key][ours]) for key in common]
            by_sum = sum(mine) / sum(times)
            by_file = geometric([m / t for m, t in zip(mine, times)])
            against[name] = by_sum, by_file
            sizes = fmean(results[key][name]["bytes"] for key in common)
            row += [f"{sum(times):.1f}", f"{geometric(times):.2f}", f"{by_sum:.3f}", f"{by_file:.3f}", f"{sizes:.0f}"]
        else:
            row += ["-"] * 5
        peaks = [results[key][name]["peak_kib"] / 1024 for key in keys if "peak_kib" in results[key][name]]
        row += [f"{median(peaks):.1f}", f"{max(peaks):.1f}"] if peaks else ["-", "-"]
        scores = [results[key][name]["score"] for key in srgb if "score" in results[key][name]]
        row += [f"{fmean(scores):.2f}", f"{min(scores):.2f}"] if scores else ["-", "-"]
        rows.append(row)
    # Empty columns are omitted.
    full = [column for column in range(len(rows[0])) if any(row[column] != "-" for row in rows[1:])]
    lines = [table([[row[column] for column in full] for row in rows])]

    peers = [name for name in peers if name in against]
    if peers:
        by_sum = max(peers, key=lambda name: against[name][0])
        by_file = max(peers, key=lambda name: against[name][1])
        lines.append(
            f"{ours} takes {against[by_sum][0]:.3f} of the time of the best by sum ({by_sum}), "
            f"{against[by_file][1]:.3f} of the best by file ({by_file}); {len(common)} of {len(keys)} files."
        )
    apart = [key for key in keys if key not in srgb]
    for key in apart:
        scores = ", ".join(f"{name} {results[key][name].get('score', '-')}" for name in names)
        lines.append(f"Not sRGB, so scored apart: {key}: {scores}.")
    for key in keys:
        for name in names:
            for word in ("error", "unscored"):
                if word in results[key][name]:
                    lines.append(f"{'Failed' if word == 'error' else 'Not scored'}: {name}, {key}: {results[key][name][word]}.")
    return "\n".join(lines)


def processor():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def raw(versions, rounds, settings, files, results, whole):
    """Everything measured, without the machine's name or any path."""
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "settings": settings | {"rounds": rounds},
        "versions": versions,
        "files": {
            key: {"input_bytes": path.stat().st_size, "contenders": results[key]}
            | ({"tintype_make_peak_kib": whole[key]} if key in whole else {})
            for key, path in files.items()
        },
    }


def save(path, what):
    if path.suffix != ".json":
        path.mkdir(parents=True, exist_ok=True)
        words = re.findall(r"[a-z0-9]+", what["processor"].lower())
        path /= f"{what['date']}-{'-'.join(words)}.json"
    path.write_text(json.dumps(what, indent=1) + "\n")
