"""Faults outside the program: clocks, connections, duplicate and late events, a second server."""

import concurrent.futures
import contextlib
import datetime
import glob
import hashlib
import http.client
import json
import re
import socket
import struct
import subprocess
from urllib.parse import urlsplit

import pytest
import requests

import sample_images
import signing
from tintype import DESTINATION, PROGRAM, SOURCE, environment, run
from waiting import until

# Debian's package faketime, whose library intercepts clock_gettime.
FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
BY = {"LD_PRELOAD": FAKETIME, "DONT_FAKE_MONOTONIC": "1"}


def md5(data):
    return hashlib.md5(data).hexdigest()


def put(server, key, body, now):
    """An upload signed at the server's time."""
    return signing.request(server, "PUT", SOURCE, key, body, when=now)


def thumbnail(server, key, source, now):
    def look():
        status, headers, body = signing.request(server, "GET", DESTINATION, f"thumb_{key}", when=now)
        return status == 200 and headers["x-amz-meta-tintype-source-etag"] == md5(source) and body

    return until(look, f"the thumbnail of {key}")


def day(text):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)


def set_clock(file, text):
    """Sets the clock atomically: a concurrent reader sees the old or the new time."""
    new = file.with_suffix(".new")
    new.write_text(f"@{text}\n")
    new.rename(file)


needs_faketime = pytest.mark.skipif(FAKETIME is None, reason="needs Debian's package faketime")


@needs_faketime
@pytest.mark.parametrize("ends_by", ["kill", "stop"])
def test_clocks_that_differ_between_runs(new_server, ends_by):
    server, stored = new_server(), {}
    for number, text in enumerate(["2026-11-24 12:00:00", "2036-11-24 12:00:00", "2016-11-24 12:00:00"]):
        server.env = BY | {"FAKETIME": f"@{text}"}
        server.start()
        now = day(text)
        # A new key, and a key that is written under every clock.
        for key in (f"{number}.jpg", "again.jpg"):
            stored[key] = sample_images.distinct_jpeg(f"clock {number} {key}")
            status, _, words = put(server, key, stored[key], now)
            assert status == 200, words
        if number != 1:
            for key, body in stored.items():
                thumbnail(server, key, body, now)
        # The second run leaves work to the third, twenty years earlier.
        getattr(server, ends_by)()


@needs_faketime
def test_a_clock_that_jumps_while_the_server_runs(new_server, tmp_path):
    server, clock = new_server(), tmp_path / "clock"
    # Inside the sandbox the server could not read the clock file.
    server.env = BY | {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "TINTYPE_SANDBOX": "off"}
    set_clock(clock, "2026-11-24 12:00:00")
    server.start()
    stored = {}
    # Before 1970 the server has no valid date and may close connections; what it did before and does afterwards holds.
    for number, text in enumerate(["2026-11-24 12:00:00", "2036-01-01 00:00:00", "1965-01-01 00:00:00", "2019-01-01 00:00:00"]):
        set_clock(clock, text)
        now = day(text)
        if now.year < 1970:
            with contextlib.suppress(OSError, http.client.HTTPException):
                put(server, "before-1970.jpg", sample_images.jpeg(), now)
            continue
        for key in (f"{number}.jpg", "again.jpg"):
            stored[key] = sample_images.distinct_jpeg(f"clock {number} {key}")
            status, _, words = put(server, key, stored[key], now)
            assert status == 200, words
        for key, body in stored.items():
            thumbnail(server, key, body, now)
    assert server.stop() == 0


