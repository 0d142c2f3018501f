"""Who needs no credentials: local programs, as long as no other party is configured and no proxy stands between."""

import json
import re
import signal
import socket
import tempfile
from urllib.parse import urlsplit

import pytest
import requests

import sample_images
from tintype import DESTINATION, SOURCE, run
from waiting import until

KEY = "a-key-of-the-shop-0123456789"
SHOP = "https://shop.example"
WITH_KEY = f'[[api.key]]\nname = "shop"\nkey = "{KEY}"\n'
FORWARDED = [
    {"X-Forwarded-For": "203.0.113.7"},
    {"X-Forwarded-Proto": "https"},
    {"X-Forwarded-Host": "images.example"},
    {"Forwarded": "for=203.0.113.7"},
    {"Via": "1.1 proxy"},
    {"X-Real-IP": "203.0.113.7"},
    {"X-Original-URL": "/"},
]
CONSOLE = [
    ("GET", "/"),
    ("GET", "/metrics/dashboard"),
    ("GET", "/gallery"),
    ("GET", "/operations"),
    ("GET", "/operations/state"),
    ("GET", "/backfills"),
    ("GET", "/buckets"),
    ("GET", "/summary"),
    ("GET", "/notifications"),
    ("GET", "/alt-texts"),
    ("GET", "/preview?key=a.jpg"),
    ("GET", "/download?key=a.jpg"),
    ("GET", "/graphs"),
    ("GET", "/results"),
    ("GET", "/events"),
    ("GET", "/ws"),
    ("GET", "/logs"),
    ("GET", "/object?key=a.jpg"),
    ("GET", "/picture?key=a.jpg"),
    ("GET", "/dead-letters"),
    ("GET", "/metrics"),
    ("GET", "/metrics/query?metric=Errors"),
    ("POST", "/upload?key=new.jpg"),
    ("POST", "/upload/check?key=new.jpg"),
    ("POST", "/delete?key=none.jpg"),
    ("POST", "/retry?key=a.jpg"),
    ("POST", "/dead-letters"),
    ("POST", "/backfill"),
    ("POST", "/backup"),
    ("POST", "/backfills?action=start"),
    ("POST", "/orphans"),
    ("POST", "/alt-texts"),
    ("POST", "/alt-text?key=none.jpg&language=en&text=A+bicycle"),
]
API = [
    ("GET", "/dev1/myimage?key=a.jpg"),
    ("GET", "/dev1/myimage?key=a.jpg&size=50"),
    ("HEAD", "/dev1/myimage?key=a.jpg"),
    ("GET", "/dev1/myimage/info?key=a.jpg"),
    ("GET", "/dev1/myimage/search?q=a"),
    ("POST", "/dev1/myimage/uploads"),
    ("POST", "/dev1/myimage"),
    ("POST", "/dev1/myimage?key=new.jpg"),
    ("GET", "/openapi.json"),
]
BODIES = {
    "/upload?key=new.jpg": (sample_images.jpeg(), "image/jpeg"),
    "/dev1/myimage?key=new.jpg": (sample_images.jpeg(), "image/jpeg"),
    "/backup": (b"action=begin", "application/x-www-form-urlencoded"),
    "/dead-letters": (b"action=purge&all=1", "application/x-www-form-urlencoded"),
    "/dev1/myimage": (b'{"key": "a.jpg"}', "application/json"),
    "/dev1/myimage/uploads": (b'{"key": "new.jpg"}', "application/json"),
}


def send(base, method, path, **how):
    body, kind = BODIES.get(path, (None, "application/x-www-form-urlencoded"))
    headers = how.pop("headers", {}) | ({"Content-Type": kind} if method == "POST" else {})
    return requests.request(method, base + path, data=body, headers=headers, timeout=30, stream=True, **how)


def filled(server):
    """A server with an image, its thumbnail and a dead letter."""
    s3 = server.client()
    s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    s3.put_object(Bucket=SOURCE, Key="broken.jpg", Body=sample_images.corrupt_jpeg())
    server.thumbnail("thumb_a.jpg")
    server.wait_until_idle()
    return server


