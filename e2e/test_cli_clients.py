"""Command-line clients of S3 as people use them: the AWS command line and rclone."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sample_images
from tintype import DESTINATION, SOURCE

AWS = Path(sys.executable).parent / "aws"
ODD = "Medium-input(30)/photo 1+2.jpg"
LARGE = hashlib.shake_256(b"large").digest(23_000_000)


def tool(command, env, cwd):
    ended = subprocess.run(command, capture_output=True, env=env, cwd=cwd, timeout=120)
    assert ended.returncode == 0, (command, ended.stdout[-2000:], ended.stderr[-2000:])
    return ended.stdout.decode()


@pytest.fixture
def aws(server, tmp_path):
    def run(*arguments):
        command = [str(AWS), "--endpoint-url", server.s3_url, *map(str, arguments)]
        return tool(command, server.tool_environment(), tmp_path)

    return run


@pytest.fixture
def rclone(server, tmp_path):
    program = shutil.which("rclone")
    assert program, "rclone is not installed"
    access_key, secret = server.credentials
    remote = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ENDPOINT": server.s3_url,
        "ACCESS_KEY_ID": access_key,
        "SECRET_ACCESS_KEY": secret,
        "REGION": "us-east-1",
        "FORCE_PATH_STYLE": "true",
        "NO_CHECK_BUCKET": "true",
    }
    env = server.tool_environment() | {f"RCLONE_CONFIG_THERE_{name}": value for name, value in remote.items()}

    def run(*arguments):
        return tool([program, "--retries", "1", "--low-level-retries", "1", *map(str, arguments)], env, tmp_path)

    return run


@pytest.fixture
def folder(tmp_path):
    """A folder with files of all kinds; by relative name, what is in them."""
    files = {
        ODD: sample_images.jpeg(),
        "plain.txt": b"text",
        "deep/er/ünïcode 😀.txt": b"more text",
        "per%20cent & <brackets>.txt": b"odd",
        "empty": b"",
    }
    for name, body in files.items():
        path = tmp_path / "from" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return files


def read(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def keys(s3, bucket):
    return {found["Key"] for found in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}


def test_aws_cp_of_the_reference_folder(server, s3, aws, folder, tmp_path):
    aws("s3", "cp", tmp_path / "from" / ODD, f"s3://{SOURCE}/{ODD}")
    head = json.loads(aws("s3api", "head-object", "--bucket", SOURCE, "--key", ODD))
    assert (head["ContentType"], head["ContentLength"]) == ("image/jpeg", len(folder[ODD]))
    server.thumbnail(f"thumb_{ODD}", head["ETag"])
    aws("s3", "cp", f"s3://{DESTINATION}/thumb_{ODD}", tmp_path / "thumbnail.jpg")
    assert sample_images.opened((tmp_path / "thumbnail.jpg").read_bytes()).size == (128, 96)
    assert ODD.split("/")[1] in aws("s3", "ls", f"s3://{SOURCE}/{ODD.split('/')[0]}/")


def test_aws_sync_ls_mv_rm(s3, bucket, aws, folder, tmp_path):
    aws("s3", "sync", tmp_path / "from", f"s3://{bucket}/copy/")
    assert keys(s3, bucket) == {f"copy/{name}" for name in folder}
    # Unchanged objects are skipped.
    assert aws("s3", "sync", tmp_path / "from", f"s3://{bucket}/copy/").strip() == ""
    listed = aws("s3", "ls", "--recursive", f"s3://{bucket}")
    assert all(f"copy/{name}" in listed for name in folder)
    assert len(listed.splitlines()) == len(folder)

    aws("s3", "sync", f"s3://{bucket}/copy/", tmp_path / "back")
    assert read(tmp_path / "back") == folder
    aws("s3", "mv", f"s3://{bucket}/copy/{ODD}", f"s3://{bucket}/moved (1)+.jpg")
    assert keys(s3, bucket) == {f"copy/{name}" for name in folder if name != ODD} | {"moved (1)+.jpg"}
    aws("s3", "rm", "--recursive", f"s3://{bucket}")
    assert keys(s3, bucket) == set()
    aws("s3", "rb", f"s3://{bucket}")
    assert bucket not in aws("s3", "ls")


def test_aws_large_file(s3, bucket, aws, tmp_path):
    (tmp_path / "large").write_bytes(LARGE)
    aws("s3", "cp", tmp_path / "large", f"s3://{bucket}/large", "--metadata", "colour=red")
    head = s3.head_object(Bucket=bucket, Key="large")
    assert (head["ContentLength"], head["Metadata"]) == (len(LARGE), {"colour": "red"})
    assert head["ETag"].endswith('-3"')
    aws("s3", "cp", f"s3://{bucket}/large", f"s3://{bucket}/copied")
    aws("s3", "cp", f"s3://{bucket}/copied", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == LARGE


def test_aws_streams_and_presigned_urls(s3, bucket, server, aws, tmp_path):
    command = [str(AWS), "--endpoint-url", server.s3_url, "s3", "cp", "-", f"s3://{bucket}/piped"]
    subprocess.run(command, input=b"from a pipe", env=server.tool_environment(), check=True, timeout=120)
    assert aws("s3", "cp", f"s3://{bucket}/piped", "-") == "from a pipe"
    # Version 1 of the AWS CLI presigns with Signature Version 2 by default.
    (server.folder / "no-aws-config").write_text("[default]\ns3 =\n    signature_version = s3v4\n")
    url = aws("s3", "presign", f"s3://{bucket}/piped").strip()
    assert tool(["curl", "-sSf", "--noproxy", "*", url], server.tool_environment(), tmp_path) == "from a pipe"


def test_aws_at_the_http_port_is_answered_with_the_s3_endpoint(server, tmp_path):
    listing = ["s3", "ls", f"s3://{SOURCE}", "--no-sign-request"]
    for arguments in (["s3", "ls"], ["s3", "cp", "-", f"s3://{SOURCE}/a.jpg"], ["s3", "ls", "--no-sign-request"], listing):
        command = [str(AWS), "--endpoint-url", server.http_url, *arguments]
        ended = subprocess.run(command, input=b"x", capture_output=True, env=server.tool_environment(), cwd=tmp_path, timeout=120)
        assert ended.returncode != 0 and f"the S3 endpoint is {server.s3_url}" in ended.stderr.decode(), ended.stderr


def test_rclone(s3, bucket, rclone, folder, tmp_path):
    rclone("copy", tmp_path / "from", f"there:{bucket}/copy")
    assert keys(s3, bucket) == {f"copy/{name}" for name in folder}
    assert set(rclone("lsf", "-R", "--files-only", f"there:{bucket}/copy").splitlines()) == set(folder)
    rclone("check", tmp_path / "from", f"there:{bucket}/copy")
    # Nothing has changed, so nothing is to be copied.
    assert "Copied" not in rclone("copy", "-v", tmp_path / "from", f"there:{bucket}/copy")
    rclone("copy", f"there:{bucket}/copy", tmp_path / "back")
    assert read(tmp_path / "back") == folder
    rclone("moveto", f"there:{bucket}/copy/{ODD}", f"there:{bucket}/moved (1)+.jpg")
    assert keys(s3, bucket) == {f"copy/{name}" for name in folder if name != ODD} | {"moved (1)+.jpg"}
    rclone("delete", f"there:{bucket}")
    assert keys(s3, bucket) == set()


def test_rclone_notices_a_difference(s3, bucket, rclone, folder, tmp_path):
    rclone("copy", tmp_path / "from", f"there:{bucket}")
    s3.put_object(Bucket=bucket, Key="plain.txt", Body=b"TEXT")
    with pytest.raises(AssertionError, match="differ"):
        rclone("check", tmp_path / "from", f"there:{bucket}")


def test_rclone_large_file(s3, bucket, rclone, tmp_path):
    (tmp_path / "large").write_bytes(LARGE)
    how = ["--s3-upload-cutoff", "10M", "--s3-chunk-size", "5M"]
    rclone("copy", tmp_path / "large", f"there:{bucket}", *how)
    assert s3.head_object(Bucket=bucket, Key="large")["ETag"].endswith('-5"')
    rclone("check", "--download", tmp_path / "large", f"there:{bucket}")
    rclone("copyto", f"there:{bucket}/large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == LARGE
