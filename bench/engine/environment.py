"""Installs the comparison's dependencies under target/: a Python environment, node packages, our worker."""

import filecmp
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
CACHE = TARGET / "engine-bench"
VENV = CACHE / "venv"
NODE = CACHE / "node"


def enter_venv():
    """Continues in the environment of requirements.txt, which is created where it is missing or outdated."""
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
    """The folder with sharp, or None without npm."""
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


def same(required, installed):
    return installed.exists() and filecmp.cmp(required, installed, shallow=False)