def assert_nothing_is_open(server, base=None, **how):
    """Nothing can be read and nothing done."""
    base = base or server.http_url
    before = server.metrics()
    for method, path in CONSOLE:
        assert send(base, method, path, **how).status_code == 401, path
    for method, path in API:
        answer = send(base, method, path, **how)
        assert answer.status_code == 403, path
        assert method == "HEAD" or set(answer.json()) == {"message"}
    # Health is public.
    for path in ("/healthz", "/readyz"):
        assert send(base, "GET", path, **how).status_code == 200
    s3, after = server.client(), server.metrics()
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=SOURCE)["Contents"]] == ["a.jpg", "broken.jpg"]
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=DESTINATION)["Contents"]] == ["thumb_a.jpg"]
    for counter in ("tintype_dead_letters", "Invocations", "AsyncEventsReceived"):
        assert after[counter] == before[counter]


def assert_it_opens(server, base=None, key=KEY, **how):
    """With the root key everything is open to programs, with an API key the API."""
    base, headers = base or server.http_url, how.pop("headers", {})
    for method, path in CONSOLE:
        if path == "/ws":
            # A request that is no WebSocket's.
            assert send(base, method, path, headers=headers, auth=server.credentials, **how).status_code in (400, 426)
        elif path != "/events":
            answer = send(base, method, path, headers=headers, auth=server.credentials, **how)
            # A second backup is refused while the first is under way.
            # Nothing describes images here, and there is no such image.
            others = {"/backup": (200, 409), "/alt-texts": (200, 409)}
            expected = (404,) if path.startswith("/alt-text?") else others.get(path, (200, 202, 303))
            assert answer.status_code in expected, (path, answer.text)
    shown = [{"auth": server.credentials}] + ([{"headers": headers | {"X-Api-Key": key}}] if key else [])
    for method, path in API:
        for credentials in shown:
            answer = send(base, method, path, **{"headers": headers} | credentials, **how)
            assert answer.status_code == 200, (path, answer.text)


@pytest.mark.parametrize("headers", [{}, *FORWARDED])
def test_with_an_api_key_set_every_request_needs_one(new_server, headers):
    server = filled(new_server(settings=WITH_KEY).start())
    assert_nothing_is_open(server, headers=headers)
    assert_it_opens(server, headers=headers)


@pytest.mark.parametrize("settings", ["trust_loopback = false", 'trusted_proxies = ["10.0.0.5"]', 'trusted_proxies = ["127.0.0.1"]'])
def test_loopback_is_not_trusted_by_setting(new_server, settings):
    server = filled(new_server(settings=f"[listen]\n{settings}\n").start())
    for headers in ({}, FORWARDED[0]):
        assert_nothing_is_open(server, headers=headers)
    answer = send(server.http_url, "GET", "/openapi.json")
    assert "add an [[api.key]]" in answer.json()["message"]
    assert_it_opens(server, key=None)


def test_what_a_proxy_forwards_is_not_trusted(new_server):
    server = filled(new_server().start())
    assert send(server.http_url, "GET", "/logs").status_code == 200
    for headers in FORWARDED:
        assert_nothing_is_open(server, headers=headers)
    answer = send(server.http_url, "GET", "/openapi.json", headers=FORWARDED[0])
    assert "a proxy has forwarded this request" in answer.json()["message"]
    assert_it_opens(server, key=None, headers=FORWARDED[0])
    assert_it_opens(server, key=None)


def test_new_settings_close_what_was_open(new_server):
    server = new_server().start()
    url = f"{server.http_url}/logs"
    assert requests.get(url, timeout=30).status_code == 200
    for settings in (WITH_KEY, "", "[listen]\ntrust_loopback = false\n"):
        server.config.write_text(settings)
        server.process.send_signal(signal.SIGHUP)
        status = 401 if settings else 200
        until(lambda status=status: requests.get(url, timeout=30).status_code == status, f"{status} after {settings!r}")


def test_pages_of_allowed_origins_call_with_a_key_through_a_proxy(new_server):
    server = filled(new_server(settings=f'[api]\ncors_origins = ["{SHOP}"]\n{WITH_KEY}').start())
    headers = FORWARDED[0] | {"Origin": SHOP}
    preflight = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-api-key"}
    answer = requests.options(server.api_url, headers=headers | preflight, timeout=30)
    assert answer.status_code == 204
    assert "x-api-key" in answer.headers["Access-Control-Allow-Headers"].lower()
    for key, status in ((KEY, 200), ("wrong", 403), (None, 403)):
        sent = headers | ({"X-Api-Key": key} if key else {})
        answer = requests.get(server.api_url + "?key=a.jpg", headers=sent, timeout=30)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, SHOP)


