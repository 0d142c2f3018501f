"""The Lambda binary under AWS's Runtime Interface Emulator: lifecycle, time-out, restart."""

import os
import platform
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import requests

import sample_images
from moto_server import Moto
from tintype import BOOTSTRAP, DESTINATION, ROOT, SOURCE, environment

MACHINE = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
# scripts/test extracts it from the package aws-sam-cli.
EMULATOR = ROOT / f"target/aws-lambda-rie/samcli/local/rapid/aws-lambda-rie-{MACHINE}"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Emulator:
    def __init__(self, folder, env, timeout_seconds):
        port, api = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        self.log = folder / "rie.log"
        command = [str(EMULATOR), "--log-level", "error"]
        command += ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
        command += ["--runtime-api-address", f"127.0.0.1:{api}", BOOTSTRAP]
        variables = {
            "AWS_LAMBDA_FUNCTION_NAME": "Thumbnails",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_seconds),
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment(**variables, **env), cwd=folder)
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
                time.sleep(0.02)

    def invoke(self, event):
        return requests.post(self.url, json=event, timeout=60)

    def function_pid(self):
        """The function's process, which the emulator starts at the first event."""
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                after_name = status.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(after_name[1]) == self.process.pid:
                return int(status.parent.name)
        return None

    def stop(self):
        child = self.function_pid()
        self.process.terminate()
        self.process.wait(30)
        if child and Path(f"/proc/{child}").exists():
            os.kill(child, signal.SIGKILL)


@pytest.fixture
def moto(tmp_path):
    server = Moto(tmp_path)
    for bucket in (SOURCE, DESTINATION):
        server.client("s3").create_bucket(Bucket=bucket)
    yield server
    server.stop()


def test_lifecycle_time_out_and_restart(moto, tmp_path):
    s3 = moto.client("s3")
    s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    emulator = Emulator(tmp_path, moto.environment(), timeout_seconds=3)
    try:
        (record,) = emulator.invoke({"key": "a.jpg"}).json()["records"]
        assert record["outcome"] == "made"
        first = emulator.function_pid()
        (again,) = emulator.invoke({"key": "a.jpg"}).json()["records"]
        assert again["outcome"] == "up_to_date" and emulator.function_pid() == first

        # A stopped process is killed at its time-out, and the next event gets a new one.
        os.kill(first, signal.SIGSTOP)
        late = emulator.invoke({"key": "a.jpg"})
        assert "timed out" in late.text.lower(), late.text
        (again,) = emulator.invoke({"key": "a.jpg"}).json()["records"]
        assert again["outcome"] == "up_to_date" and emulator.function_pid() != first
    finally:
        emulator.stop()


def test_unusable_settings_are_reported(moto, tmp_path):
    emulator = Emulator(tmp_path, moto.environment() | {"THUMBNAIL_SIZE": "big"}, timeout_seconds=3)
    try:
        answer = emulator.invoke({"key": "a.jpg"})
        assert "THUMBNAIL_SIZE" in answer.text and "not a box" in answer.text, answer.text
    finally:
        emulator.stop()
