#!/usr/bin/env python3
"""The engine beside its peers: CPU time, output bytes, peak memory and sharpness, from the same settings.

    compare.py --corpus DIR                       everything; each folder in DIR is a group
    compare.py                                    on generated images
    compare.py --only tintype --sharpness         our scores alone, in seconds once references are cached
    compare.py --speed --build before=PATH        two builds of our worker beside the peers
    compare.py --corpus DIR --stages              where our time goes, by perf

How it measures and why: ../METHODOLOGY.md. Needs Python 3.11, cargo, and npm for sharp.
"""

import argparse
import sys
from pathlib import Path

import environment

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="images, in one folder a group")
    parser.add_argument("--groups", type=words, metavar="A,B", help="these groups only")
    parser.add_argument("--match", metavar="TEXT", help="only files whose group/name contains this")
    parser.add_argument("--only", type=words, metavar="A,B", help="these contenders only")
    parser.add_argument("--speed", action="store_true", help="measure CPU time")
    parser.add_argument("--memory", action="store_true", help="measure peak memory")
    parser.add_argument("--sharpness", action="store_true", help="score against references (without these three: all)")
    parser.add_argument("--stages", action="store_true", help="only print our time by the engine's modules")
    parser.add_argument("--size", type=int, default=256, metavar="N", help="thumbnails fit into NxN (256)")
    parser.add_argument("--fast", action="store_true", help="our scaling is `fast` instead of `sharp`")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="times each file is rendered (5)")
    parser.add_argument("--files", action="store_true", help="print every file, not only groups")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the raw run; in a folder such as runs/, under its date")
    parser.add_argument("--images", type=Path, metavar="DIR", help="store the scored PNG files")
    parser.add_argument("--build", action="append", type=named, default=[], metavar="NAME=PATH",
                        help="another build of our worker as a contender; may be repeated")
    parser.add_argument("--oximg", metavar="PATH", help="the oximg program, where it is not on the PATH")
    parser.add_argument("--no-build", action="store_true", help="measure the worker as it was last built")
    return parser.parse_args()


def words(text):
    return text.split(",")


def named(text):
    name, equals, path = text.partition("=")
    if not (name and equals and Path(path).exists()):
        raise argparse.ArgumentTypeError(f"\"{text}\" is not NAME=PATH of a worker that exists")
    return name, Path(path).resolve()


def find(corpus, groups, match):
    """Files by group/name."""
    chosen = {}
    for path in sorted(corpus.glob("*/*")):
        key = f"{path.parent.name}/{path.name}"
        if path.suffix.lower() not in IMAGE_SUFFIXES or (groups and path.parent.name not in groups):
            continue
        if not match or match in key:
            chosen[key] = path.resolve()
    return chosen


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main():
    options = arguments()
    environment.enter_venv()
    # Only inside the virtual environment, which has their packages.
    import contenders
    import measure
    import report
    import sample_images
    import stages

    contenders.SETTINGS |= {"size": options.size, "scaling": "fast" if options.fast else "sharp"}
    corpus = options.corpus or sample_images.draw(environment.CACHE / "drawn")
    files = find(corpus, options.groups, options.match)
    if not files:
        sys.exit(f"no images of these groups in {corpus}: it should hold folders of {', '.join(sorted(IMAGE_SUFFIXES))} files")
    if options.stages:
        return stages.report_stages(files, options.rounds)
    ours = environment.our_worker(build=not options.no_build)
    commands = contenders.commands(ours, options.build, options.oximg, options.only)
    names = list(commands)
    peers = [name for name in names[1:] if name not in dict(options.build)]
    results = {key: {name: {} for name in names} for key in files}
    everything = not (options.speed or options.memory or options.sharpness)

    versions, whole = contenders.versions(commands), {}
    if options.speed or everything:
        measure.speed(commands, files, options.rounds, results, progress)
    if options.memory or everything:
        measure.memory(commands, files, results, progress)
        program = environment.TARGET / "release" / "tintype"
        if program.exists() and "tintype" in commands:
            whole = measure.whole_process(program, files, progress)
    if options.sharpness or everything:
        references = environment.CACHE / "references"
        measure.sharpness(commands, files, ours, references, results, progress, options.images)
    progress("")

    if options.files:
        print(report.per_file(names, files, results), end="\n\n")
    for group, keys in report.groups(files).items():
        print(report.summary(group, keys, names, peers, results))
        if peaks := [whole[key] / 1024 for key in keys if key in whole]:
            print(f"The whole process of tintype make peaks at {max(peaks):.1f} MB, its input not counted.")
        print()
    print("; ".join(f"{name}: {version}" for name, version in versions.items()))
    if options.json:
        report.save(options.json, report.raw(versions, options.rounds, contenders.SETTINGS, files, results, whole))


if __name__ == "__main__":
    main()