def test_a_page_of_another_origin_gains_nothing_by_claiming_a_proxy(new_server):
    server = filled(new_server().start())
    for headers in ({"Host": "rebound.example"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert send(server.http_url, "GET", "/logs", headers=headers).status_code == 403
        claiming = headers | FORWARDED[0]
        assert send(server.http_url, "GET", "/logs", headers=claiming).status_code == 401
        for method, path in API:
            assert send(server.http_url, method, path, headers=claiming).status_code == 403
        assert send(server.http_url, "POST", "/dead-letters", headers=claiming).status_code in (401, 403)
    assert server.metrics()["tintype_dead_letters"] == 1


def test_only_a_trusted_proxy_is_believed(new_server):
    settings = f'[listen]\ntrusted_proxies = ["127.0.0.1"]\n{WITH_KEY}'
    server = new_server(settings=settings).start()
    access_key, secret = server.credentials
    form = {"access_key_id": access_key, "secret_access_key": secret}
    forwarded = {"X-Forwarded-For": "198.51.100.1, 203.0.113.7", "X-Forwarded-Proto": "https"}

    def seen(headers):
        """The effects of the headers: the cookie, the upload form's URL, the log's peer."""
        login = requests.post(f"{server.http_url}/login", data=form, headers=headers, allow_redirects=False, timeout=30)
        sent = headers | {"X-Api-Key": KEY}
        response = requests.post(f"{server.api_url}/uploads", json={"key": "a.jpg"}, headers=sent, timeout=30)
        id = response.headers["X-Amzn-Requestid"]
        until(lambda: id in server.log_text(), "the request is in the log")
        (line,) = (json.loads(line) for line in server.log_text().splitlines() if id in line)
        return "; Secure" in login.headers["set-cookie"], urlsplit(response.json()["url"]).scheme, line["peer"]

    assert seen(forwarded) == (True, "https", "203.0.113.7")
    assert seen({"Forwarded": 'for="[2001:db8::1]:4711";proto=https'}) == (True, "https", "2001:db8::1")
    secure, scheme, peer = seen({})
    assert (secure, scheme) == (False, "http") and peer.startswith("127.0.0.1:")

    server.stop()
    server.config.write_text(settings.replace("127.0.0.1", "10.0.0.5"))
    server.start()
    secure, scheme, peer = seen(forwarded)
    assert (secure, scheme) == (False, "http") and peer.startswith("127.0.0.1:")


def test_a_login_can_be_left_where_one_is_needed(new_server):
    server = new_server().start()
    assert "Log out" not in requests.get(server.http_url, timeout=30).text
    person = requests.Session()
    person.headers = {"Accept": "text/html", **FORWARDED[0]}
    assert "Log in" in person.get(server.http_url, timeout=30).text
    access_key, secret = server.credentials
    form = {"access_key_id": access_key, "secret_access_key": secret}
    assert "Log out" in person.post(f"{server.http_url}/login", data=form, timeout=30).text
    assert "Log in" in person.post(f"{server.http_url}/logout", timeout=30).text
    assert "Log in" in person.get(server.http_url, timeout=30).text


@pytest.mark.parametrize("settings", ["", "[listen]\ntrust_loopback = false\n", WITH_KEY])
def test_browsers_do_not_open_the_api_with_the_root_key(new_server, settings):
    """Once entered in the console, browsers send it with requests of pages of other origins, too."""
    server = filled(new_server(settings=settings).start())
    by_browser = [
        {"Origin": "https://evil.example"},
        {"Origin": server.http_url},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Dest": "image"},
    ]
    for headers in by_browser:
        # Where loopback is trusted, as a proxy forwards it: Basic must not open what is closed.
        headers = headers | ({} if settings else FORWARDED[0])
        for method, path in API:
            answer = send(server.http_url, method, path, headers=headers, auth=server.credentials)
            assert answer.status_code == 403, (headers, path)
        if settings == WITH_KEY:
            sent = headers | {"X-Api-Key": KEY}
            answer = send(server.http_url, "GET", "/openapi.json", headers=sent, auth=server.credentials)
            assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("settings", ["[listen]\ntrust_loopback = false\n", WITH_KEY])
def test_wrong_root_keys_are_no_keys(new_server, settings):
    server = filled(new_server(settings=settings).start())
    access_key, secret = server.credentials
    missing = send(server.http_url, "GET", "/openapi.json")
    for wrong in ((access_key, secret[:-1]), (access_key, secret + "a"), ("", ""), (secret, access_key)):
        answer = send(server.http_url, "GET", "/openapi.json", auth=wrong)
        assert (answer.status_code, answer.json()) == (403, missing.json())
        assert "WWW-Authenticate" not in answer.headers
    assert server.log_text().count("a wrong access key was refused") == 4
    # An API key is sufficient, even beside the credentials of a proxy's own login.
    if settings == WITH_KEY:
        headers = {"X-Api-Key": KEY}
        assert send(server.http_url, "GET", "/openapi.json", headers=headers, auth=("somebody", "else")).status_code == 200
        assert server.log_text().count("a wrong access key was refused") == 4


@pytest.mark.parametrize("settings", ["trust_loopback = false\n", f"trust_loopback = false\n{WITH_KEY}", 'http_unix = "{socket}"\n'])
def test_the_programs_own_commands_work(new_server, tmp_path, settings):
    # Its path is short enough for a socket.
    folder = tempfile.TemporaryDirectory()
    server = new_server(settings="[listen]\n" + settings.replace("{socket}", f"{folder.name}/http.sock"))
    server.ready = r"ready: S3 endpoint (http://\S+), HTTP API ((http://[^/]+)/[^\s,]+).*\n"
    filled(server.start())
    here = ["--config", server.config, "--data", server.data, "--http", urlsplit(server.http_url).netloc]
    event = tmp_path / "event.json"
    event.write_text('{"key": "a.jpg"}')
    for command in (
        ["status", "a.jpg"],
        ["logs"],
        ["dead-letters", "list"],
        ["backfill"],
        ["orphans"],
        ["invoke", "--event", event],
    ):
        done = run(*command, *here)
        assert done.returncode == 0, (command, done.stderr)
    letters = run("dead-letters", "purge", "--all", *here)
    assert letters.returncode == 0, letters.stderr
    assert server.metrics()["tintype_dead_letters"] == 0
    # Without access to the root key commands send the API key of the settings.
    access_key, secret = server.credentials
    (server.data / "credentials").unlink()
    done = run("invoke", "--event", event, *here)
    assert done.returncode == (0 if WITH_KEY in settings else 1), done.stderr
    given = {"TINTYPE_ACCESS_KEY_ID": access_key, "TINTYPE_SECRET_ACCESS_KEY": secret}
    assert run("invoke", "--event", event, *here, env=given).returncode == 0
    assert server.stop() == 0
    folder.cleanup()


@pytest.mark.parametrize("port", ["http_url", "s3_url"])
@pytest.mark.parametrize(
    ("target", "hosts"),
    [
        ("/", ["{own}", "{own}"]),
        ("/", ["{own}", "evil.example"]),
        ("/", []),
        ("/", ["{own} evil.example"]),
        ("/", ["user@{own}"]),
        ("http://evil.example/", ["{own}"]),
        ("http://{own}/", ["evil.example"]),
        ("http://user@{own}/", ["{own}"]),
        ("http://127.0.0.1:99999/", ["127.0.0.1"]),
        ("/", ["127.0.0.1:99999"]),
        ("/", ["127.0.0.1:+80"]),
    ],
)
def test_a_request_is_for_one_host(server, port, target, hosts):
    at = urlsplit(getattr(server, port))

    def status(target, hosts, version="1.1"):
        lines = [f"GET {target} HTTP/{version}", *(f"Host: {host}" for host in hosts), "Connection: close", "", ""]
        with socket.create_connection((at.hostname, at.port), timeout=30) as connection:
            connection.sendall("\r\n".join(lines).format(own=at.netloc).encode())
            return int(connection.makefile("rb").readline().split()[1])

    assert status(target, hosts) == 400
    # The right host is accepted, in every form.
    good = {status("/", ["{own}"]), status("http://{own}/", ["{own}"]), status("http://{own}/", ["{own}"], "1.0")}
    assert good == {200 if port == "http_url" else 403}


def test_no_response_may_be_sniffed_as_another_type(server, s3, bucket):
    s3.put_object(Bucket=SOURCE, Key="trust/a.jpg", Body=sample_images.jpeg())
    s3.put_object(Bucket=bucket, Key="page", Body=b"<script>alert(1)</script>", ContentType="text/plain")
    for url in (
        *(server.http_url + path for path in ("/", "/healthz", "/login", "/logs", "/page/script.js", "/picture?key=trust/a.jpg")),
        *(server.http_url + path for path in ("/picture?key=none", "/upload", "/nowhere", "/openapi.json")),
        *(server.api_url + path for path in ("?key=trust/a.jpg", "?key=none.jpg", "?size=wrong", "/info?key=trust/a.jpg")),
        s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "page"}),
        s3.generate_presigned_url("list_objects_v2", {"Bucket": bucket}),
        s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "none"}),
        *(server.s3_url + path for path in ("", "/none/none", "/%ff")),
    ):
        for method in ("GET", "HEAD", "OPTIONS", "POST", "DELETE", "BREW"):
            for headers in ({}, {"Host": "evil.example"}, {f"X-Header-{number}": "1" for number in range(200)}):
                answer = requests.request(method, url, headers=headers, allow_redirects=False, timeout=30)
                assert answer.headers["X-Content-Type-Options"] == "nosniff", (method, url)


