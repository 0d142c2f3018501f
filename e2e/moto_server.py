"""moto_server: local S3, SQS, IAM and CloudFormation, in a separate process."""

import datetime
import os
import socket
import subprocess
import sys
import time

import boto3
import requests
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tintype import FOREIGN, REGION

START_SECONDS = 60


def certificate(folder):
    """Files with a self-signed certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(built.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


class Moto:
    """A server on a free port; over TLS with the certificate in the file `certificate` if one is given with its key."""

    def __init__(self, folder, certificate=None, key=None):
        self.verify = str(certificate) if certificate else True
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._clients = {}
        self.url = f"https://localhost:{port}" if certificate else f"http://127.0.0.1:{port}"
        tls = ["-c", str(certificate), "-k", str(key)] if certificate else []
        self.log = folder / "moto.log"
        inherited = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port), *tls],
                stdout=log,
                stderr=log,
                env=inherited | {"MOTO_S3_CUSTOM_ENDPOINTS": ""},
            )
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                requests.get(f"{self.url}/moto-api/", timeout=5, verify=self.verify)
                return
            except requests.ConnectionError:
                assert self.process.poll() is None and time.monotonic() < end, self.log.read_text(errors="replace")
                time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)

    def client(self, service, access_key="test", secret="test", token=None):
        """A cached client for these credentials: building one takes longer than most calls."""
        identity = service, access_key, secret, token
        if identity not in self._clients:
            self._clients[identity] = boto3.client(
                service,
                endpoint_url=self.url,
                region_name=REGION,
                aws_access_key_id=access_key,
                aws_secret_access_key=secret,
                aws_session_token=token,
                verify=self.verify,
                config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
            )
        return self._clients[identity]

    def buckets(self, *names):
        """Creates the buckets; returns a client."""
        s3 = self.client("s3")
        for name in names:
            s3.create_bucket(Bucket=name)
        return s3

    def environment(self):
        """The environment of a function that uses this server."""
        return {"AWS_ENDPOINT_URL": self.url}
