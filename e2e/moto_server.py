"""moto_server: S3, SQS, IAM and CloudFormation on this machine, in a process of its own."""

import os
import socket
import subprocess
import sys
import time

import boto3
import requests
from botocore.config import Config

from tintype import FOREIGN, REGION

START_SECONDS = 60


class Moto:
    """A server on a free port."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "moto.log"
        kept = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
                stdout=log,
                stderr=log,
                env=kept | {"MOTO_S3_CUSTOM_ENDPOINTS": ""},
            )
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                requests.get(f"{self.url}/moto-api/", timeout=5)
                return
            except requests.ConnectionError:
                assert self.process.poll() is None and time.monotonic() < end, self.log.read_text(errors="replace")
                time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)

    def client(self, service, access_key="test", secret="test", token=None):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def environment(self):
        """What a function needs to speak to it."""
        return {"AWS_ENDPOINT_URL": self.url}
