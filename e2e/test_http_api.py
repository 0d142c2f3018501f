"""The HTTP API."""

import errno
import socket
from urllib.parse import urlsplit

import pytest
import requests

import sample_images
from tintype import DESTINATION, SOURCE, Server

SHOP = "https://shop.example"


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    """A server that a shop's pages may call and that accepts small bodies only."""
    settings = f'[api]\ncors_origins = ["{SHOP}"]\nmax_body = "64 KiB"\n'
    server = Server(tmp_path_factory.mktemp("configured"), settings=settings)
    try:
        yield server.start()
    finally:
        server.kill()
        Server.shown.remove(server)


def call(server, method="GET", path=None, **how):
    url = server.api_url if path is None else server.http_url + path
    return requests.request(method, url, timeout=60, **how)


def stored(server, s3, key, body=None):
    etag = s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.jpeg() if body is None else body)["ETag"]
    return etag.strip('"')


def s3_event(*keys):
    def record(key):
        return {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "us-east-1",
            "eventTime": "2026-01-01T00:00:00.000Z",
            "eventName": "ObjectCreated:Put",
            "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": SOURCE}, "object": {"key": key}},
        }

    return {"Records": [record(key) for key in keys]}


def test_post_a_key(server, s3):
    stored(server, s3, "api/posted (1).jpg")
    server.thumbnail("thumb_api/posted (1).jpg")
    # Rendered once, then up to date.
    s3.delete_object(Bucket=DESTINATION, Key="thumb_api/posted (1).jpg")
    outcomes = []
    for _ in range(2):
        answer = call(server, "POST", json={"key": "api/posted (1).jpg"})
        assert answer.status_code == 200
        (record,) = answer.json()["records"]
        outcomes.append(record["outcome"])
        assert record["source"] == {"bucket": SOURCE, "key": "api/posted (1).jpg"}
        (rendition,) = record["renditions"]
        head = s3.head_object(Bucket=DESTINATION, Key=rendition["key"])
        assert rendition == {
            "bucket": DESTINATION, "key": "thumb_api/posted (1).jpg", "width": 128, "height": 96,
            "bytes": head["ContentLength"], "etag": head["ETag"].strip('"'),
        }  # fmt: skip
        assert record["milliseconds"] >= 0
    assert outcomes == ["made", "up_to_date"]


def test_post_records_of_s3(server, s3):
    stored(server, s3, "api/one two.jpg")
    stored(server, s3, "api/three.png", sample_images.png())
    stored(server, s3, "api/notes.txt", b"text")
    # In S3's events keys are form-encoded.
    event = s3_event("api/one+two.jpg", "api/missing.jpg", "api%2Fthree.png", "api/notes.txt")
    answer = call(server, "POST", json=event)
    assert answer.status_code == 200
    records = answer.json()["records"]
    assert [record["source"]["key"] for record in records] == [
        "api/one two.jpg", "api/missing.jpg", "api/three.png", "api/notes.txt",
    ]  # fmt: skip
    outcomes = [record["outcome"] for record in records]
    assert outcomes[1] == "failed" and outcomes[3] == "ignored"
    assert {outcomes[0], outcomes[2]} <= {"made", "up_to_date"}
    assert (records[1]["reason"], records[1]["permanent"]) == ("missing", True)
    server.thumbnail("thumb_api/one two.jpg")
    server.thumbnail("thumb_api/three.png")


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b"{}", b'{"key": 1}', b'{"key": ""}', b'{"Records": [{}]}'])
def test_post_what_is_no_event(server, body):
    answer = call(server, "POST", data=body, headers={"Content-Type": "application/json"})
    if answer.status_code == 200:
        # Records are judged one by one.
        assert [record["reason"] for record in answer.json()["records"]] == ["bad_event"]
    else:
        assert answer.status_code == 400
        assert answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "sent", "received", "kind"),
    [
        (sample_images.jpeg(), "image/jpeg", "image/jpeg", "JPEG"),
        (sample_images.png(640, 480), "image/png", "image/png", "PNG"),
        (sample_images.png(640, 480), "application/octet-stream", "image/png", "PNG"),
        (sample_images.gif(640, 480), "image/gif", "image/png", "PNG"),
    ],
)
def test_post_an_image(server, s3, body, sent, received, kind):
    before = s3.list_objects_v2(Bucket=SOURCE)["KeyCount"]
    answer = call(server, "POST", data=body, headers={"Content-Type": sent})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, received)
    thumbnail = sample_images.opened(answer.content)
    assert (thumbnail.format, thumbnail.size) == (kind, (128, 96))
    assert (answer.headers["X-Tintype-Width"], answer.headers["X-Tintype-Height"]) == ("128", "96")
    assert s3.list_objects_v2(Bucket=SOURCE)["KeyCount"] == before


