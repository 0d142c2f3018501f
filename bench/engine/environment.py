"""Gets what the comparison needs under target/: a Python environment, node packages, our worker."""

import filecmp
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
KEPT = TARGET / "engine-bench"
VENV = KEPT / "venv"
NODE = KEPT / "node"


def enter_venv():
    """Goes on in the environment of requirements.txt, made first where it is missing or old."""
    python = VENV / "bin" / "python"
    if not same(HERE / "requirements.txt", VENV / "installed.txt"):
        print("installing the Python packages …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]
        subprocess.run([*install, HERE / "requirements.txt"], check=True)
        shutil.copy(HERE / "requirements.txt", VENV / "installed.txt")
    if Path(sys.prefix) != VENV:
        os.execv(python, [python, *sys.argv])


def node_packages():
    """The folder with sharp in it, or None where there is no npm."""
    if not (shutil.which("npm") and shutil.which("node")):
        return None
    if not same(HERE / "package.json", NODE / "installed.json"):
        print("installing the node packages …", file=sys.stderr)
        NODE.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "package.json", NODE)
        quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(["npm", "install", *quiet], cwd=NODE, check=True, stdout=subprocess.DEVNULL)
        shutil.copy(HERE / "package.json", NODE / "installed.json")
    return NODE


def our_worker(build):
    if build:
        command = ["cargo", "build", "--release", "--quiet", "--locked", "-p", "tintype-engine-bench"]
        subprocess.run(command, cwd=ROOT, check=True)
    worker = TARGET / "release" / "tintype-engine-bench"
    if not worker.exists():
        sys.exit(f"{worker} is missing: run this without --no-build once")
    return worker


def same(wanted, installed):
    return installed.exists() and filecmp.cmp(wanted, installed, shallow=False)
