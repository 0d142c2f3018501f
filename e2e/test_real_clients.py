"""Clients of S3 as people use them, one test each: it puts a large file in parts and a small one, lists, reads and deletes. A
client that is not installed is skipped: `pip install -r requirements-clients.txt`, `npm install --prefix clients`, apt.
The AWS command line and rclone are in test_cli_clients.py, boto3 is everywhere.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tintype import REGION, environment

HERE = Path(__file__).parent
KEY = "Medium-input(30)/photo ü 1+2.jpg"
GONE = "gone & done.txt"
BODY = hashlib.shake_256(b"client").digest(9_000_000)


def module(name):
    return None if importlib.util.find_spec(name) else f"the Python package {name} is not installed (requirements-clients.txt)"


def program(name):
    return None if shutil.which(name) else f"{name} is not installed (apt install {name})"


def node(package):
    if not shutil.which("node"):
        return "node is not installed"
    found = (HERE / "clients/node_modules" / package).exists()
    return None if found else f"{package} is not installed (npm install --prefix e2e/clients)"


class Place:
    """Where a client works: a server with a bucket, and a file to upload."""

    def __init__(self, server, bucket, folder):
        self.server, self.bucket, self.folder = server, bucket, folder
        self.s3 = server.client()
        self.url = server.s3_url
        self.host = self.url.removeprefix("http://")
        self.id, self.secret = server.credentials
        self.file = folder / "large.jpg"
        self.file.write_bytes(BODY)

    @property
    def environment(self):
        pair = {"AWS_ACCESS_KEY_ID": self.id, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_REGION": REGION}
        return environment(HOME=str(self.folder), **pair)

    def run(self, *command, **more):
        env = self.environment | more
        ended = subprocess.run(list(map(str, command)), capture_output=True, env=env, cwd=self.folder, timeout=180)
        assert ended.returncode == 0, (command, ended.stdout[-2000:], ended.stderr[-2000:])
        return ended.stdout


def minio_py(place):
    import io

    from minio import Minio
    from minio.commonconfig import Tags

    client = Minio(place.host, place.id, place.secret, secure=False)
    tags = Tags.new_object_tags()
    tags["a"] = "1"
    client.fput_object(place.bucket, KEY, str(place.file), content_type="image/jpeg", part_size=5 << 20, tags=tags)
    client.put_object(place.bucket, GONE, io.BytesIO(b"x"), 1)
    assert {one.object_name for one in client.list_objects(place.bucket, recursive=True)} == {KEY, GONE}
    assert client.get_object(place.bucket, KEY).read() == BODY
    assert dict(client.get_object_tags(place.bucket, KEY)) == {"a": "1"}
    assert requests.get(client.presigned_get_object(place.bucket, KEY), timeout=30).content == BODY
    client.remove_object(place.bucket, GONE)


def s3fs(place):
    import s3fs

    options = {"endpoint_url": place.url, "region_name": REGION}
    files = s3fs.S3FileSystem(key=place.id, secret=place.secret, client_kwargs=options, skip_instance_cache=True)
    with files.open(f"{place.bucket}/{KEY}", "wb", block_size=5 << 20, ContentType="image/jpeg") as out:
        out.write(BODY)
    files.pipe(f"{place.bucket}/{GONE}", b"x")
    assert {name.removeprefix(f"{place.bucket}/") for name in files.find(place.bucket)} == {KEY, GONE}
    assert files.cat(f"{place.bucket}/{KEY}") == BODY
    assert files.cat_file(f"{place.bucket}/{KEY}", start=10, end=20) == BODY[10:20]
    files.rm(f"{place.bucket}/{GONE}")


def pyarrow(place):
    from pyarrow import fs

    files = fs.S3FileSystem(access_key=place.id, secret_key=place.secret, endpoint_override=place.host, scheme="http", region=REGION)
    with files.open_output_stream(f"{place.bucket}/{KEY}", metadata={"Content-Type": "image/jpeg"}) as out:
        out.write(BODY)
    with files.open_output_stream(f"{place.bucket}/{GONE}") as out:
        out.write(b"x")
    found = files.get_file_info(fs.FileSelector(place.bucket, recursive=True))
    assert {one.path.removeprefix(f"{place.bucket}/") for one in found if one.is_file} == {KEY, GONE}
    with files.open_input_file(f"{place.bucket}/{KEY}") as file:
        assert file.read() == BODY
    files.delete_file(f"{place.bucket}/{GONE}")


def obstore(place):
    import obstore as obs
    from obstore.store import S3Store

    pair = {"access_key_id": place.id, "secret_access_key": place.secret}
    store = S3Store(place.bucket, endpoint=place.url, region=REGION, client_options={"allow_http": True}, **pair)
    attributes = {"Content-Type": "image/jpeg"}
    obs.put(store, KEY, BODY, use_multipart=True, chunk_size=5 << 20, attributes=attributes)
    obs.put(store, GONE, b"x")
    assert {one["path"] for batch in obs.list(store) for one in batch} == {KEY, GONE}
    assert bytes(obs.get(store, KEY).bytes()) == BODY
    with pytest.raises(obs.exceptions.AlreadyExistsError):
        obs.put(store, GONE, b"y", mode="create")
    obs.delete(store, GONE)


DJANGO = """
import sys