def test_post_an_image_with_a_key_stores_it(server, s3):
    body = sample_images.jpeg(colour=sample_images.GREEN)
    answer = call(server, "POST", params={"key": "api/stored + here.jpg"}, data=body, headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == 200
    assert sample_images.opened(answer.content).size == (128, 96)
    got = s3.get_object(Bucket=SOURCE, Key="api/stored + here.jpg")
    assert (got["Body"].read(), got["ContentType"]) == (body, "image/jpeg")
    # The stored rendition is there with the response.
    head = s3.head_object(Bucket=DESTINATION, Key="thumb_api/stored + here.jpg")
    assert head["Metadata"]["tintype-source-etag"] == got["ETag"].strip('"')


def test_get(server, s3):
    stored(server, s3, "api/got.jpg")
    answer = call(server, params={"key": "api/got.jpg"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
    thumbnail = server.thumbnail("thumb_api/got.jpg")
    assert answer.content == thumbnail["Bytes"]
    # The tag has the source's version and the recipe: other thumbnails of the same source differ in the latter alone.
    source = s3.head_object(Bucket=SOURCE, Key="api/got.jpg")["ETag"].strip('"')
    assert answer.headers["ETag"] == f'"{source}-{thumbnail["Metadata"]["tintype-recipe"]}"'
    assert answer.headers["Vary"] == "Accept"
    assert answer.headers["Cache-Control"] == "max-age=300"
    assert "GMT" in answer.headers["Last-Modified"]

    head = call(server, "HEAD", params={"key": "api/got.jpg"})
    assert (head.status_code, head.content) == (200, b"")
    for name in ("ETag", "Content-Type", "Content-Length"):
        assert head.headers[name] == answer.headers[name]

    for condition in (answer.headers["ETag"], "*", f'"other", W/{answer.headers["ETag"]}'):
        again = call(server, params={"key": "api/got.jpg"}, headers={"If-None-Match": condition})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == answer.headers["ETag"]
    other = call(server, params={"key": "api/got.jpg"}, headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, answer.content)


def test_get_gives_the_new_version_at_once(server, s3):
    for colour in (sample_images.RED, sample_images.GREEN, sample_images.BLUE):
        stored(server, s3, "api/changing.jpg", sample_images.jpeg(colour=colour))
        answer = call(server, params={"key": "api/changing.jpg"})
        assert sample_images.is_near(sample_images.middle(sample_images.opened(answer.content)), colour)


@pytest.mark.parametrize(
    ("query", "kind", "size"),
    [
        ({"size": "64x64"}, "JPEG", (64, 48)),
        ({"size": "64x64", "fit": "cover"}, "JPEG", (64, 64)),
        ({"size": "64x64", "fit": "fill"}, "JPEG", (64, 64)),
        ({"size": "x100", "format": "png"}, "PNG", (133, 100)),
        ({"size": "100", "format": "webp", "quality": "50"}, "WEBP", (100, 75)),
    ],
)
def test_get_a_custom_rendition(server, s3, query, kind, size):
    stored(server, s3, "api/renditions.jpg")
    server.thumbnail("thumb_api/renditions.jpg")
    before = s3.list_objects_v2(Bucket=DESTINATION)["KeyCount"]
    answer = call(server, params={"key": "api/renditions.jpg", **query})
    assert answer.status_code == 200, answer.text
    thumbnail = sample_images.opened(answer.content)
    assert (thumbnail.format, thumbnail.size) == (kind, size)
    again = call(
        server, params={"key": "api/renditions.jpg", **query}, headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status_code == 304
    assert s3.list_objects_v2(Bucket=DESTINATION)["KeyCount"] == before


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("", "key"),
        ("?key=", "key"),
        ("?key=a.jpg&colour=red", "colour"),
        ("?url=http://127.0.0.1/a.jpg", "url"),
        ("?key=a.jpg&size=0", "0"),
        ("?key=a.jpg&size=99999", "99999"),
        ("?key=a.jpg&quality=101", "101"),
        ("?key=a.jpg&fit=squash", "squash"),
        ("?key=a.jpg&key=b.jpg", "twice"),
        ("?key=" + "k" * 1025, "1025"),
    ],
)
def test_wrong_queries(server, query, named):
    answer = requests.get(server.api_url + query, timeout=30)
    assert answer.status_code == 400
    assert named in answer.json()["message"]


def test_get_a_missing_object(server, s3):
    for query in ({"key": "api/missing.jpg"}, {"key": "api/missing.jpg", "size": "64x64"}):
        answer = call(server, params=query)
        assert answer.status_code == 404
        assert "api/missing.jpg" in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"no picture at all", 415), (b"", 415), (sample_images.corrupt_jpeg(), 422), (b"GIF89a", 422)],
)
def test_invalid_images(server, s3, body, status):
    posted = call(server, "POST", data=body, headers={"Content-Type": "image/jpeg"})
    assert posted.status_code == status, posted.text
    assert posted.json()["message"]
    posted = call(server, "POST", params={"key": "api/refused.jpg"}, data=body, headers={"Content-Type": "image/jpeg"})
    assert posted.status_code == status
    assert "Contents" not in s3.list_objects_v2(Bucket=SOURCE, Prefix="api/refused")
    stored(server, s3, "api/no image.jpg", body)
    got = call(server, params={"key": "api/no image.jpg"})
    assert got.status_code == status, got.text