@needs_faketime
def test_a_clock_that_jumps_ahead_drops_nothing_recent(new_server, tmp_path):
    server, clock = new_server(settings='[function]\nretry_delays = ["1h", "1s"]\n'), tmp_path / "clock"
    server.env = BY | {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "TINTYPE_SANDBOX": "off"}
    status_of = lambda key: json.loads(run("status", key, "--server", server.http_url).stdout)

    def upload(key, text, body):
        set_clock(clock, text)
        status, _, words = put(server, key, body, day(text))
        assert status == 200, words

    def failed():
        event = status_of("rotten.jpg")["event"]
        return event and event["failed"]

    first = "2026-11-24 12:00:00"
    set_clock(clock, first)
    server.start()
    upload("young.jpg", first, sample_images.jpeg())
    # An event that waits for its next attempt: its source is corrupt, and its thumbnail deleted.
    upload("rotten.jpg", first, sample_images.distinct_jpeg("rotten"))
    thumbnail(server, "rotten.jpg", sample_images.distinct_jpeg("rotten"), day(first))
    server.wait_until_idle()
    [source] = [path for path in (server.data / "objects").rglob("*") if path.is_file() and b'"rotten.jpg"' in path.read_bytes()[:4096]]
    source.write_bytes(source.read_bytes()[:-5] + b"rot!!")
    status, _, words = signing.request(server, "DELETE", DESTINATION, "thumb_rotten.jpg", when=day(first))
    assert status == 204, words
    assert run("backfill", "--server", server.http_url, "--data", server.data).returncode == 0
    until(failed, "it failed once")
    until(lambda: status_of("young.jpg")["history"], "the history is written")

    # Longer than function.max_event_age and the retention of the history.
    upload("later.jpg", "2027-01-24 12:00:00", sample_images.distinct_jpeg("later"))
    until(lambda: "no measurement and no result is deleted for its age" in server.log_text(), "the history is being written")
    dead_letter = until(lambda: status_of("rotten.jpg")["deadLetter"], "its retries are over")
    assert dead_letter["reason"] == "damaged" and dead_letter["event"]["started"] == 3, dead_letter
    set_clock(clock, first)
    assert server.stop() == 0
    server.start()
    assert status_of("young.jpg")["history"] and status_of("young.jpg")["state"] == "made"
    assert server.stop() == 0


@needs_faketime
def test_a_start_before_1970_is_refused_with_advice(new_server):
    server = new_server()
    server.env = BY | {"FAKETIME": "@1965-01-01 00:00:00"}
    with pytest.raises(AssertionError, match="clock stands before 1970.*set it"):
        server.start()


def head(server, key, body, more):
    sent = signing.headers(server, "PUT", SOURCE, key, body) | {"content-length": str(len(body))} | more
    return f"PUT {signing.path_of(SOURCE, key)} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in sent.items()) + "\r\n"


def connected(url):
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=30)