PAGE = b"<!doctype html><script>alert(document.domain)</script>"
ACTIVE = {
    "HTML": PAGE,
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "PDF": b"%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n%%EOF\n",
}


@pytest.mark.parametrize("kind", ACTIVE)
@pytest.mark.parametrize("content_type", ["image/jpeg", "image/svg+xml", "text/html"])
def test_other_than_images_is_never_shown(server, s3, kind, content_type):
    folder = f"trust/{kind}/{content_type.partition('/')[2].partition('+')[0]}"
    key, other = f"{folder}/a.jpg", f"{folder}/b.jpg"
    s3.put_object(Bucket=SOURCE, Key=key, Body=ACTIVE[kind], ContentType=content_type)
    for url in (
        f"{server.http_url}/picture?key={key}",
        f"{server.api_url}?key={key}",
        f"{server.api_url}?key={key}&size=50",
        f"{server.api_url}/info?key={key}",
    ):
        answer = requests.get(url, timeout=30)
        assert ACTIVE[kind] not in answer.content
        # A drawing is rendered, without its script; the drawing itself is never the answer.
        if kind != "SVG" or url.startswith(f"{server.http_url}/picture"):
            expected = (415, "application/json")
        else:
            expected = (200, "application/json" if "/info?" in url else "image/png")
        assert (answer.status_code, answer.headers["Content-Type"]) == expected, url

    # Nor in place of a thumbnail, with all the metadata of a thumbnail.
    s3.put_object(Bucket=SOURCE, Key=other, Body=sample_images.jpeg())
    server.thumbnail(f"thumb_{other}")
    metadata = s3.head_object(Bucket=DESTINATION, Key=f"thumb_{other}")["Metadata"]
    s3.put_object(Bucket=DESTINATION, Key=f"thumb_{other}", Body=ACTIVE[kind], ContentType=content_type, Metadata=metadata)
    answer = requests.get(f"{server.api_url}?key={other}", timeout=30)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
    assert sample_images.opened(answer.content).size == (128, 96)
    shown = requests.get(f"{server.http_url}/picture?bucket={DESTINATION}&key=thumb_{other}", timeout=30)
    assert (shown.status_code, shown.headers["Content-Type"]) == (415, "application/json")


def test_an_image_is_shown_where_it_can_run_nothing(server, s3):
    s3.put_object(Bucket=SOURCE, Key="trust/shown.jpg", Body=sample_images.jpeg(), ContentType="text/html")
    shown = requests.get(f"{server.http_url}/picture?key=trust/shown.jpg", timeout=30)
    assert shown.headers["Content-Type"] == "image/jpeg"
    assert re.search(r"\bsandbox\b", shown.headers["Content-Security-Policy"])
