"""The program under test, run as its users run it."""

import configparser
import os
import platform
import re
import selectors
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import requests
from botocore.config import Config

from waiting import until

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = str(Path(os.environ.get("TINTYPE_BIN", ROOT / "target/release/tintype")).resolve())
# The Lambda binary as deployed.
BOOTSTRAP = os.environ.get("TINTYPE_BOOTSTRAP") or str(
    ROOT / f"target/{platform.machine()}-unknown-linux-gnu/lambda/bootstrap"
)

SOURCE = "input-product-images"
DESTINATION = "output-product-thumbnail"
REGION = "us-east-1"

START_SECONDS = 60
STOP_SECONDS = 30

# Settings of the developer's environment must not reach the program or the clients.
FOREIGN = re.compile(r"^(TINTYPE_|THUMBNAIL_|AWS_|RCLONE_|SOURCE_BUCKET$|DESTINATION_BUCKET$|.*_proxy$)", re.IGNORECASE)


def environment(**more):
    """The environment without settings and credentials, plus `more`."""
    inherited = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
    return inherited | more


def run(*arguments, stdin=b"", env=None, cwd=None, timeout=60):
    """Runs a command of the program to its end."""
    return subprocess.run(
        [PROGRAM, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env=environment(**(env or {})),
        cwd=cwd,
        timeout=timeout,
    )


class Server:
    """A server on ephemeral ports, with the data folder `<folder>/data`."""

    # Every server of the running test, for its failure report.
    shown = []

    def __init__(self, folder, settings="", env=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self.env = env or {}
        self.config = self.folder / "settings.toml"
        self.config.write_text(settings)
        self.log_before = 0
        # The HTTP API's address, further arguments, and the pattern of the ready line.
        self.http_listen, self.more = "127.0.0.1:0", []
        self.ready = r"ready: S3 endpoint (http://\S+), HTTP API ((http://[^/]+)/\S+)\n"
        # Called in the new process before the program, for example to set its resource limits.
        self.before_start = None
        self.process = None
        self.s3_url = self.http_url = self.api_url = None
        Server.shown.append(self)

    def spawn(self):
        """Starts the process without waiting until it is ready."""
        command = [PROGRAM, "serve", "--config", str(self.config), "--data", str(self.data)]
        command += ["--s3", "127.0.0.1:0", "--http", self.http_listen, *self.more]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(**self.env),
                cwd=self.folder,
                preexec_fn=self.before_start,
            )
        return self.process

    def start(self):
        self.spawn()
        line = self._first_line()
        found = re.fullmatch(self.ready, line)
        assert found, f"not a ready line: {line!r}"
        self.s3_url, self.api_url, self.http_url = found.groups()
        return self

    def _first_line(self):
        deadline = time.monotonic() + START_SECONDS
        out, line = self.process.stdout, b""
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0, deadline - time.monotonic())):
                    self.kill()
                    raise AssertionError(f"the server was not ready in {START_SECONDS} s:\n{self.log_text()}")
                chunk = os.read(out.fileno(), 4096)
                if not chunk:
                    code = self.process.wait(STOP_SECONDS)
                    raise AssertionError(f"the server ended with {code} instead of being ready:\n{self.log_text()}")
                line += chunk
        return line.decode()

    def terminate(self):
        """Sends SIGTERM without waiting."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """Sends SIGTERM and waits; returns the exit code."""
        self.terminate()
        return self.wait()

    def wait(self):
        code = self.process.wait(STOP_SECONDS)
        self.process.stdout.close()
        return code

    def kill(self):
        """Sends SIGKILL."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_SECONDS)
        if self.process:
            self.process.stdout.close()

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def credentials(self):
        """(access key id, secret access key)"""
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(self.data / "credentials")
        return parser["default"]["aws_access_key_id"], parser["default"]["aws_secret_access_key"]

    def client(self, access_key=None, secret=None, verify=None, **config):
        """A boto3 client without retries, which would hide faults."""
        known = self.credentials
        return boto3.client(
            "s3",
            endpoint_url=self.s3_url,
            region_name=REGION,
            aws_access_key_id=access_key or known[0],
            aws_secret_access_key=secret or known[1],
            verify=verify,
            config=Config(
                **{
                    "s3": {"addressing_style": "path"},
                    "signature_version": "s3v4",
                    "retries": {"total_max_attempts": 1},
                    "connect_timeout": 10,
                    "read_timeout": 60,
                    "max_pool_connections": 40,
                }
                | config
            ),
        )

    def tool_environment(self):
        """For command-line clients of S3."""
        return environment(
            AWS_SHARED_CREDENTIALS_FILE=str(self.data / "credentials"),
            AWS_CONFIG_FILE=str(self.folder / "no-aws-config"),
            AWS_DEFAULT_REGION=REGION,
            AWS_REGION=REGION,
            AWS_EC2_METADATA_DISABLED="true",
            AWS_MAX_ATTEMPTS="1",
            AWS_PAGER="",
            NO_PROXY="127.0.0.1",
            HOME=str(self.folder),
            RCLONE_CONFIG=str(self.folder / "no-rclone-config"),
        )

    def metrics(self):
        """Every sample of /metrics by its name with labels, and by its bare name if that is unique."""
        # Needed where there are API keys.
        root = self.credentials if (self.data / "credentials").exists() else None
        answer = requests.get(f"{self.http_url}/metrics", auth=root, timeout=30)
        answer.raise_for_status()
        samples = {}
        for line in answer.text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
                samples[name.replace('{function_name="Thumbnails"}', "")] = float(value)
        return samples

    def wait_until_idle(self):
        """Waits until the queue is empty and no call runs; then all metrics are final."""

        def idle():
            now = self.metrics()
            return now["tintype_queue_depth"] == 0 and now["ConcurrentExecutions"] == 0

        until(idle, "the queue is empty and no call runs")

    def unread_bytes(self):
        """Bytes that clients sent to the HTTP port and the program has not read yet. Not an atomic snapshot: call twice."""
        port = f":{urlsplit(self.http_url).port:04X}"
        unread = 0
        for connection in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, _, queues, *_ = connection.split()
            sending, receiving = (int(bytes_waiting, 16) for bytes_waiting in queues.split(":"))
            unread += sending * remote.endswith(port) + receiving * local.endswith(port)
        return unread

    def thumbnail(self, key, source_etag=None, client=None, bucket=DESTINATION):
        """Waits for the thumbnail under `key`, of the source version `source_etag` if given; returns it."""
        client = client or self.client()

        def look():
            try:
                found = client.get_object(Bucket=bucket, Key=key)
            except client.exceptions.NoSuchKey:
                return None
            found["Bytes"] = found["Body"].read()
            etag = found["Metadata"].get("tintype-source-etag")
            return found if source_etag is None or etag == source_etag.strip('"') else None

        return until(look, f"the thumbnail {key} of version {source_etag}")
