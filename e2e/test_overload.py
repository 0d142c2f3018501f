"""More than can be done at once: uploads are still taken, who waits for an answer is told to come again, nobody holds
up the others, and a shutdown loses nothing. Orders and counts; times are for bench/."""

import concurrent.futures
import http.client
import io
import socket
from urllib.parse import urlsplit

import requests
from PIL import Image

import pictures
from tintype import DESTINATION, SOURCE
from waiting import until

# Work that takes seconds: a second trigger that makes large pictures of noise.
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


def slow_picture(seed=0):
    noise = [Image.effect_noise((3000, 2000), 60 + 20 * channel + seed) for channel in range(3)]
    out = io.BytesIO()
    Image.merge("RGB", noise).save(out, "JPEG", quality=90)
    return out.getvalue()


def answer_to_head(server):
    """The first line of what a POST is answered whose body is promised and does not come."""
    address = urlsplit(server.api_url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(
            f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
            "Content-Type: image/jpeg\r\nContent-Length: 1000000\r\n\r\n".encode()
        )
        return connection.makefile("rb").readline()


def test_uploads_are_taken_and_requests_are_refused_while_the_queue_is_deep(new_server):
    server = new_server(settings=SETTINGS).start()
    s3 = server.client()
    for number in range(2):
        s3.put_object(Bucket=SLOW, Key=f"{number}.jpg", Body=slow_picture(number))
    until(lambda: server.metrics()["ConcurrentExecutions"] == 1, "the worker is busy")
    etags = {}
    for number in range(30):
        key = f"{number}.jpg"
        etags[key] = s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.distinct_jpeg(number))["ETag"]
    assert server.metrics()["tintype_queue_depth"] >= 30, "uploads are acknowledged however many wait"

    body = pictures.distinct_jpeg("request")

    def post(_):
        return requests.post(server.api_url, data=body, headers={"Content-Type": "image/jpeg"}, timeout=60)

    with concurrent.futures.ThreadPoolExecutor(2 * MAY_WAIT) as pool:
        posted = pool.map(post, range(2 * MAY_WAIT))
        until(lambda: server.metrics()["Throttles"] > 0, "all places are taken")
        assert b" 429 " in answer_to_head(server), "before any of the body"
        answers = list(posted)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} <= {200, 429}
    assert len(answers) - len(refused) >= MAY_WAIT, "who may wait is answered"
    assert refused, "who may not is told"
    assert all(answer.headers["Retry-After"] == "1" for answer in refused)
    assert server.metrics()["Throttles"] == len(refused) + 1
    for key, etag in etags.items():
        server.thumbnail(f"thumb_{key}", etag, s3)


def test_a_refused_request_is_answered_before_its_body_is_taken(new_server):
    """And the connection stays usable once the body has come."""
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


def test_who_promises_much_and_sends_nothing_holds_up_nobody(server):
    """More bodies are promised than there is memory for bodies, and none has begun."""
    address = urlsplit(server.http_url)
    head = (
        f"POST {urlsplit(server.api_url).path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        "Content-Type: image/jpeg\r\nContent-Length: 10000000\r\n\r\n"
    )
    idle = [socket.create_connection((address.hostname, address.port)) for _ in range(60)]
    try:
        for connection in idle:
            connection.sendall(head.encode())
        body = pictures.distinct_jpeg("prompt")
        for _ in range(3):
            answer = requests.post(server.api_url, body, headers={"Content-Type": "image/jpeg"}, timeout=30)
            assert answer.status_code == 200, answer.text
    finally:
        for connection in idle:
            connection.close()


def test_bodies_that_hold_all_memory_have_the_next_refused(new_server):
    """What is refused is told when to come again, and the memory comes back with those that held it."""
    # Its own, because it will have had all that memory; and with time for a slow machine to fill it.
    server = new_server(settings="[api]\ntimeout_s = 300\n").start()
    address = urlsplit(server.http_url)
    size = 10 << 20
    head = (
        f"POST {urlsplit(server.api_url).path}/uploads HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    )
    # 256 MiB are there for bodies; each of these has sent all but its last byte.
    holding = [socket.create_connection((address.hostname, address.port)) for _ in range(26)]
    body = pictures.distinct_jpeg("next") + bytes(3 << 20)

    def post():
        return requests.post(server.api_url, body, headers={"Content-Type": "image/jpeg"}, timeout=30)

    def has_arrived():
        return all(server.unread_bytes() == 0 for _ in range(3))

    try:
        for connection in holding[:25]:
            connection.sendall(head.encode() + bytes(size - 1))
        # The last one's buffer would double into what these still need, and the next request take what that one needs.
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
    until(lambda: post().status_code == 200, "the memory has come back")


def test_one_bad_object_holds_up_nobody(new_server):
    """One that is slow and written again and again, one that always fails, and good ones behind them."""
    server = new_server(settings=SETTINGS.replace("concurrency = 1", "concurrency = 2")).start()
    s3 = server.client()
    slow = slow_picture()
    for _ in range(3):
        s3.put_object(Bucket=SLOW, Key="slow.jpg", Body=slow)
        s3.put_object(Bucket=SOURCE, Key="bad.jpg", Body=pictures.damaged_jpeg())
    etags = {}
    for number in range(20):
        key = f"{number}.jpg"
        etags[key] = s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.distinct_jpeg(number))["ETag"]
    for key, etag in etags.items():
        server.thumbnail(f"thumb_{key}", etag, s3)
    server.wait_until_idle()
    counted = server.metrics()
    # Versions nobody had begun with were superseded by the next.
    assert counted['tintype_outcomes_total{outcome="made"}'] <= 20 + 3
    assert 1 <= counted["tintype_dead_letters"] <= 3


def test_sigterm_with_a_deep_queue_loses_nothing(new_server):
    server = new_server(settings=SETTINGS).start()
    s3 = server.client()
    slow = s3.put_object(Bucket=SLOW, Key="slow.jpg", Body=slow_picture())["ETag"]
    until(lambda: server.metrics()["ConcurrentExecutions"] == 1, "the worker is busy")
    etags = {}
    for number in range(40):
        key = f"{number}.jpg"
        etags[key] = s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.distinct_jpeg(number))["ETag"]
    # It ends although forty wait: what is under way is finished or released, the rest is left.
    assert server.stop() == 0
    s3 = server.start().client()
    for key, etag in etags.items():
        server.thumbnail(f"thumb_{key}", etag, s3)
    server.thumbnail("thumb_slow.jpg.webp", slow, s3, bucket="slow-thumbnails")
    server.wait_until_idle()
    assert server.metrics()["tintype_dead_letters"] == 0


def test_what_was_handled_in_time_is_told_when_the_rest_was_not(new_server):
    server = new_server(settings=SETTINGS + "[api]\ntimeout_s = 1\n").start()
    s3 = server.client()
    for number in range(4):
        s3.put_object(Bucket=SLOW, Key=f"{number}.jpg", Body=slow_picture(number))

    def record(bucket, key):
        return {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}

    until(lambda: server.metrics()["ConcurrentExecutions"] == 1, "the worker is busy")
    # The first is told at once: it is no record.
    records = [{}] + [record(SLOW, f"{number}.jpg") for number in range(4)]
    answer = requests.post(server.api_url, json={"Records": records}, timeout=60)
    assert answer.status_code == 504
    told = answer.json()
    assert told["message"] and 1 <= len(told["records"]) < len(records)
    assert told["records"][0]["reason"] == "bad_event"
    assert all(one["outcome"] in ("made", "up_to_date") for one in told["records"][1:])
