"""Outputs of every command and route on fixed inputs, as recorded in e2e/recorded: every visible change shows up here.
recording.py describes how to renew them."""

import base64
import datetime
import hashlib
import hmac
import http.client
import json
import re
import socket
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import pytest

import sample_images
import signing
from recording import Recorder, ask, signed
from tintype import DESTINATION, SOURCE

# Bounds that otherwise depend on the machine.
SETTINGS = "[function]\nmemory_mb = 256\ntotal_memory_mb = 1024\nconcurrency = 1\nretries = 0\n"
SHOP = "https://shop.example"
FIRST, SECOND = "first-key-0123456789abcdef", "second-key-0123456789abcde"
FORM = {"content-type": "application/x-www-form-urlencoded"}
AS_JSON = {"accept": "application/json"}

SOURCES = {
    "photo.jpg": lambda: sample_images.jpeg(),
    "a b+\u00fc.jpg": lambda: sample_images.rotated_jpeg(),
    "raw/box.png": lambda: sample_images.png(300, 200),
    "raw/anim.gif": lambda: sample_images.gif(),
}
BROKEN = {"broken.jpg": sample_images.corrupt_jpeg, "text.jpg": lambda: b"no picture", "notes.txt": lambda: b"notes"}


@pytest.fixture
def recorder(request):
    return Recorder(request.function.__name__.removeprefix("test_"))


@pytest.fixture
def start(new_server, recorder):
    def start(settings=SETTINGS, sources=True, **how):
        server = recorder.knows(new_server(settings=settings, **how).start())
        if sources:
            for key, body in (SOURCES | BROKEN).items():
                put(server, key, body())
        return server

    return start


def put(server, key, body, bucket=SOURCE, **headers):
    """Stores an object and waits for its event, so that events are always in the same order."""
    status, _, answer = signing.request(server, "PUT", bucket, key, body, unsigned=headers)
    assert status == 200, answer
    server.wait_until_idle()


class Routes:
    """Sends requests to one port and records the responses."""

    def __init__(self, recorder, url):
        self.recorder, self.url = recorder, url

    def __call__(self, method, target, headers=None, body=None, note="", shown=None):
        sent = "".join(f"\n> {name}: {value}" for name, value in (headers or {}).items())
        title = f"{method} {target}{sent}" + (f"\n({note})" if note else "")
        if isinstance(body, str):
            title += f"\n> {body}" if body else ""
        return self.recorder.answer(title, ask(self.url, method, target, headers, body), shown)


