"""The conformance suite of the S3 store, against moto_server and against Tintype's own S3 endpoint."""

import subprocess

import pytest

from moto_server import Moto
from tintype import ROOT, environment

BUCKETS = ("conformance-source", "conformance-destination")


def run_suite(url, access_key, secret):
    found = subprocess.run(
        ["cargo", "test", "-p", "tintype-stores", "--all-features", "--locked", "--quiet", "--test", "s3", "--", "--ignored"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment(
            AWS_ENDPOINT_URL_S3=url,
            AWS_ACCESS_KEY_ID=access_key,
            AWS_SECRET_ACCESS_KEY=secret,
            AWS_REGION="us-east-1",
            CARGO_TARGET_DIR=str(ROOT / "target"),
        ),
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "1 passed" in found.stdout


@pytest.mark.timeout(900)
def test_against_moto(tmp_path):
    moto = Moto(tmp_path)
    try:
        for bucket in BUCKETS:
            moto.client("s3").create_bucket(Bucket=bucket)
        run_suite(moto.url, "test", "test")
    finally:
        moto.stop()


@pytest.mark.timeout(900)
def test_against_tintype(new_server):
    server = new_server().start()
    s3 = server.client()
    for bucket in BUCKETS:
        s3.create_bucket(Bucket=bucket)
    run_suite(server.s3_url, *server.credentials)