from django.conf import settings
from django.core.files.base import ContentFile

url, bucket, file, key, gone = sys.argv[1:]
settings.configure()
from storages.backends.s3 import S3Storage

options = {"bucket_name": bucket, "endpoint_url": url, "region_name": "us-east-1", "default_acl": "public-read"}
storage = S3Storage(querystring_auth=False, addressing_style="path", **options)
assert storage.save(key, ContentFile(open(file, "rb").read())) == key
storage.save(gone, ContentFile(b"x"))
assert storage.exists(key) and storage.size(key) == 9_000_000
storage.delete(gone)
print(storage.url(key))
"""


def django(place):
    public = {"BlockPublicAcls": False, "IgnorePublicAcls": False, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
    place.s3.put_public_access_block(Bucket=place.bucket, PublicAccessBlockConfiguration=public)
    shown = place.run(sys.executable, "-c", DJANGO, place.url, place.bucket, place.file, KEY, "gone.txt")
    # As a browser reads it, without a key.
    assert requests.get(shown.decode().strip(), timeout=30).content == BODY


def s3cmd(place):
    how = ["s3cmd", "--no-ssl", f"--access_key={place.id}", f"--secret_key={place.secret}", f"--host={place.host}"]
    how += [f"--host-bucket={place.host}", "--region=us-east-1", "--config=/dev/null", "--no-progress"]
    at = f"s3://{place.bucket}"
    small = place.folder / "small.txt"
    small.write_bytes(b"x")
    place.run(*how, "put", "--multipart-chunk-size-mb=5", "--mime-type=image/jpeg", place.file, f"{at}/{KEY}")
    place.run(*how, "put", small, f"{at}/{GONE}")
    listed = place.run(*how, "ls", "--recursive", at).decode()
    assert f"{at}/{KEY}" in listed and f"{at}/{GONE}" in listed
    place.run(*how, "get", f"{at}/{KEY}", place.folder / "back")
    assert (place.folder / "back").read_bytes() == BODY
    place.run(*how, "info", f"{at}/{KEY}")
    place.run(*how, "del", f"{at}/{GONE}")


def s5cmd(place):
    how = ["s5cmd", "--endpoint-url", place.url]
    small = place.folder / "small.txt"
    small.write_bytes(b"x")
    place.run(*how, "cp", "--part-size=5", "--content-type=image/jpeg", place.file, f"s3://{place.bucket}/{KEY}")
    place.run(*how, "cp", small, f"s3://{place.bucket}/{GONE}")
    assert KEY in place.run(*how, "ls", f"s3://{place.bucket}/*").decode()
    assert place.run(*how, "cat", f"s3://{place.bucket}/{KEY}") == BODY
    place.run(*how, "rm", f"s3://{place.bucket}/{GONE}")


def restic(place):
    kept = {"RESTIC_REPOSITORY": f"s3:{place.url}/{place.bucket}", "RESTIC_PASSWORD": "secret"}
    images = place.folder / "images"
    images.mkdir()
    shutil.copy(place.file, images)
    how = ["restic", "--no-cache", "--option", "s3.bucket-lookup=path"]
    place.run(*how, "init", **kept)
    place.run(*how, "backup", images, **kept)
    place.run(*how, "check", "--read-data", **kept)
    place.run(*how, "restore", "latest", "--target", place.folder / "back", **kept)
    (back,) = (place.folder / "back").rglob("large.jpg")
    assert back.read_bytes() == BODY
    place.run(*how, "forget", "--keep-last", "1", "--prune", **kept)


def js(script):
    def client(place):
        place.run("node", HERE / "clients" / script, place.url, place.bucket, place.file, KEY, GONE)

    return client


# By name: what it takes, what it does, and the key that it leaves; none: another layout of its own.
CLIENTS = {
    "minio-py": (module("minio"), minio_py, KEY),
    "s3fs": (module("s3fs"), s3fs, KEY),
    "pyarrow": (module("pyarrow"), pyarrow, KEY),
    "obstore": (module("obstore"), obstore, KEY),
    "django-storages": (module("storages"), django, KEY),
    "s3cmd": (program("s3cmd"), s3cmd, KEY),
    "s5cmd": (program("s5cmd"), s5cmd, KEY),
    "restic": (program("restic"), restic, None),
    "minio-js": (node("minio"), js("minio.mjs"), KEY),
    "aws-sdk-js": (node("@aws-sdk/client-s3"), js("aws_sdk.mjs"), KEY),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_client(name, server, bucket, tmp_path):
    missing, work, left = CLIENTS[name]
    if missing:
        pytest.skip(missing)
    place = Place(server, bucket, tmp_path)
    work(place)
    if left:
        found = place.s3.list_objects_v2(Bucket=bucket)["Contents"]
        assert [one["Key"] for one in found] == [left]
        got = place.s3.get_object(Bucket=bucket, Key=left)
        assert (got["Body"].read(), got["ContentType"]) == (BODY, "image/jpeg")
