"""Overload: uploads are still accepted, synchronous requests are refused with Retry-After, no client blocks others, and a
shutdown loses nothing. Orders and counts; bench/ measures times."""

import concurrent.futures
import http.client
import io
import socket
from urllib.parse import urlsplit

import requests
from PIL import Image

import sample_images
from tintype import DESTINATION, SOURCE
from waiting import until

# Work that takes seconds: a second trigger with large renditions of noise.
SLOW = "slow-images"
SETTINGS = f"""
[function]
concurrency = 1
memory_mb = 1024
total_memory_mb = 4096
[[trigger]]
bucket = "{SOURCE}"
destination = "{DESTINATION}"
[[trigger.rendition]]
[[trigger]]
bucket = "{SLOW}"
destination = "slow-thumbnails"
[[trigger.rendition]]
size = "3000x3000"
format = "webp"
quality = 100
"""
# Requests that may wait where one works: invoker's WAITING_PER_WORKER.
MAY_WAIT = 32


def slow_image(seed=0):
    noise = [Image.effect_noise((3000, 2000), 60 + 20 * channel + seed) for channel in range(3)]
    out = io.BytesIO()
    Image.merge("RGB", noise).save(out, "JPEG", quality=90)
    return out.getvalue()


def answer_to_head(server):
    """The status line for a POST whose announced body is not sent."""
    address = urlsplit(server.api_url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(
            f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
            "Content-Type: image/jpeg\r\nContent-Length: 1000000\r\n\r\n".encode()
        )
        return connection.makefile("rb").readline()


def test_uploads_are_accepted_and_requests_are_refused_while_the_queue_is_deep(new_server):
    server = new_server(settings=SETTINGS).start()
    s3 = server.client()
    for number in range(2):
        s3.put_object(Bucket=SLOW, Key=f"{number}.jpg", Body=slow_image(number))
    until(lambda: server.metrics()["ConcurrentExecutions"] == 1, "the worker is busy")
    etags = {}
    for number in range(30):
        key = f"{number}.jpg"
        etags[key] = s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.distinct_jpeg(number))["ETag"]
    assert server.metrics()["tintype_queue_depth"] >= 30, "uploads are acknowledged while many wait"

    body = sample_images.distinct_jpeg("request")

    def post(_):
        return requests.post(server.api_url, data=body, headers={"Content-Type": "image/jpeg"}, timeout=60)

    with concurrent.futures.ThreadPoolExecutor(2 * MAY_WAIT) as pool:
        posted = pool.map(post, range(2 * MAY_WAIT))
        until(lambda: server.metrics()["Throttles"] > 0, "all places are taken")
        assert b" 429 " in answer_to_head(server), "before any of the body"
        answers = list(posted)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} <= {200, 429}
    assert len(answers) - len(refused) >= MAY_WAIT, "requests within the limit are answered"
    assert refused, "requests over the limit are refused"
    assert all(answer.headers["Retry-After"] == "1" for answer in refused)
    assert server.metrics()["Throttles"] == len(refused) + 1
    for key, etag in etags.items():
        server.thumbnail(f"thumb_{key}", etag, s3)


def test_a_refused_request_is_answered_before_its_body_is_read(new_server):
    """The connection stays usable once the body is received."""
    server = new_server(settings="[[api.key]]\nname = 'a'\nkey = 'a-key-of-twenty-letters'\n").start()
    connection = http.client.HTTPConnection(urlsplit(server.http_url).netloc, timeout=30)
    connection.putrequest("POST", urlsplit(server.api_url).path)
    connection.putheader("Content-Type", "image/jpeg")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()
    reader = connection.sock.makefile("rb")
    assert b" 403 " in reader.readline()
    while (line := reader.readline().strip()) != b"":
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    reader.read(length)
    connection.sock.sendall(b"x" * 1_000_000)
    connection.sock.sendall(f"GET /healthz HTTP/1.1\r\nHost: {urlsplit(server.http_url).netloc}\r\n\r\n".encode())
    assert b" 200 " in reader.readline()
    connection.close()


def test_announced_bodies_that_are_not_sent_block_no_others(server):
    """More bodies are announced than there is memory for, and none is sent."""
    address = urlsplit(server.http_url)
    head = (
        f"POST {urlsplit(server.api_url).path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        "Content-Type: image/jpeg\r\nContent-Length: 10000000\r\n\r\n"
    )
    idle = [socket.create_connection((address.hostname, address.port)) for _ in range(60)]
    try:
        for connection in idle:
            connection.sendall(head.encode())
        body = sample_images.distinct_jpeg("prompt")
        for _ in range(3):
            answer = requests.post(server.api_url, body, headers={"Content-Type": "image/jpeg"}, timeout=30)
            assert answer.status_code == 200, answer.text
    finally:
        for connection in idle:
            connection.close()


