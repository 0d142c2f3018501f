"""Shutdowns and crashes: acknowledged uploads are durable, and get their thumbnails."""

import concurrent.futures
import hashlib
import http.client
import random
import threading
import time
from urllib.parse import urlsplit

import botocore.exceptions
import pytest

import sample_images
import signing
from tintype import DESTINATION, SOURCE
from waiting import until

ROUNDS = 8
WRITERS = 4
DIFFERENT = 40


def md5(data):
    return hashlib.md5(data).hexdigest()


class HalfAnUpload:
    """An upload of which the second half is not sent yet."""

    def __init__(self, server, key, body):
        self.rest = body[len(body) // 2 :]
        self.connection = http.client.HTTPConnection(urlsplit(server.s3_url).netloc, timeout=30)
        self.connection.putrequest("PUT", signing.path_of(SOURCE, key), skip_host=True, skip_accept_encoding=True)
        sent = signing.headers(server, "PUT", SOURCE, key, body) | {"content-length": str(len(body))}
        for name, value in sent.items():
            self.connection.putheader(name, value)
        self.connection.endheaders(body[: len(body) // 2])

    def finish(self):
        self.connection.send(self.rest)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status

    def close(self):
        self.connection.close()


def incoming(server):
    return list((server.data / "incoming").iterdir())


class Writer:
    """Uploads, replaces and deletes images under its own keys, one after the other."""

    def __init__(self, number, bodies):
        self.number, self.bodies = number, bodies
        self.chance = random.Random(f"writer {number}")
        # By key: the ETags it may have, oldest first; None for no object. An unacknowledged write may have taken effect
        # or not; after an acknowledged one only its result is possible.
        self.possible = {}
        self.acknowledged = 0

    def write(self, client, stop):
        while not stop.is_set():
            what = self.chance.random()
            if self.possible and what < 0.4:
                key = self.chance.choice(sorted(self.possible))
            else:
                key = f"crash/{self.number}/{len(self.possible):05}.jpg"
            body = None if what < 0.1 else self.chance.choice(self.bodies)
            etag = body and md5(body)
            self.possible.setdefault(key, [None]).append(etag)
            try:
                if body is None:
                    client.delete_object(Bucket=SOURCE, Key=key)
                else:
                    client.put_object(Bucket=SOURCE, Key=key, Body=body)
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                if stop.is_set():
                    return
                raise
            self.possible[key] = [etag]
            self.acknowledged += 1


def test_killed_repeatedly(new_server):
    chance = random.Random("tintype")
    server = new_server()
    bodies = [sample_images.distinct_jpeg(number) for number in range(DIFFERENT)]
    writers = [Writer(number, bodies) for number in range(WRITERS)]
    halves = []

    for number in range(ROUNDS):
        server.start()
        client, stop = server.client(), threading.Event()
        before = sum(writer.acknowledged for writer in writers)
        with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
            running = [pool.submit(writer.write, client, stop) for writer in writers]
            try:
                key = f"crash/half-{number}.jpg"
                half = HalfAnUpload(server, key, bodies[0])
                halves.append(key)
                enough = chance.randrange(1, 60)
                until(
                    lambda: sum(writer.acknowledged for writer in writers) >= before + enough
                    or any(one.done() for one in running),
                    "uploads are acknowledged",
                )
                # At any time, preferably in the middle of an upload.
                time.sleep(chance.uniform(0, 0.05))
            finally:
                stop.set()
                server.kill()
            half.close()
            for one in running:
                one.result()

    server.start()
    s3 = server.client()
    possible = {key: etags for writer in writers for key, etags in writer.possible.items()}
    present = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=SOURCE):
        present |= {found["Key"]: found["ETag"].strip('"') for found in page.get("Contents", [])}
    assert not set(halves) & set(present), "a partial upload is stored"
    assert set(present) <= set(possible)

    wrong = {key: present.get(key) for key, etags in possible.items() if present.get(key) not in etags}
    assert not wrong, "acknowledged uploads are lost or outdated, or deleted ones are back"

    def look(key):
        etag = present[key]
        got = s3.get_object(Bucket=SOURCE, Key=key)
        assert md5(got["Body"].read()) == etag == got["ETag"].strip('"'), f"{key} is torn"
        server.thumbnail(f"thumb_{key}", etag, s3)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(look, sorted(present)))

    server.wait_until_idle()
    # Only images deleted before their event have no thumbnail.
    dead = [line for line in server.log_text().splitlines() if '"dead letter"' in line]
    assert [line for line in dead if '"reason":"missing"' not in line] == []
    until(lambda: incoming(server) == [], "temporary files of unfinished uploads are removed")
    assert server.stop() == 0


def test_sigterm_lets_an_upload_finish(new_server):
    server = new_server().start()
    body = sample_images.distinct_jpeg("slow", 800, 600)
    upload = HalfAnUpload(server, "slow.jpg", body)
    until(lambda: incoming(server), "the upload is in progress")
    server.terminate()
    until(lambda: "shutting down" in server.log_text(), "the server is shutting down")
    assert upload.finish() == 200
    upload.close()
    assert server.wait() == 0
    s3 = server.start().client()
    assert s3.get_object(Bucket=SOURCE, Key="slow.jpg")["Body"].read() == body
    server.thumbnail("thumb_slow.jpg", md5(body))


def test_sigterm_leaves_no_temporary_files(new_server):
    server = new_server().start()
    s3 = server.client()
    etags = {}
    for number in range(20):
        key = f"{number}.jpg"
        etags[key] = s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.distinct_jpeg(number, 800, 600))["ETag"]
    assert server.stop() == 0
    assert incoming(server) == []
    server.start()
    for key, etag in etags.items():
        server.thumbnail(f"thumb_{key}", etag)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_everything_survives_a_restart(new_server, end):
    server = new_server().start()
    s3 = server.client()
    credentials = server.credentials
    s3.create_bucket(Bucket="other")
    described = {"ContentType": "text/plain", "CacheControl": "no-cache", "Metadata": {"colour": "red"}}
    s3.put_object(Bucket="other", Key="odd/../key ", Body=b"stored", **described)
    s3.put_object(Bucket="other", Key="deleted", Body=b"deleted")
    s3.delete_object(Bucket="other", Key="deleted")
    etag = s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())["ETag"]
    thumbnail = server.thumbnail("thumb_a.jpg", etag)
    getattr(server, end)()

    s3 = server.start().client()
    assert server.credentials == credentials
    assert [found["Key"] for found in s3.list_objects_v2(Bucket="other")["Contents"]] == ["odd/../key "]
    got = s3.get_object(Bucket="other", Key="odd/../key ")
    assert got["Body"].read() == b"stored"
    assert {name: got[name] for name in described} == described
    again = s3.get_object(Bucket=DESTINATION, Key="thumb_a.jpg")
    assert (again["ETag"], again["LastModified"]) == (thumbnail["ETag"], thumbnail["LastModified"])
