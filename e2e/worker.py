"""`tintype worker`, and the brokers and stores beside it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3
import requests
from botocore.config import Config

from tintype import PROGRAM, REGION, Server, environment
from waiting import until


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def program(name):
    """A program that a Python package installed beside this interpreter, or on the path."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


class Worker(Server):
    """A worker on an ephemeral HTTP port."""

    def __init__(self, folder, source, endpoint, credentials, settings="", env=None):
        keys = {"AWS_ACCESS_KEY_ID": credentials[0], "AWS_SECRET_ACCESS_KEY": credentials[1]}
        known = {"AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
        super().__init__(folder, settings, env=keys | known | (env or {}))
        self.source, self.endpoint = source, endpoint
        # Before the program, for example to run it in another network namespace.
        self.prefix = ()
        self.ready = r"ready: HTTP API ((http://[^/]+)/\S+)\n"

    def spawn(self):
        command = [*self.prefix, PROGRAM, "worker", "--config", str(self.config), "--source", self.source]
        command += ["--s3-endpoint", self.endpoint, "--http", self.http_listen, *self.more]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env=environment(**self.env), cwd=self.folder
            )
        return self.process

    def start(self):
        """Returns once the process accepts requests; `wait_until_ready` waits for store and broker."""
        self.spawn()
        found = re.fullmatch(self.ready, self._first_line())
        assert found, self.log_text()
        self.api_url, self.http_url = found.groups()
        return self

    def readyz(self):
        return requests.get(f"{self.http_url}/readyz", timeout=30)

    def wait_until_ready(self):
        until(lambda: self.readyz().status_code == 200, "the worker is ready")
        return self


class Nats:
    """A NATS server with JetStream, which keeps its data when it is killed and started again."""

    def __init__(self, folder, *more):
        self.folder, self.port, self.more = Path(folder) / "nats", free_port(), more
        self.folder.mkdir(parents=True, exist_ok=True)
        self.url = f"nats://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        with (self.folder / "nats.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program("nats-server"), "-js", "-sd", str(self.folder), "-a", "127.0.0.1", "-p", str(self.port), *self.more],
                stdout=log,
                stderr=log,
            )

        def accepts():
            assert self.process.poll() is None, (self.folder / "nats.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                return False
            return True

        until(accepts, "the NATS server accepts connections")

    def kill(self):
        self.process.kill()
        self.process.wait(30)


class Rclone:
    """`rclone serve s3` over a folder: a store that ignores conditions on writes."""

    credentials = ("rclone-access-key", "rclone-secret-key")

    def __init__(self, folder):
        self.folder = Path(folder) / "rclone"
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        with (self.folder.parent / "rclone.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program("rclone"), "serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--auth-key",
                 ",".join(self.credentials), "--vfs-cache-mode", "full", "--dir-cache-time", "1s", "--cache-dir", str(self.folder.parent / "cache"),
                 str(self.folder)],
                stdout=log,
                stderr=log,
                env=environment(RCLONE_CONFIG=os.devnull),
            )

        def accepts():
            try:
                return requests.get(self.url, timeout=5).status_code
            except requests.ConnectionError:
                return False

        until(accepts, "rclone accepts requests")

    def kill(self):
        self.process.kill()
        self.process.wait(30)


def client_of(url, credentials):
    return boto3.client("s3", endpoint_url=url, region_name=REGION, aws_access_key_id=credentials[0],
                        aws_secret_access_key=credentials[1],
                        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}))


def s3_event(bucket, key, name="ObjectCreated:Put", size=None, etag=None):
    """An event as S3 sends it."""
    from urllib.parse import quote_plus

    found = {"key": quote_plus(key, safe="/")}
    found |= {"size": size} if size is not None else {}
    found |= {"eTag": etag} if etag else {}
    record = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": name,
              "eventTime": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
              "s3": {"bucket": {"name": bucket}, "object": found}}
    return {"Records": [record]}