def reset(connection):
    """Ends a connection by RST, as a machine does after a restart."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_clients_that_vanish_leave_no_temporary_files(new_server):
    server = new_server().start()
    s3 = server.client()
    body = sample_images.distinct_jpeg("vanishing", 640, 480)
    api = urlsplit(server.api_url).path
    for number in range(40):
        cut = (number * 997) % len(body)
        connection = connected(server.s3_url)
        connection.sendall(head(server, f"vanished/{number}.jpg", body, {}).encode() + body[:cut])
        connection.close() if number % 2 else reset(connection)
        connection = connected(server.http_url)
        post = f"POST {api}?key=vanished/api-{number}.jpg HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(post.encode() + body[:cut])
        connection.close() if number % 2 else reset(connection)
    until(lambda: not list((server.data / "incoming").iterdir()), "temporary files of unfinished uploads are removed")
    etag = s3.put_object(Bucket=SOURCE, Key="whole.jpg", Body=body)["ETag"]
    server.thumbnail("thumb_whole.jpg", etag)
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=SOURCE)["Contents"]] == ["whole.jpg"]


def test_a_half_closed_connection_counts_as_closed(server, s3):
    """So that no work is done for absent clients. A complete upload is stored completely or not at all."""
    body = sample_images.distinct_jpeg("half closed")
    for key, sent in (("half-closed/whole.jpg", body), ("half-closed/half.jpg", body[:100])):
        with connected(server.s3_url) as connection:
            connection.sendall(head(server, key, body, {}).encode() + sent)
            connection.shutdown(socket.SHUT_WR)
            # The connection ends.
            while connection.recv(4096):
                pass
    server.wait_until_idle()
    found = s3.list_objects_v2(Bucket=SOURCE, Prefix="half-closed/").get("Contents", [])
    assert [(one["Key"], one["ETag"]) for one in found] in ([], [("half-closed/whole.jpg", f'"{md5(body)}"')])


def test_many_slow_clients_do_not_block_others(new_server):
    server = new_server().start()
    body = sample_images.distinct_jpeg("slow")
    slow = [connected(url) for url in (server.s3_url, server.http_url) for _ in range(100)]
    try:
        for number, connection in enumerate(slow):
            if number % 2:
                # An incomplete head.
                connection.sendall(b"GET / HT")
            elif number < 100:
                connection.sendall(head(server, f"slow/{number}.jpg", body, {}).encode() + body[:10])
            else:
                connection.sendall(b"POST /dev1/myimage HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\nContent-Length: 9999\r\n\r\n\xff\xd8")
        etag = server.client().put_object(Bucket=SOURCE, Key="quick.jpg", Body=body)["ETag"]
        server.thumbnail("thumb_quick.jpg", etag)
        answer = requests.post(server.api_url, data=body, headers={"Content-Type": "image/jpeg"}, timeout=30)
        assert answer.status_code == 200
    finally:
        for connection in slow:
            connection.close()


def test_duplicate_and_late_events_change_nothing(new_server):
    server = new_server().start()
    s3 = server.client()
    versions = [sample_images.distinct_jpeg(f"version {number}") for number in range(5)]
    for body in versions:
        etag = s3.put_object(Bucket=SOURCE, Key="a b.jpg", Body=body)["ETag"]
    newest = server.thumbnail("thumb_a b.jpg", etag)
    server.wait_until_idle()

    def record(number):
        described = {"key": "a+b.jpg", "size": len(versions[number]), "eTag": md5(versions[number]), "sequencer": f"{number:016X}"}
        return {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": SOURCE}, "object": described}}

    # Each twice, the newest first; then concurrently.
    records = [record(number) for number in (4, 0, 3, 1, 2, 2, 4, 0)]
    answer = requests.post(server.api_url, json={"Records": records}, timeout=30)
    assert answer.status_code == 200, answer.text
    assert [entry["outcome"] for entry in answer.json()["records"]] == ["up_to_date"] * len(records)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        posted = pool.map(lambda one: requests.post(server.api_url, json={"Records": [one]}, timeout=30).status_code, records)
        assert set(posted) == {200}
    for one in records:
        requests.post(server.api_url, json={"Records": [one]}, headers={"Prefer": "respond-async"}, timeout=30).raise_for_status()
    server.wait_until_idle()
    now = s3.get_object(Bucket=DESTINATION, Key="thumb_a b.jpg")
    assert (now["ETag"], now["LastModified"]) == (newest["ETag"], newest["LastModified"])
    assert server.metrics()["tintype_dead_letters"] == 0

    # Late: its object is deleted.
    s3.delete_object(Bucket=SOURCE, Key="a b.jpg")
    answer = requests.post(server.api_url, json={"Records": [record(4)]}, timeout=30)
    assert "missing" in json.dumps(answer.json()), answer.text


def test_a_second_server_on_the_same_folder_is_refused_and_harms_nothing(new_server):
    server = new_server().start()
    s3 = server.client()
    etag = s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())["ETag"]
    command = [PROGRAM, "serve", "--data", str(server.data), "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    second = subprocess.run(command, capture_output=True, timeout=30, env=environment(), cwd=server.folder)
    assert second.returncode != 0 and second.stdout == b""
    assert re.search(r"is in use by another tintype server; stop that one first", second.stderr.decode())
    server.thumbnail("thumb_a.jpg", etag)
    # The first server locks its folder as long as it runs.
    server.kill()
    with contextlib.closing(server.start().client()) as s3:
        assert s3.head_object(Bucket=SOURCE, Key="a.jpg")["ETag"] == etag