def test_other_content_types(server):
    answer = call(server, "POST", data="x", headers={"Content-Type": "text/html"})
    assert answer.status_code == 415
    assert "text/html" in answer.json()["message"]


def test_bodies_have_a_bound(configured):
    fits = sample_images.jpeg(64, 64)
    assert call(configured, "POST", data=fits, headers={"Content-Type": "image/jpeg"}).status_code == 200
    large = fits + bytes(64 << 10)
    for body in (large, iter([large])):
        # The second is chunked, without a length.
        answer = call(configured, "POST", data=body, headers={"Content-Type": "image/jpeg"})
        assert answer.status_code == 413
        assert "max_body" in answer.json()["message"]


@pytest.mark.parametrize("path", ["/other", "/dev1", "/dev1/other", "/dev1/myimage/", "/dev2/myimage", "/%2e%2e/etc/passwd"])
def test_unknown_routes_are_refused_as_by_api_gateway(server, path):
    answer = call(server, path=path)
    assert (answer.status_code, answer.json()) == (403, {"message": "Missing Authentication Token"})


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_unknown_methods(server, method):
    answer = call(server, method)
    assert (answer.status_code, answer.json()) == (403, {"message": "Missing Authentication Token"})


def test_options(server):
    answer = call(server, "OPTIONS")
    assert answer.status_code in (200, 204)
    assert set(answer.headers["Allow"].replace(" ", "").split(",")) == {"GET", "HEAD", "OPTIONS", "POST"}
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_pages_of_a_configured_origin(configured):
    preflight_headers = {"Origin": SHOP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    preflight = call(configured, "OPTIONS", headers=preflight_headers)
    assert preflight.status_code in (200, 204)
    assert preflight.headers["Access-Control-Allow-Origin"] == SHOP
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "content-type" in preflight.headers["Access-Control-Allow-Headers"].lower()
    for answer in (
        call(configured, "POST", json={"key": "missing.jpg"}, headers={"Origin": SHOP}),
        # Errors too, so that the page can read them.
        call(configured, params={"key": "missing.jpg"}, headers={"Origin": SHOP}),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP
        assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Origin" not in call(configured, params={"key": "missing.jpg"}).headers


@pytest.mark.parametrize("origin", ["https://evil.example", "http://shop.example", SHOP + ".evil.example", "null"])
@pytest.mark.parametrize("path", [None, "/", "/metrics", "/healthz"])
def test_pages_of_other_origins_are_refused(configured, origin, path):
    for method in ("GET", "POST", "OPTIONS"):
        answer = call(configured, method, path, headers={"Origin": origin})
        assert answer.status_code == 403
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_its_own_pages_may_call(server):
    own = f"http://{urlsplit(server.http_url).netloc}"
    assert call(server, path="/metrics", headers={"Origin": own}).status_code == 200
    # Another port of this machine is another origin.
    assert call(server, path="/metrics", headers={"Origin": server.s3_url}).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""])