def test_bodies_that_use_all_memory_refuse_the_next(new_server):
    """Refusals have Retry-After, and the memory is released with the bodies that used it."""
    # Its own server, because of the memory used; with time for a slow machine to fill it.
    server = new_server(settings="[api]\ntimeout_s = 300\n").start()
    address = urlsplit(server.http_url)
    size = 10 << 20
    head = (
        f"POST {urlsplit(server.api_url).path}/uploads HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    )
    # 256 MiB for bodies; each of these has sent all but its last byte.
    holding = [socket.create_connection((address.hostname, address.port)) for _ in range(26)]
    body = sample_images.distinct_jpeg("next") + bytes(3 << 20)

    def post():
        return requests.post(server.api_url, body, headers={"Content-Type": "image/jpeg"}, timeout=30)

    def has_arrived():
        return all(server.unread_bytes() == 0 for _ in range(3))

    try:
        for connection in holding[:25]:
            connection.sendall(head.encode() + bytes(size - 1))
        # The last one's buffer would double into what these still need, and the next request would take what that one needs.
        until(has_arrived, "25 have arrived")
        holding[25].sendall(head.encode() + bytes(5 << 20))
        until(has_arrived, "all of it has arrived")
        answer = post()
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "1"
        assert answer.json() == {"message": "Too Many Requests"}
        requests.get(f"{server.http_url}/healthz", timeout=30).raise_for_status()
    finally:
        for connection in holding:
            connection.close()
    until(lambda: post().status_code == 200, "the memory is released")


def test_one_bad_object_blocks_no_others(new_server):
    """A slow object that is written repeatedly, one that always fails, and good ones behind them."""
    server = new_server(settings=SETTINGS.replace("concurrency = 1", "concurrency = 2")).start()
    s3 = server.client()
    slow = slow_image()
    for _ in range(3):
        s3.put_object(Bucket=SLOW, Key="slow.jpg", Body=slow)
        s3.put_object(Bucket=SOURCE, Key="bad.jpg", Body=sample_images.corrupt_jpeg())
    etags = {}
    for number in range(20):
        key = f"{number}.jpg"
        etags[key] = s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.distinct_jpeg(number))["ETag"]
    for key, etag in etags.items():
        server.thumbnail(f"thumb_{key}", etag, s3)
    server.wait_until_idle()
    counted = server.metrics()
    # Versions that were not started were superseded by the next.
    assert counted['tintype_outcomes_total{outcome="made"}'] <= 20 + 3
    assert 1 <= counted["tintype_dead_letters"] <= 3


def test_sigterm_with_a_deep_queue_loses_nothing(new_server):
    server = new_server(settings=SETTINGS).start()
    s3 = server.client()
    slow = s3.put_object(Bucket=SLOW, Key="slow.jpg", Body=slow_image())["ETag"]
    until(lambda: server.metrics()["ConcurrentExecutions"] == 1, "the worker is busy")
    etags = {}
    for number in range(40):
        key = f"{number}.jpg"
        etags[key] = s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.distinct_jpeg(number))["ETag"]
    # It ends although forty wait: calls in progress finish or are released, the rest stays queued.
    assert server.stop() == 0
    s3 = server.start().client()
    for key, etag in etags.items():
        server.thumbnail(f"thumb_{key}", etag, s3)
    server.thumbnail("thumb_slow.jpg.webp", slow, s3, bucket="slow-thumbnails")
    server.wait_until_idle()
    assert server.metrics()["tintype_dead_letters"] == 0


def test_records_handled_in_time_are_reported_when_the_rest_was_not(new_server):
    server = new_server(settings=SETTINGS + "[api]\ntimeout_s = 1\n").start()
    s3 = server.client()
    for number in range(4):
        s3.put_object(Bucket=SLOW, Key=f"{number}.jpg", Body=slow_image(number))

    def record(bucket, key):
        return {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}

    until(lambda: server.metrics()["ConcurrentExecutions"] == 1, "the worker is busy")
    # The first is reported at once: it is no record.
    records = [{}] + [record(SLOW, f"{number}.jpg") for number in range(4)]
    answer = requests.post(server.api_url, json={"Records": records}, timeout=60)
    assert answer.status_code == 504
    result = answer.json()
    assert result["message"] and 1 <= len(result["records"]) < len(records)
    assert result["records"][0]["reason"] == "bad_event"
    assert all(one["outcome"] in ("made", "up_to_date") for one in result["records"][1:])
