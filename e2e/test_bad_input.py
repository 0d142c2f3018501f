"""Bad input to the HTTP API: a status and a JSON message each, and nothing of it is stored."""

import json
import socket
import zlib
from urllib.parse import urlsplit

import pytest
import requests

import sample_images
from tintype import DESTINATION, SOURCE, Server

SHOP = "https://shop.example"
JPEG, JSON = {"Content-Type": "image/jpeg"}, {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A server with narrow bounds and one image."""
    settings = f'[api]\ncors_origins = ["{SHOP}"]\nmax_body = "256 KiB"\nmax_side = 1000\ntimeout_s = 2\n'
    settings += "[limits]\npixels = 1000000\n"
    server = Server(tmp_path_factory.mktemp("strict"), settings=settings)
    try:
        server.start()
        body = sample_images.png()
        requests.post(server.api_url, body, params={"key": "there.gif.png"}, headers=JPEG, timeout=30).raise_for_status()
        yield server
    finally:
        server.kill()
        Server.shown.remove(server)


def everything_stored(server):
    """Objects of both buckets, and the files of the data folder."""
    s3 = server.client()
    listed = [
        (bucket, found["Key"], found["ETag"])
        for bucket in (SOURCE, DESTINATION)
        for found in s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    ]
    files = [path for folder in ("objects", "incoming") for path in (server.data / folder).rglob("*") if path.is_file()]
    return listed, sorted(files)


@pytest.fixture(autouse=True)
def nothing_is_stored(strict):
    before = everything_stored(strict)
    assert before[0]
    yield
    assert everything_stored(strict) == before


def refused(answer, status, words=""):
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    message = answer.json()["message"]
    assert message and words in message


def on_the_wire(server, request):
    """Sends bytes and returns status and body."""
    at = urlsplit(server.http_url)
    with socket.create_connection((at.hostname, at.port), timeout=30) as connection:
        connection.sendall(request.replace(b"HOST", at.netloc.encode()))
        answer = connection.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"key": "a.jpg"', "line 1 column 15"),
        (b'{"key":\n"a.jpg",}', "line 2 column 9"),
        (b"", "line 1 column 0"),
        (b"[]", ""),
        (b'{"key": 1}', "not text"),
        (b'{"Records": [{}, {"s3": 1}]}', ""),
        (b'{"key": "' + b"k" * 1025 + b'"}', "1025 bytes"),
        (b"\xff\xfe", "line 1"),
    ],
)
def test_malformed_json(strict, body, words):
    refused(requests.post(strict.api_url, body, headers=JSON, timeout=30), 400, words)
    if body and not body.startswith(b'{"key": "k'):
        refused(requests.post(f"{strict.api_url}/uploads", body, headers=JSON, timeout=30), 400)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("colour=red", '"colour"'),
        ("url=http://127.0.0.1/a.jpg", '"url"'),
        ("size=64&size=65", "twice"),
        ("size=0", "not a box"),
        ("size=1001", "api.max_side"),
        ("size=x1001", "api.max_side"),
        ("size=-1", "not a box"),
        ("quality=0", "api.max_quality"),
        ("quality=101", "api.max_quality"),
        ("fit=squash", "squash"),
        ("format=svg", "svg"),
        ("gravity=up", "up"),
        ("scaling=slow", "sharp, fast"),
        ("background=red", "red"),
        ("size=%ff", "UTF-8"),
    ],
)
def test_queries(strict, query, words):
    refused(requests.get(f"{strict.api_url}?key=there.gif.png&{query}", timeout=30), 400, words)
    posted = requests.post(f"{strict.api_url}?key=new.jpg&{query}", sample_images.jpeg(), headers=JPEG, timeout=30)
    refused(posted, 400, words)


def bomb():
    """A PNG of 25 megapixels in a few kilobytes."""

    def chunk(kind, data):
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = (5000).to_bytes(4) * 2 + b"\x08\x00\x00\x00\x00"
    data = zlib.compress(bytes(5001 * 5000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("text", b"not an image at all", 415),
        ("empty", b"", 415),
        ("cut", sample_images.corrupt_jpeg(), 422),
        ("head only", b"GIF89a", 422),
        ("pixels", bomb(), 413),
        ("bytes", sample_images.noise(400, 300), 413),
    ],
)
def test_bodies_that_are_no_images_or_too_large(strict, name, body, status):
    for query in ("", "?key=new.jpg", "?key=new.dat", "?key=new.jpg&size=10"):
        refused(requests.post(strict.api_url + query, body, headers=JPEG, timeout=30), status)
        form = {"file": ("a.jpg", body, "image/jpeg")}
        refused(requests.post(strict.api_url + query, files=form, timeout=30), status)


def test_keys(strict):
    for query in ("key=missing.jpg", "key=../../../etc/passwd", "key=..%2f..%2fdata%2fcredentials", "key=/there.gif.png"):
        refused(requests.get(f"{strict.api_url}?{query}", timeout=30), 404, "does not exist")
        refused(requests.get(f"{strict.api_url}/info?{query}", timeout=30), 404, "does not exist")
    # The thumbnail's name would be too long, or is another image's.
    long = "k" * 1020 + ".jpg"
    refused(requests.post(strict.api_url, sample_images.jpeg(), params={"key": long}, headers=JPEG, timeout=30), 400, "bytes")
    other = requests.post(strict.api_url, sample_images.gif(), params={"key": "there.gif"}, headers=JPEG, timeout=30)
    refused(other, 409, "there.gif.png")
    long = requests.post(strict.api_url, sample_images.jpeg(), params={"key": "k" * 1025}, headers=JPEG, timeout=30)
    refused(long, 400, "1025 bytes")


@pytest.mark.parametrize(
    "path",
    [
        "/dev1/../dev1/myimage",
        "/dev1/%2e%2e/healthz",
        "//dev1/myimage",
        "/dev1//myimage",
        "/dev1/myimage/..%2finfo",
        "/dev1/myimage%00",
        "/DEV1/myimage",
        "/dev1/myimage;v=1",
        "/dev1/myimage/info/",
        "/etc/passwd",
    ],
)
def test_paths(strict, path):
    for method in ("GET", "POST", "PUT"):
        request = f"{method} {path}?key=there.gif.png HTTP/1.1\r\nHost: HOST\r\nOrigin: {SHOP}\r\nConnection: close\r\n\r\n"
        status, body = on_the_wire(strict, request.encode())
        assert (status, json.loads(body)) == (403, {"message": "Missing Authentication Token"})
    # A page of an allowed origin may read the refusal.
    answer = requests.get(strict.http_url + "/dev1/other", headers={"Origin": SHOP}, timeout=30)
    refused(answer, 403)
    assert answer.headers["Access-Control-Allow-Origin"] == SHOP


@pytest.mark.parametrize("path", ["/dev1/myimage?key=new.jpg", "/", "/metrics", "/openapi.json", "/other"])
def test_foreign_origins_and_rebound_hosts(strict, path):
    body = sample_images.jpeg()
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        for answer in (
            requests.post(strict.http_url + path, body, headers=JPEG | headers, timeout=30),
            requests.get(strict.http_url + path, headers=headers, timeout=30),
        ):
            if "Sec-Fetch-Site" in headers and answer.request.method == "GET" and path == "/":
                continue
            refused(answer, 403)
            assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("extra", [{f"X-{number}": "1" for number in range(150)}, {"X-Long": "x" * (20 << 10)}])
def test_header_floods(strict, extra):
    refused(requests.get(strict.api_url, headers=extra, timeout=30), 431, "head")
    posted = requests.post(strict.api_url, sample_images.jpeg(), params={"key": "new.jpg"}, headers=JPEG | extra, timeout=30)
    refused(posted, 431, "head")


def test_a_flood_without_end_is_cut_off(strict):
    request = b"POST /dev1/myimage?key=new.jpg HTTP/1.1\r\nHost: HOST\r\n" + b"X: y\r\n" * 5000 + b"\r\n"
    try:
        assert on_the_wire(strict, request)[0] == 431
    except (ConnectionResetError, BrokenPipeError):
        # It ended before all of it was sent.
        pass


@pytest.mark.parametrize("head", [b"Content-Length: 1000\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_slow_bodies(strict, head):
    request = b"POST /dev1/myimage?key=new.jpg HTTP/1.1\r\nHost: HOST\r\nContent-Type: image/jpeg\r\n" + head + b"\r\n"
    part = b"5\r\nparts\r\n" if b"chunked" in head else b"part of it"
    status, body = on_the_wire(strict, request + part)
    assert status == 408
    assert "did not arrive" in json.loads(body)["message"]


def test_a_side_left_open_is_bounded(strict):
    tall = sample_images.png(1, 60000)
    for size in ("256", "x900"):
        answer = requests.post(f"{strict.api_url}?size={size}", tall, headers=JPEG, timeout=30)
        assert answer.status_code == 200
        assert max(sample_images.opened(answer.content).size) <= 1000


def test_head_is_get_without_its_body(strict):
    for path in ("?key=there.gif.png", "/info?key=there.gif.png", "?key=missing.jpg", "?size=0"):
        got, head = requests.get(strict.api_url + path, timeout=30), requests.head(strict.api_url + path, timeout=30)
        assert (head.status_code, head.content) == (got.status_code, b"")
        own = ("Date", "x-amzn-requestid")
        assert {name: value for name, value in head.headers.items() if name.lower() not in map(str.lower, own)} == {
            name: value for name, value in got.headers.items() if name.lower() not in map(str.lower, own)
        }


def test_records_without_end(strict, server):
    """More than a request may have, and more than is parsed."""
    many = b'{"Records": [' + b"{}," * 1000 + b"{}]}"
    refused(requests.post(strict.api_url, many, headers=JSON, timeout=30), 400, "more than 1000 records")
    endless = b'{"Records": [' + b"{}," * 400_000 + b"{}]}"
    for path in ("", "/uploads"):
        refused(requests.post(server.api_url + path, endless, headers=JSON, timeout=30), 413, "1048576 bytes")


def test_the_file_of_a_form_must_be_an_image(strict):
    files = {"file": ("photo.html", sample_images.jpeg(), "text/html")}
    refused(requests.post(strict.api_url, files=files, timeout=30), 415, "text/html")


def test_a_login_is_short_and_comes_in_time(new_server):
    server = new_server(settings="[api]\ntimeout_s = 1\n").start()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    refused(requests.post(f"{server.http_url}/login", b"a=" + b"x" * 1_100_000, headers=form, timeout=30), 413, "1048576 bytes")
    head = b"POST /login HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\na="
    status, body = on_the_wire(server, head)
    assert (status, b"did not arrive" in body) == (408, True)