def test_a_rebound_name_is_refused(server, host):
    for path in (None, "/", "/metrics"):
        assert call(server, path=path, headers={"Host": host}).status_code in (400, 403)
    assert call(server, path="/healthz", headers={"Host": "localhost"}).status_code == 200


def test_health(server):
    assert call(server, path="/healthz").status_code == 200
    assert call(server, path="/readyz").status_code == 200


def test_an_s3_client_without_a_key_learns_the_s3_endpoint(server):
    for path, query, headers in [
        ("/", {}, {"User-Agent": "aws-cli/2.31.0 md/awscrt"}),
        (f"/{SOURCE}/a.jpg", {}, {"User-Agent": "Boto3/1.40.0"}),
        (f"/{SOURCE}", {"list-type": "2"}, {}),
        ("/metrics", {}, {"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"}),
    ]:
        answer = call(server, path=path, params=query, headers=headers)
        assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/xml"), answer.text
        assert f"<Code>InvalidRequest</Code><Message>this is the HTTP port; the S3 endpoint is {server.s3_url}<" in answer.text
    # Other clients are answered as before.
    assert call(server, path=f"/{SOURCE}/a.jpg").status_code == 403


def test_the_page(server):
    answer = call(server, path="/")
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (200, "text/html")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


EIGHT = {
    "Invocations": "counter",
    "Errors": "counter",
    "Throttles": "counter",
    "Duration": "histogram",
    "ConcurrentExecutions": "gauge",
    "AsyncEventsReceived": "counter",
    "AsyncEventAge": "histogram",
    "AsyncEventsDropped": "counter",
}


def test_metrics(new_server):
    server = new_server().start()
    answer = call(server, path="/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for name, kind in EIGHT.items():
        assert f"# TYPE {name} {kind}\n" in answer.text
    s3 = server.client()
    stored(server, s3, "a.jpg")
    server.thumbnail("thumb_a.jpg")
    stored(server, s3, "b.jpg", b"no image")
    server.wait_until_idle()
    assert call(server, "POST", json={"key": "a.jpg"}).status_code == 200
    counted = server.metrics()
    seen = {name: counted.get(name, counted.get(f"{name}_count")) for name in EIGHT}
    assert seen == {
        "Invocations": 3, "Errors": 1, "Throttles": 0, "Duration": 3, "ConcurrentExecutions": 0,
        "AsyncEventsReceived": 2, "AsyncEventAge": 2, "AsyncEventsDropped": 1,
    }  # fmt: skip


def test_throttling(new_server):
    server = new_server(settings="[api]\nrate = 1\nburst = 3\n").start()
    answers = [call(server, params={"key": "missing.jpg"}) for _ in range(12)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:3] == [404, 404, 404]
    throttled = [answer for answer in answers if answer.status_code == 429]
    assert throttled and all(int(answer.headers["Retry-After"]) >= 1 for answer in throttled)
    assert server.metrics()["Throttles"] == len(throttled)


def test_nonsense_on_the_wire(server):
    """Both ports refuse it."""
    for url in (server.http_url, server.s3_url):
        address = urlsplit(url)
        for nonsense in (b"\x00\xff" * 500 + b"\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                         b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n"):  # fmt: skip
            with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
                try:
                    connection.sendall(nonsense)
                    connection.shutdown(socket.SHUT_WR)
                    answer = connection.recv(100)
                except OSError as end:
                    # The connection may be closed before all of it is sent.
                    assert end.errno in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN), end
                    answer = b""
                assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert call(server, path="/readyz").status_code == 200


def test_a_form_of_more_than_two_mebibytes(server):
    noise = sample_images.noise(1000, 900)
    assert 2 << 20 < len(noise) < 10 << 20
    answer = requests.post(server.api_url, files={"file": ("noise.png", noise, "image/png")}, timeout=30)
    assert (answer.status_code, sample_images.opened(answer.content).size) == (200, (128, 115)), answer.text[:200]