class S3:
    """Sends signed requests to the S3 endpoint and records the responses."""

    def __init__(self, recorder, server):
        self.recorder, self.server = recorder, server

    def __call__(self, method, bucket="", key="", body=b"", query=None, note="", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        body = body.encode() if isinstance(body, str) else body
        amz = {name: value for name, value in headers.items() if name.startswith("x-amz-")}
        target = signing.path_of(bucket, key) if bucket else "/"
        target += f"?{urlencode(query, quote_via=quote)}" if query else ""
        unsigned = {name: value for name, value in headers.items() if not name.startswith("x-amz-")}
        answer = signed(self.server, method, bucket, key, body, query=query, more=amz, unsigned=unsigned)
        sent = "".join(f"\n> {name}: {value}" for name, value in headers.items())
        sent += f"\n> {body.decode()}" if body.startswith(b"<") else ""
        return self.recorder.answer(f"{method} {target}{sent}" + (f"\n({note})" if note else ""), answer)


COMMANDS = "serve demo make probe invoke check health backup restore status dead-letters backfill orphans logs cost completions".split()
DEAD_LETTER_ACTIONS = "list show redrive purge export".split()


def test_commands_help(recorder):
    recorder.command("--version")
    recorder.command("--help")
    recorder.command("help", "make")
    for command in COMMANDS:
        recorder.command(command, "--help")
    for action in DEAD_LETTER_ACTIONS:
        recorder.command("dead-letters", action, "--help")
    recorder.command("completions", "fish")
    recorder.finish()


def test_commands_usage(recorder, start, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    recorder.known[str(here)] = "<here>"
    (here / "a.jpg").write_bytes(sample_images.jpeg())
    (here / "file").write_bytes(b"")
    for words in (
        "", "mak", "serve --unknown", "serve --dat x", "make", "make a.jpg", "make a.jpg -o out --size 0x0", "make a.jpg -o out --size x",
        "make a.jpg -o out --fit squash", "make a.jpg -o out --quality 0", "make a.jpg -o out --format tiff",
        "make a.jpg -o out --filter lanzcos3", "make a.jpg -o out --effort most", "make a.jpg -o out --gravity up",
        "make a.jpg -o out --background green", "make a.jpg -o out --jobs 0", "make a.jpg -o file/under", "probe", "invoke",
        "invoke --event missing.json", "invoke --event file", "status", "dead-letters", "dead-letters lst", "dead-letters purge",
        "dead-letters redrive", "dead-letters show x", "logs --last x", "cost --compute-ms -1", "cost --picture nothing",
        "cost --store-ms 1", "completions tcsh", "status a.jpg --server http://127.0.0.1:1", "status a.jpg --server ftp://a",
        "check --config missing.toml", "serve --config missing.toml",
    ):  # fmt: skip
        recorder.command(*words.split(), cwd=here)
    for number, text in enumerate([
        "dat = 1", "[function]\ntimout_s = 1", "[function]\ntimeout_s = 0", '[function]\ntimeout_s = "x"', "[function]\nretries = 3",
        '[function]\nretry_delays = ["soon"]', '[function]\nmax_event_age = "7h"', "[limits]\npixels = 0", '[limits]\nsource_bytes = "1 XB"',
        "[[trigger]]\nbucket = \"A\"", '[[trigger]]\nbucket = "same-bucket"\ndestination = "same-bucket"',
        '[[trigger]]\nprefix = "a"\n[[trigger]]\nprefix = "ab"\ndestination = "other-bucket"',
        '[[trigger]]\n[[trigger.rendition]]\nkey = "thumb"', '[[trigger]]\n[[trigger.rendition]]\nkey = "{kay}"',
        '[[trigger]]\n[[trigger.rendition]]\nsize = "0"', '[[trigger]]\n[[trigger.rendition]]\nfit = "insid"',
        '[dead_letters]\nmax_age = "0s"', "[dead_letters]\nmax_count = 0", '[api]\nstage = "a/b"', "[api]\nmax_side = 0",
        '[api]\ncors_origins = ["shop"]', '[[api.key]]\nname = "a"\nkey = "short"', '[[api.key]]\nname = "a"',
        '[[api.route]]\nroute = "PUT /"\nrate = 1\nburst = 1', '[listen]\ns3 = "nowhere"', '[listen]\ntls_key = "x"',
        '[listen]\ntrusted_proxies = ["x"]', '[logs]\nformat = "xml"', '[logs]\notlp = "x"',
        'sandbox = "on"', "[function",
    ]):  # fmt: skip
        (here / f"{number}.toml").write_text(text + "\n")
        recorder.command("check", "--config", f"{number}.toml", "--data", "none", cwd=here, title=f"tintype check with the settings\n{text}")
    for name, value in (("TINTYPE_FUNCTION__TIMOUT_S", "1"), ("TINTYPE_FUNCTION__RETRIES", "x"), ("THUMBNAIL_SIZE", "big"), ("TINTYPE_ACCESS_KEY_ID", "only")):
        recorder.command("check", "--data", "none", "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0", cwd=here, env={name: value})
    (here / "foreign").mkdir()
    (here / "foreign" / "x").write_bytes(b"")
    server = start(sources=False)
    for words in ("--data foreign", f"--data {server.data}", f"--data other --s3 {urlsplit(server.s3_url).netloc} --http 127.0.0.1:0", "--data none --s3 127.0.0.1:0 --http 0.0.0.0:0"):
        # The kernel's sandbox support would be in the log.
        recorder.command("serve", *words.split(), cwd=here, env={"TINTYPE_SANDBOX": "off"})
    recorder.command("dead-letters", "list", "--reason", "malfromed", "--server", server.http_url, cwd=here)
    recorder.command("dead-letters", "purge", "--reason", "malfromed", "--server", server.http_url, cwd=here)
    recorder.command("dead-letters", "show", "1", "--server", server.http_url, cwd=here)
    recorder.finish()


def test_commands_files(recorder, tmp_path):
    recorder.known[str(tmp_path)] = "<here>"
    (tmp_path / "bounds.toml").write_text(SETTINGS + "[limits]\npixels = 1_000_000\n")
    for name, body in (SOURCES | BROKEN).items():
        (tmp_path / Path(name).name).write_bytes(body())
    (tmp_path / "large.png").write_bytes(sample_images.png(2000, 1000))
    (tmp_path / "empty.jpg").write_bytes(b"")
    names = sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".toml")
    how = ["--config", "bounds.toml"]
    # One at a time, so that the lines have an order.
    recorder.command("make", *names, "missing.jpg", "-o", "out", "--jobs", 1, *how, cwd=tmp_path)
    recorder.command("make", "photo.jpg", "-o", "out", "--size", "50x60", "--fit", "cover", "--format", "webp", "--gravity", "north", *how, cwd=tmp_path)
    recorder.command("make", "box.png", "-o", "out", "--size", "x40", "--fit", "contain", "--background", "transparent", "--effort", "best", *how, cwd=tmp_path)
    recorder.command("make", "anim.gif", "-o", "out", "--size", "900", "--enlarge", "--filter", "mitchell", "--format", "jpeg", "--quality", 50, *how, cwd=tmp_path)
    files = [f"{path.name} {sample_images.opened(path.read_bytes()).size} {path.stat().st_size} bytes" for path in sorted(tmp_path.glob("out/*"))]
    recorder.add("files in out", "\n".join(files))
    recorder.command("probe", *names, "missing.jpg", *how, cwd=tmp_path)
    recorder.command("check", *how, "--data", "none", "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0", cwd=tmp_path)
    recorder.command("cost", cwd=tmp_path)
    recorder.command("cost", "--arm64", "--compute-ms", "12.5", "--store-ms", "30", "--peak-mb", "45", cwd=tmp_path)
    recorder.finish()


def s3_event(*keys):
    records = [
        {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": SOURCE}, "object": {"key": key}}} for key in keys
    ]
    return json.dumps({"Records": records})


def test_commands_server(recorder, start, tmp_path):
    server = start()
    at = ["--server", server.http_url]

    def command(*words, **how):
        return recorder.command(*words, *at, cwd=server.folder, **how)

    def invoke(event, note):
        where = ["--data", server.data, "--config", server.config, "--s3", urlsplit(server.s3_url).netloc, "--http", urlsplit(server.http_url).netloc]
        recorder.command("invoke", *where, "--event", "-", stdin=event.encode(), cwd=server.folder, title=f"tintype invoke ({note})\n{event}")

    for key in (*SOURCES, *BROKEN, "missing.jpg"):
        command("status", key)
    command("status", "photo.jpg", "--bucket", "other-bucket")
    for words in ("list", "list --reason malformed", "list --prefix nothing", "list --reason Unsupported", "show --all", "export", "export -o letters.jsonl"):
        command("dead-letters", *words.split())
    recorder.add("letters.jsonl", recorder.text((server.folder / "letters.jsonl").read_text()))
    for words in ("logs", "logs --failed", "logs --last 1", "logs --key photo.jpg", "backfill --dry-run", "orphans"):
        command(*words.split())
    invoke('{"key": "photo.jpg"}', "by the server")
    invoke(s3_event("photo.jpg", "missing.jpg", "notes.txt"), "by the server")
    invoke("no event", "by the server")
    for key in ("raw/box.png", "a b+\u00fc.jpg"):
        assert signing.request(server, "DELETE", DESTINATION, f"thumb_{key}")[0] == 204
    assert signing.request(server, "DELETE", SOURCE, "raw/anim.gif")[0] == 204
    for words in ("status raw/box.png", "backfill --dry-run --prefix raw/", "backfill --dry-run", "orphans", "orphans --delete --prefix thumb_raw", "orphans", "backfill"):
        command(*words.split())
        server.wait_until_idle()
    command("status", "raw/box.png")
    command("dead-letters", "redrive", "--prefix", "text")
    server.wait_until_idle()
    command("status", "text.jpg")
    for words in ("purge --reason unsupported", "purge --all", "list"):
        command("dead-letters", *words.split())
    running = ["--data", server.data, "--s3", urlsplit(server.s3_url).netloc, "--http", urlsplit(server.http_url).netloc]
    for words in ("", "--scrub", "--repair"):
        recorder.command("check", *words.split(), *running, cwd=server.folder, title=f"tintype check {words} (while a server runs)")
    assert server.stop() == 0
    where = ["--data", server.data, "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0", "--config", server.config]
    for words in ("", "--scrub", "--repair"):
        recorder.command("check", *words.split(), *where, cwd=server.folder, title=f"tintype check {words} (without a server)")
    invoke('{"key": "photo.jpg"}', "without a server")
    command("status", "photo.jpg")
    recorder.finish()


def test_http_api(recorder, start):
    server = start(SETTINGS + f'[api]\ncors_origins = ["{SHOP}"]\nmax_body = "64 KiB"\nmax_side = 1000\n')
    api = Routes(recorder, server.http_url)
    path = "/dev1/myimage"
    at = lambda query, below="": f"{path}{below}?{query}"
    photo = at("key=photo.jpg")
    for target in (path, f"{path}/info", f"{path}/uploads", "/openapi.json"):
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            # The description itself has a file of its own.
            api(method, target, shown="(the description)" if (method, target) == ("GET", "/openapi.json") else None)
    _, headers, _ = api("GET", photo)
    for sent in (
        {"if-none-match": headers["etag"]}, {"if-none-match": '"other"'}, {"if-none-match": "*"}, {"accept": "image/webp"},
        {"accept": "image/png"}, {"accept": "text/html"}, {"origin": SHOP}, {"origin": "https://other.example"}, {"range": "bytes=0-9"},
        {"if-modified-since": "Mon, 01 Jan 1990 00:00:00 GMT"},
    ):  # fmt: skip
        api("GET", photo, sent)
    api("HEAD", photo)
    for query in (
        "size=64x64&fit=cover&format=webp", "size=x50&quality=10&format=jpeg", "size=50&fit=contain&background=00ff00&format=png",
        "size=60x10&fit=fill&gravity=east", "size=0", "size=1001", "size=big", "fit=squash", "format=tiff", "quality=0", "quality=101", "gravity=up",
        "background=green", "unknown=1", "key=other.jpg", "format=same",
    ):  # fmt: skip
        api("GET", photo + "&" + query)
    for key in ("a%20b%2B%C3%BC.jpg", "raw/box.png", "raw/anim.gif", "broken.jpg", "text.jpg", "notes.txt", "missing.jpg", "", "a" * 1025):
        for below in ("", "/info"):
            api("GET", at(f"key={key}", below), note=f"a key of {len(key)} bytes" if len(key) > 99 else "")
    api("HEAD", at("key=photo.jpg", "/info"))
    in_json = {"content-type": "application/json"}
    for body in ('{"key": "photo.jpg"}', '{"key": "missing.jpg"}', '{"key": "broken.jpg"}', '{"key": "notes.txt"}', '{"key": 1}', '{"key": ""}', "{}", "[]", "", "no json",
                 s3_event("photo.jpg", "a+b%2B%C3%BC.jpg", "missing.jpg"), '{"Records": [{}]}', '{"Records": []}', '{"key": "photo.jpg", "more": 1}'):  # fmt: skip
        api("POST", path, in_json, body)
    _, headers, _ = api("POST", path, in_json | {"prefer": "respond-async"}, '{"key": "photo.jpg"}')
    server.wait_until_idle()
    if location := headers.get("location"):
        api("GET", location.removeprefix(server.http_url))
    images = {"image/jpeg": sample_images.jpeg(), "image/png": sample_images.png(300, 200), "application/octet-stream": sample_images.gif(), "image/webp": b"no picture", "text/plain": b"text"}
    for kind, body in images.items():
        api("POST", path, {"content-type": kind}, body)
    api("POST", path, {"content-type": "image/jpeg"}, b"")
    api("POST", path, None, sample_images.jpeg(), note="no type")
    api("POST", path, {"content-type": "image/jpeg"}, bytes(65 * 1024), note="larger than max_body")
    api("POST", path, {"content-type": "image/jpeg"}, sample_images.corrupt_jpeg(), note="corrupt")
    for key in ("posted.jpg", "posted.txt", "", "raw/posted.png"):
        api("POST", at(f"key={key}"), {"content-type": "image/jpeg"}, sample_images.jpeg())
    api("POST", at("key=posted-corrupt.jpg"), {"content-type": "image/jpeg"}, sample_images.corrupt_jpeg())
    api("GET", at("key=posted-corrupt.jpg", "/info"))
    boundary = {"content-type": "multipart/form-data; boundary=b"}
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    api("POST", path, boundary, part + sample_images.jpeg() + b"\r\n--b--\r\n", note="a form with a file")
    api("POST", path, boundary, part + sample_images.jpeg(), note="a form without its end")
    api("POST", path, boundary, b"--b--\r\n", note="a form without a file")
    api("POST", path, boundary, (part + sample_images.jpeg() + b"\r\n") * 2 + b"--b--\r\n", note="a form with two files")
    for body in ('{"key": "form.jpg"}', '{"key": "form.jpg", "content_type": "image/jpeg", "expires_s": 60}', '{"key": "form.txt"}', '{"key": ""}', "{}", '{"key": "form.jpg", "expires_s": 0}',
                 '{"key": "form.jpg", "expires_s": 1000000}', '{"key": "form.jpg", "content_type": ""}', '{"key": "form.jpg", "more": 1}', "no json"):  # fmt: skip
        api("POST", f"{path}/uploads", in_json, body)
    api("OPTIONS", path, {"origin": SHOP, "access-control-request-method": "POST", "access-control-request-headers": "content-type"})
    api("OPTIONS", path, {"origin": "https://other.example", "access-control-request-method": "POST"})
    api("GET", at("key=missing.jpg"), {"origin": SHOP})
    for target in ("/nowhere", "/dev1", "/dev1/myimage/", "/dev1/myimage/other", "/dev2/myimage", "//"):
        api("GET", target)
    for sent in ({"host": "elsewhere.example"}, {"host": "a b"}, {"origin": "https://evil.example"}, {"x-forwarded-for": "192.0.2.1"}):
        api("GET", "/healthz", sent)
        api("GET", photo, sent)
    api("GET", photo, {f"x-header-{number}": "1" for number in range(110)})
    # Two hosts, which no library sends.
    with socket.create_connection((urlsplit(server.http_url).hostname, urlsplit(server.http_url).port), timeout=30) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        recorder.answer("GET /healthz\n(two Host headers)", (answer.status, answer.headers, answer.read()))
    recorder.finish()


def test_http_keys(recorder, start):
    keys = "".join(f'[[api.key]]\nname = "{name}"\nkey = "{key}"\n{more}' for name, key, more in (("first", FIRST, ""), ("second", SECOND, "daily = 2\n")))
    server = start(SETTINGS + f'[api]\ncors_origins = ["{SHOP}"]\n' + keys, sources=False)
    api = Routes(recorder, server.http_url)
    path = "/dev1/myimage?key=missing.jpg"
    for sent in ({}, {"x-api-key": "wrong"}, {"x-api-key": FIRST}, {"origin": SHOP}, {"x-api-key": FIRST, "x-forwarded-for": "192.0.2.1"}):
        api("GET", path, sent)
    for _ in range(3):
        api("GET", path, {"x-api-key": SECOND})
    api("OPTIONS", path, {"origin": SHOP, "access-control-request-method": "GET", "access-control-request-headers": "x-api-key"})
    api("GET", "/openapi.json")
    for target in ("/healthz", "/readyz", "/", "/metrics", "/logs", "/login", "/page/icon.svg"):
        api("GET", target, note="no key", shown="(the icon)" if target.endswith("svg") else None)
    api("GET", "/", {"accept": "text/html"})
    known, secret = server.credentials
    for user, word in ((known, secret), (known, "wrong")):
        token = base64.b64encode(f"{user}:{word}".encode()).decode()
        answer = ask(server.http_url, "GET", "/dead-letters", AS_JSON | {"authorization": f"Basic {token}"})
        recorder.answer(f"GET /dead-letters\n(Basic authentication with the {'root key' if word == secret else 'wrong secret'})", answer)
    form = urlencode({"access_key_id": known, "secret_access_key": secret})
    answer = ask(server.http_url, "POST", "/login", FORM, form)
    cookie = answer[1]["set-cookie"].partition(";")[0]
    recorder.known[cookie.partition("=")[2]] = "<token 1>"
    recorder.answer("POST /login\n(the root key)", answer)
    api("GET", "/dead-letters", AS_JSON | {"cookie": cookie})
    api("POST", "/dead-letters", AS_JSON | FORM | {"cookie": cookie, "origin": "https://evil.example"}, "action=purge&all=1")
    api("POST", "/logout", {"cookie": cookie})
    api("GET", "/dead-letters", AS_JSON | {"cookie": cookie})
    api("POST", "/login", FORM, "access_key_id=a&secret_access_key=b")
    api("POST", "/login", FORM, "access_key_id=a")
    recorder.finish()


def test_console(recorder, start):
    server = start()
    page = Routes(recorder, server.http_url)
    html = {"accept": "text/html"}
    for target in ("/", "/?bucket=no-such-bucket", "/?only=none", "/?range=3h", "/metrics/dashboard", "/metrics/dashboard?range=3h", "/metrics/dashboard?range=2h", "/object?key=photo.jpg", "/object?key=broken.jpg", "/object?key=notes.txt", "/object?key=missing.jpg",
                   "/object?key=a&bucket=no-such-bucket", "/object", "/dead-letters", "/dead-letters?reason=malformed&text=bro", "/dead-letters?text=nothing",
                   "/dead-letters?reason=malfromed", "/dead-letters?unknown=1", "/results", "/results?only=failed", "/results?text=nothing", "/login"):  # fmt: skip
        # The dashboard's charts are the same whatever the range.
        page("GET", target, html, shown="[…] as the dashboard above" if target == "/metrics/dashboard?range=3h" else None)
    page("GET", "/graphs", html, shown="[…] as in the dashboard")
    page("GET", "/graphs?range=2h")
    page("GET", "/graphs?start=yesterday")
    for target in ("/page/script.js", "/page/icon.svg"):
        status, headers, _ = ask(server.http_url, "GET", target)
        del headers["etag"], headers["content-length"]
        recorder.answer(f"GET {target}", (status, headers, b""))
    for target in ("?key=photo.jpg", f"?bucket={DESTINATION}&key=thumb_photo.jpg", "?key=raw/anim.gif", "?key=text.jpg", "?key=missing.jpg", "", "?bucket=none-such&key=a"):
        page("GET", f"/picture{target}")
    for target in ("/gallery", "/gallery?key=photo.jpg&key=none.jpg", "/gallery?bucket=no-such-bucket", "/gallery?last=x", "/buckets", "/backfills"):  # fmt: skip
        page("GET", target, AS_JSON)
    for target in ("/download?key=missing.jpg", "/render?key=photo.jpg&size=9x", "/render?key=photo.jpg&quality=0", "/render?key=text.jpg&size=20", "/preview?key=missing.jpg"):
        page("GET", target)
    for body in ("", "key=missing.jpg", "keys=a", "key="):
        page("POST", "/delete", FORM | AS_JSON, body)
        page("POST", "/upload/check", FORM | AS_JSON, body)
    for body in ("", "action=stop", "action=pause"):
        page("POST", "/backfills", FORM | AS_JSON, body)
    for target in ("/object?key=photo.jpg", "/object?key=broken.jpg", "/object?key=missing.jpg", "/object", "/dead-letters", "/dead-letters?reason=malformed",
                   "/dead-letters?prefix=text", "/dead-letters?id=1", "/dead-letters?before=1", "/dead-letters?before=x", "/dead-letters?reason=malfromed", "/dead-letters?all=1"):  # fmt: skip
        page("GET", target, AS_JSON)
    for body in ("action=purge", "action=purge&all=0", "action=drop&all=1", "action=purge&id=1", "action=purge&id=x", "action=purge&all=1&id=1", "action=purge&all=1&before=1",
                 "action=redrive&all=1&prefix=text", "action=purge&all=1&reason=malformed", "unknown=1"):  # fmt: skip
        page("POST", "/dead-letters", FORM | AS_JSON, body)
        server.wait_until_idle()
    page("POST", "/dead-letters", FORM | {"origin": "https://evil.example"}, "action=purge&all=1")
    page("POST", "/dead-letters", FORM, "action=purge&all=1")
    for target, sent in (("/retry?key=photo.jpg", AS_JSON), ("/retry?key=photo.jpg", {}), ("/retry?key=missing.jpg", AS_JSON), ("/retry?key=notes.txt", AS_JSON), ("/retry", AS_JSON)):
        page("POST", target, FORM | sent, "")
        server.wait_until_idle()
    page("POST", "/upload?key=dropped.jpg", {"content-type": "image/jpeg"}, sample_images.jpeg())
    server.wait_until_idle()
    page("POST", "/upload?key=dropped.txt", {"content-type": "text/plain"}, b"text")
    page("POST", "/upload", {}, b"text")
    page("POST", "/upload?bucket=no-such-bucket&key=a.jpg", {}, b"text")
    for target, body in (("/backfill", ""), ("/backfill", "dry_run=true&prefix=raw/"), ("/backfill", "dry=1"), ("/orphans", ""), ("/orphans", "delete=true&prefix=none"), ("/orphans", "delete=maybe")):
        page("POST", target, FORM, body)
    for method, target in (("POST", "/"), ("DELETE", "/dead-letters"), ("GET", "/retry"), ("GET", "/upload"), ("GET", "/backfill"), ("GET", "/logout"), ("PUT", "/metrics"), ("GET", "/page/other")):
        page(method, target)
    recorder.finish()


def folded(found):
    """A response of /metrics/query without its interval boundaries."""
    if "values" in found:
        is_count = found["statistic"] in ("Sum", "SampleCount") and found["metric"] in EXACT
        found |= dict.fromkeys(("start", "start_ms", "end", "end_ms", "timestamps", "timestamps_ms"), "…")
        found |= {"values": sum(found["values"]) if is_count else "…"}
    return json.dumps(found, ensure_ascii=False)


# Counters that depend on the inputs alone.
EXACT = {"Made", "UpToDate", "Failed", "Ignored", "AsyncEventsReceived", "AsyncEventsDropped", "Throttles"}


def test_telemetry(recorder, start):
    server = start()
    route = Routes(recorder, server.http_url)
    for target in ("/healthz", "/readyz", "/openapi.json"):
        route("GET", target)
        route("HEAD", target)
        route("POST", target)
    answer = ask(server.http_url, "GET", "/metrics")
    lines = answer[2].decode().splitlines()
    names = [re.sub(r',?le="[^"]*"', "", line).rpartition(" ")[0] if not line.startswith("#") else line for line in lines]
    # Each name once, in the order of the text.
    recorder.answer("GET /metrics\n(names and help, without values and bounds)", answer, "\n".join(dict.fromkeys(names)) + "\n[…]")
    metrics = re.search(rb"There are (.*?)[\"]", ask(server.http_url, "GET", "/metrics/query?metric=x")[2])[1].decode().split(", ")
    series = [(metric, statistic) for metric in metrics for statistic in ("Sum", "p95")]
    series += [("Duration", statistic) for statistic in ("Average", "Minimum", "Maximum", "SampleCount", "p50", "p99")]
    lines = []
    for metric, statistic in series:
        status, _, body = ask(server.http_url, "GET", f"/metrics/query?metric={metric}&statistic={statistic}&period=3600")
        lines.append(f"{metric} {statistic}: {status} {folded(json.loads(body))}")
    recorder.add("GET /metrics/query?metric=…&statistic=…&period=3600", "\n".join(lines))
    route("GET", "/metrics/query?metric=Made&period=3600&start=2099-01-01T00:00Z")
    for query in ("", "metric=Duratoin", "metric=Duration&statistic=p42", "metric=Duration&period=7", "metric=Duration&period=x", "metric=Duration&start=soon", "metric=Duration&start=9999999999",
                  "metric=Duration&start=2000-01-01T00:00Z", "metric=Duration&end=0", "metric=Duration&unknown=1"):  # fmt: skip
        route("GET", f"/metrics/query?{query}")
    for query in ("", "?failed=true", "?last=2", "?last=x", "?key=photo.jpg", "?key=nothing", "?unknown=1"):
        route("GET", f"/logs{query}")
    followed(recorder, server)
    recorder.finish()


def followed(recorder, server):
    """Live results of /events and /logs."""
    for target in ("/events", "/logs?follow=true&last=0"):
        connection = http.client.HTTPConnection(urlsplit(server.http_url).netloc, timeout=60)
        connection.request("GET", target)
        answer = connection.getresponse()
        lines = []
        if target == "/events":
            # The first block confirms the subscription.
            lines += iter(lambda: answer.readline().decode().strip(), "")
            lines.append("")
        put(server, "followed.jpg", sample_images.jpeg())
        lines += [answer.readline().decode().strip() for _ in range(2 if target == "/events" else 1)]
        connection.close()
        shown = [tags_of_event(recorder, line) for line in lines]
        recorder.answer(f"GET {target}\n(and an upload)", (answer.status, answer.headers, b""), "\n".join(shown))


def tags_of_event(recorder, line):
    name, _, data = line.partition("data: {")
    if not data:
        return recorder.text(line)
    found = json.loads("{" + data)
    html = found.pop("html")
    return f"{name}data: " + recorder.stable(json.dumps(found)) + "\nhtml: " + recorder.body({"content-type": "text/html"}, html.encode())


def test_server_log(recorder, start):
    """The process's output: the ready line, and one line of JSON for each event."""
    server = start('sandbox = "off"\n' + SETTINGS)
    for target in ("/healthz", "/dev1/myimage?key=photo.jpg", "/nowhere", "/dead-letters"):
        ask(server.http_url, "GET", target, AS_JSON if target == "/dead-letters" else None)
    ask(server.http_url, "POST", "/dev1/myimage", {"content-type": "application/json"}, '{"key": "missing.jpg"}')
    signing.request(server, "GET", SOURCE, "missing")
    assert server.stop() == 0
    lines = [line for line in server.log_text().splitlines() if '"path":"/metrics"' not in line]
    # A response with durations varies in length.
    lines = [re.sub(r'"bytes":\d+(?=.*"method":"POST")', '"bytes":"…"', line) for line in lines]
    recorder.add("the log", "\n".join(recorder.text(line) for line in lines))
    recorder.add("exit code at SIGTERM", "0")
    recorder.finish()


def test_s3_objects(recorder, start):
    server = start(sources=False)
    s3 = S3(recorder, server)
    s3("PUT", "plain")
    s3("PUT", "plain", "a.txt", b"hello", content_type="text/plain", cache_control="no-store", content_disposition="attachment", content_encoding="identity",
       content_language="en", expires="Thu, 01 Jan 2032 00:00:00 GMT", x_amz_meta_colour="red")  # fmt: skip
    digest = lambda kind, body: base64.b64encode(hashlib.new(kind, body).digest()).decode()
    s3("PUT", "plain", "sha256", b"hello", x_amz_checksum_sha256=digest("sha256", b"hello"))
    s3("PUT", "plain", "sha1", b"hello", x_amz_checksum_sha1=digest("sha1", b"hello"))
    s3("PUT", "plain", "crc32", b"hello", x_amz_checksum_crc32="NhCmhg==")
    s3("PUT", "plain", "md5", b"hello", content_md5=digest("md5", b"hello"))
    s3("PUT", "plain", "empty")
    s3("PUT", "plain", "dir/")
    for key in ("a b+c", "\u00fc/\u65e5\u672c", "a//b", "a&<b>\"'"):
        s3("PUT", "plain", key, b"odd")
        s3("GET", "plain", key)
    # Refused.
    s3("PUT", "plain", "bad", b"hello", x_amz_checksum_sha256=digest("sha256", b"other"))
    s3("PUT", "plain", "bad", b"hello", content_md5=digest("md5", b"other"))
    s3("PUT", "plain", "bad", b"hello", content_md5="x")
    s3("PUT", "plain", "k" * 1025, b"hello", note="a key of 1,025 bytes")
    s3("PUT", "missing-bucket", "a", b"hello")
    s3("PUT", "plain", "a.txt", b"other", if_none_match="*")
    s3("PUT", "plain", "a.txt", b"other", if_match='"0"')
    s3("PUT", "plain", "bad", b"hello", x_amz_acl="public-read")
    s3("PUT", "plain", "bad", b"hello", x_amz_storage_class="GLACIER")
    s3("PUT", "plain", "bad", b"hello", x_amz_server_side_encryption="AES256")
    s3("PUT", "plain", "bad", b"hello", x_amz_tagging="a=b")
    s3("PUT", "plain", "bad", b"hello", x_amz_expected_bucket_owner="111122223333")
    s3("PUT", "plain", "bad", b"hello", **{f"x-amz-meta-{'m' * 2100}": "1", "note": "2,100 bytes of metadata"})
    # Read.
    etag = '"5d41402abc4b2a76b9719d911017c592"'
    for method in ("GET", "HEAD"):
        s3(method, "plain", "a.txt")
        s3(method, "plain", "sha256", x_amz_checksum_mode="ENABLED")
        s3(method, "plain", "missing")
        s3(method, "missing-bucket", "a")
        for sent in ({"range": "bytes=1-2"}, {"range": "bytes=-2"}, {"range": "bytes=9-"}, {"range": "bytes=0-0,2-2"}, {"if-match": etag}, {"if-match": '"0"'}, {"if-none-match": etag},
                     {"if-modified-since": "Thu, 01 Jan 2037 00:00:00 GMT"}, {"if-unmodified-since": "Mon, 01 Jan 1990 00:00:00 GMT"}):  # fmt: skip
            s3(method, "plain", "a.txt", **sent)
        s3(method, "plain", "a.txt", query={"response-content-type": "text/html", "response-cache-control": "no-cache"})
        s3(method, "plain", "a.txt", query={"partNumber": "1"})
        s3(method, "plain", "a.txt", query={"partNumber": "2"})
        s3(method, "plain", "a.txt", query={"versionId": "1"})
    # Copied.
    s3("PUT", "plain", "copy", x_amz_copy_source="/plain/a.txt")
    s3("PUT", "plain", "copy", x_amz_copy_source="/plain/a.txt", x_amz_metadata_directive="REPLACE", x_amz_meta_colour="blue")
    s3("GET", "plain", "copy")
    s3("PUT", "plain", "a.txt", x_amz_copy_source="/plain/a.txt")
    s3("PUT", "plain", "copy", x_amz_copy_source="/plain/missing")
    s3("PUT", "plain", "copy", x_amz_copy_source="plain")
    s3("PUT", "plain", "copy", x_amz_copy_source="/plain/a.txt", x_amz_copy_source_if_none_match=etag)
    # Deleted.
    s3("DELETE", "plain", "copy")
    s3("DELETE", "plain", "copy")
    s3("DELETE", "missing-bucket", "copy")
    s3("DELETE", "plain", "a.txt", if_match='"0"')
    several = "<Delete>{}<Object><Key>sha1</Key></Object><Object><Key>missing</Key></Object></Delete>"
    for body in (several.format(""), several.format("<Quiet>true</Quiet>"), "<Delete/>", "<Delete>", "<Delete><Object><Key>crc32</Key><VersionId>1</VersionId></Object></Delete>"):
        s3("POST", "plain", "", body, {"delete": ""})
    recorder.finish()


def test_s3_buckets(recorder, start):
    server = start(sources=False)
    s3 = S3(recorder, server)
    s3("GET")
    s3("GET", query={"prefix": "output"})
    s3("GET", query={"max-buckets": "1"})
    for method, name in (("PUT", "plain"), ("PUT", "plain"), ("PUT", "Upper"), ("PUT", "ab"), ("HEAD", "plain"), ("HEAD", "missing-bucket")):
        s3(method, name)
    located = "<CreateBucketConfiguration><LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>"
    s3("PUT", "located", "", located.format("us-east-1"))
    s3("PUT", "elsewhere", "", located.format("eu-west-1"))
    s3("PUT", "public", "", x_amz_acl="public-read")
    s3("GET", "plain", query={"location": ""})
    for key in ("a.txt", "dir/a", "dir/b", "dir/sub/c", "e f+g", "\u00fc"):
        put(server, key, key.encode(), "plain")
    for query in (
        {}, {"prefix": "dir/"}, {"delimiter": "/"}, {"prefix": "dir/", "delimiter": "/"}, {"max-keys": "2"}, {"max-keys": "0"}, {"max-keys": "x"}, {"encoding-type": "url"},
        {"encoding-type": "gzip"}, {"unknown": "1"},
    ):  # fmt: skip
        s3("GET", "plain", query=query)
        s3("GET", "plain", query=query | {"list-type": "2"})
    s3("GET", "plain", query={"marker": "dir/a"})
    s3("GET", "plain", query={"list-type": "2", "start-after": "dir/a", "fetch-owner": "true"})
    s3("GET", "plain", query={"list-type": "2", "continuation-token": "wrong"})
    s3("GET", "plain", query={"list-type": "1"})
    s3("GET", "missing-bucket", query={"list-type": "2"})
    # Rules for other origins.
    s3("GET", "plain", query={"cors": ""})
    rules = ("<CORSConfiguration><CORSRule><ID>shop</ID><AllowedOrigin>https://shop.example</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod>"
             "<AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule></CORSConfiguration>")  # fmt: skip
    s3("PUT", "plain", "", rules, {"cors": ""})
    s3("PUT", "plain", "", "<CORSConfiguration/>", {"cors": ""})
    s3("PUT", "plain", "", rules.replace("GET", "PATCH"), {"cors": ""})
    s3("GET", "plain", query={"cors": ""})
    route = Routes(recorder, server.s3_url)
    for origin in (SHOP, "https://other.example"):
        s3("GET", "plain", "a.txt", origin=origin)
        for method in ("PUT", "DELETE"):
            route("OPTIONS", "/plain/a.txt", {"origin": origin, "access-control-request-method": method, "access-control-request-headers": "content-type"})
    route("OPTIONS", "/plain/a.txt")
    s3("DELETE", "plain", query={"cors": ""})
    # Notifications.
    s3("GET", SOURCE, query={"notification": ""})
    s3("GET", "plain", query={"notification": ""})
    arn = re.search(rb"<CloudFunction>(.*?)</", signing.request(server, "GET", SOURCE, "", query={"notification": ""})[2])[1].decode()
    rule = "<S3Key><FilterRule><Name>suffix</Name><Value>{}</Value></FilterRule></S3Key>"
    function = f"<Id>mine</Id><CloudFunction>{arn}</CloudFunction><Event>{{}}</Event><Filter>{rule}</Filter>"
    configuration = f"<NotificationConfiguration><CloudFunctionConfiguration>{function}</CloudFunctionConfiguration></NotificationConfiguration>"
    s3("PUT", "plain", "", configuration.format("s3:ObjectCreated:*", ".jpg"), {"notification": ""})
    s3("GET", "plain", query={"notification": ""})
    for event, suffix in (("s3:ObjectRestore:*", ".jpg"), ("s3:ObjectCreated:Put", ".jpg"), ("nothing", ".jpg")):
        s3("PUT", "plain", "", configuration.format(event, suffix), {"notification": ""})
    s3("PUT", SOURCE, "", configuration.format("s3:ObjectCreated:*", "x.jpg"), {"notification": ""})
    s3("PUT", DESTINATION, "", configuration.format("s3:ObjectCreated:*", ".jpg"), {"notification": ""})
    s3("PUT", "plain", "", configuration.replace(arn, arn + "Other").format("s3:ObjectCreated:*", ".jpg"), {"notification": ""})
    # Unsupported.
    for method in ("GET", "PUT", "DELETE"):
        for query in ("acl", "policy", "lifecycle", "versioning", "tagging", "encryption", "website"):
            s3(method, "plain", query={query: ""})
    for query in ("acl", "tagging", "retention", "attributes", "torrent"):
        for method in ("GET", "PUT", "DELETE", "POST"):
            s3(method, "plain", "a.txt", query={query: ""})
    s3("POST", "plain", "a.txt")
    s3("PATCH", "plain", "a.txt")
    for name in ("plain", "located", "missing-bucket", SOURCE):
        s3("DELETE", name)
    recorder.finish()


def test_s3_multipart(recorder, start):
    server = start(sources=False)
    s3 = S3(recorder, server)
    s3("PUT", "plain")

    def begin(number, key, **how):
        answer = signing.request(server, "POST", "plain", key, query={"uploads": ""}, more=how)
        upload = re.search(rb"<UploadId>(.*?)</", answer[2])[1].decode()
        recorder.known[upload] = f"<upload {number}>"
        recorder.answer(f"POST /plain/{key}?uploads {how}", answer)
        return upload

    upload = begin(1, "large", **{"x-amz-meta-colour": "red", "x-amz-checksum-algorithm": "SHA256"})
    part = bytes(5 << 20)
    for number, body in ((1, part), (2, b"end")):
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        s3("PUT", "plain", "large", body, {"partNumber": str(number), "uploadId": upload}, x_amz_checksum_sha256=digest)
    for number in ("0", "10001", "x"):
        s3("PUT", "plain", "large", b"x", {"partNumber": number, "uploadId": upload})
    s3("PUT", "plain", "large", b"x", {"partNumber": "1", "uploadId": "nothing"})
    s3("PUT", "plain", "large", b"x", {"uploadId": upload})
    s3("PUT", "plain", "other", b"x", {"partNumber": "1", "uploadId": upload})
    s3("GET", "plain", "large", query={"uploadId": upload})
    s3("GET", "plain", "large", query={"uploadId": upload, "max-parts": "1"})
    s3("GET", "plain", query={"uploads": ""})
    s3("GET", "plain", query={"uploads": "", "prefix": "nothing"})
    etags = [hashlib.md5(body).hexdigest() for body in (part, b"end")]
    sums = [base64.b64encode(hashlib.sha256(body).digest()).decode() for body in (part, b"end")]
    listed = [f"<Part><PartNumber>{number + 1}</PartNumber><ETag>{etags[number]}</ETag><ChecksumSHA256>{sums[number]}</ChecksumSHA256></Part>" for number in (0, 1)]
    complete = lambda parts: f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>"
    for parts in ([], reversed(listed), [listed[0].replace(etags[0], etags[1])], [listed[0], listed[1].replace(">2<", ">3<")]):
        s3("POST", "plain", "large", complete(parts), {"uploadId": upload})
    s3("POST", "plain", "large", complete(listed), {"uploadId": upload})
    s3("POST", "plain", "large", complete(listed), {"uploadId": upload}, note="again")
    s3("HEAD", "plain", "large", x_amz_checksum_mode="ENABLED")
    s3("HEAD", "plain", "large", query={"partNumber": "2"})
    s3("GET", "plain", "large", query={"partNumber": "2"})
    small = begin(2, "small")
    for number in (1, 2):
        s3("PUT", "plain", "small", b"x", {"partNumber": str(number), "uploadId": small})
    digest = hashlib.md5(b"x").hexdigest()
    parts = [f"<Part><PartNumber>{number}</PartNumber><ETag>{digest}</ETag></Part>" for number in (1, 2)]
    s3("POST", "plain", "small", complete(parts), {"uploadId": small})
    s3("PUT", "plain", "small", b"", {"partNumber": "3", "uploadId": small}, x_amz_copy_source="/plain/large", x_amz_copy_source_range="bytes=0-9")
    s3("PUT", "plain", "small", b"", {"partNumber": "3", "uploadId": small}, x_amz_copy_source="/plain/missing")
    s3("DELETE", "plain", "small", query={"uploadId": small})
    s3("DELETE", "plain", "small", query={"uploadId": small}, note="again")
    s3("GET", "plain", "small", query={"uploadId": small})
    s3("POST", "plain", "x", query={"uploads": ""}, x_amz_checksum_algorithm="MD5")
    recorder.finish()


def test_s3_access(recorder, start):
    """Signatures, presigned URLs and forms."""
    server = start(sources=False)
    put(server, "a.txt", b"hello")
    s3 = S3(recorder, server)
    route = Routes(recorder, server.s3_url)
    for method in ("GET", "PUT", "HEAD", "DELETE"):
        route(method, f"/{SOURCE}/a.txt", note="not signed")
    recorder.answer("GET a.txt\n(a wrong secret)", signing.request(server, "GET", SOURCE, "a.txt", secret="wrong"))
    old = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    recorder.answer("GET a.txt\n(signed long ago)", signing.request(server, "GET", SOURCE, "a.txt", when=old))
    recorder.answer("PUT b.txt\n(x-amz-copy-source not signed)", signing.request(server, "PUT", SOURCE, "b.txt", unsigned={"x-amz-copy-source": f"/{SOURCE}/a.txt"}))
    recorder.answer("PUT b.txt\n(another digest)", signing.request(server, "PUT", SOURCE, "b.txt", b"hello", payload="0" * 64))
    sent = signing.headers(server, "GET", SOURCE, "a.txt")
    unknown = sent | {"authorization": sent["authorization"].replace(server.credentials[0], "AKIAUNKNOWN")}
    recorder.answer("GET a.txt\n(an unknown key)", signing.send(server, "GET", SOURCE, "a.txt", b"", unknown))
    recorder.answer("GET a.txt\n(no signature in it)", signing.send(server, "GET", SOURCE, "a.txt", b"", sent | {"authorization": "AWS4-HMAC-SHA256 x"}))
    v2 = {"date": "Thu, 01 Jan 2026 00:00:00 GMT", "authorization": "AWS AKIA:c2lnbmF0dXJl"}
    recorder.answer("GET a.txt\n(Version 2)", ask(server.s3_url, "GET", f"/{SOURCE}/a.txt", v2))

    def presigned(title, method="GET", key="a.txt", body=None, sent=None, **how):
        url = signing.presigned(server, method, SOURCE, key, **how)
        recorder.answer(f"{method} {key}\n({title})", ask(server.s3_url, method, url.removeprefix(server.s3_url), sent, body))

    presigned("presigned")
    presigned("presigned, run out", when=datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1), expires=60)
    presigned("presigned for more than a week", expires=700_000)
    presigned("presigned, with another type", query={"response-content-type": "text/html"})
    presigned("presigned", "PUT", "b.txt", b"new")
    presigned("presigned, with a header that is not signed", "PUT", "b.txt", b"new", {"x-amz-copy-source": f"/{SOURCE}/a.txt"})
    presigned("presigned, with metadata in the query", "PUT", "b.txt", b"new", query={"x-amz-meta-a": "b"})
    presigned("presigned", "DELETE", "b.txt")
    for title, more, fields in (
        ("a form", [], {}), ("a form with a field that the policy does not name", [], {"x-amz-meta-a": "b"}), ("a form with a redirect", [{"success_action_status": "201"}], {"success_action_status": "201"}),
        ("a form whose file is too large", [["content-length-range", 0, 2]], {}), ("a form that ran out", None, {}),
    ):  # fmt: skip
        recorder.answer(f"POST /{SOURCE}\n({title})", posted(server, more, fields))
    s3("GET", SOURCE, query={"list-type": "2"})
    # The S3 port, and a request for another host.
    for target in ("/healthz", "/dev1/myimage"):
        route("GET", target)
    recorder.finish()


def posted(server, conditions, fields):
    """An upload by form under a POST policy."""
    known, secret = server.credentials
    now = datetime.datetime.now(datetime.timezone.utc)
    ends = now + datetime.timedelta(hours=-1 if conditions is None else 1)
    scope = f"{now:%Y%m%d}/us-east-1/s3/aws4_request"
    signed = {"key": "form.txt", "x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-credential": f"{known}/{scope}", "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}"}
    required = [{"bucket": SOURCE}, *({name: value} for name, value in signed.items())]
    policy = {"expiration": f"{ends:%Y-%m-%dT%H:%M:%SZ}", "conditions": required + (conditions or [])}
    text = base64.b64encode(json.dumps(policy).encode()).decode()
    key = signing._key(secret, f"{now:%Y%m%d}")
    sent = signed | {"policy": text, "x-amz-signature": hmac.new(key, text.encode(), hashlib.sha256).hexdigest()} | fields
    body = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in sent.items())
    body += '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nhello\r\n--b--\r\n'
    return ask(server.s3_url, "POST", f"/{SOURCE}", {"content-type": "multipart/form-data; boundary=b"}, body.encode())
