"""Images on public pages: presets, signed URLs, caches."""

import base64
import hashlib
import hmac
import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import requests

import sample_images
from lambda_runtime import Function
from moto_server import Moto
from test_reverse_proxy import Proxy, free_port
from tintype import BOOTSTRAP, DESTINATION, ROOT, SOURCE, Server, environment, run
from waiting import until

PUBLIC_IMAGES, SIGNED_URLS = ROOT / "docs/guides/public-images.md", ROOT / "docs/guides/signed-urls.md"
KEY, SECRET = "a-key-of-the-shop-0123456789", "write-16-characters-or-more"
LATER = 4102444800
SETTINGS = f"""
[api]
public = "%s"
[[api.key]]
name = "shop"
key = "{KEY}"
[[api.signing_key]]
name = "test"
secret = "{SECRET}"
[[preset]]
name = "card"
size = "64x64"
fit = "cover"
format = "auto"
fallback = "none.png"
[[preset]]
name = "plain"
size = "300"
format = "jpeg"
"""
OF_A_PAGE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors", "Referer": "https://shop.example/"}
WEBP = {"Accept": "image/avif,image/webp,image/*,*/*;q=0.8"}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def get(server, path, method="GET", **headers):
    return requests.request(method, server.http_url + path, headers=headers, timeout=30)


def put(server, key, body):
    return server.client().put_object(Bucket=SOURCE, Key=key, Body=body)["ETag"]


def signed(path, parameters=(), expires=LATER, secret=SECRET):
    """As the guide says it."""
    pairs = sorted([*parameters, ("expires", str(expires))])
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    digest = hmac.new(secret.encode(), f"GET\n{path}\n{query}".encode(), hashlib.sha256)
    return f"{path}?{query}&signature={digest.hexdigest()}"


@pytest.fixture
def public(new_server):
    def start(public):
        server = new_server(public, settings=SETTINGS % public).start()
        put(server, "raw/a b+ü.jpg", sample_images.jpeg())
        return server

    return start


def test_a_page_of_any_origin_shows_presets(public):
    server = public("presets")
    etag = put(server, "a.jpg", sample_images.jpeg(640, 480))
    path = "/dev1/myimage/card/a.jpg"
    answer = get(server, path, **OF_A_PAGE)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
    assert sample_images.opened(answer.content).size == (64, 64)
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Cache-Control"] == "public, max-age=300, stale-while-revalidate=86400"
    assert answer.headers["Vary"] == "Accept" and answer.headers["ETag"].startswith('"')
    stored = server.client().head_object(Bucket=SOURCE, Key="a.jpg")
    assert answer.headers["Last-Modified"] == stored["ResponseMetadata"]["HTTPHeaders"]["last-modified"]
    webp = get(server, path, **OF_A_PAGE, **WEBP)
    assert webp.headers["Content-Type"] == "image/webp" and webp.headers["ETag"] != answer.headers["ETag"]
    assert sample_images.opened(get(server, path + "?dpr=2").content).size == (128, 128)
    # The first is rendered, the second cached.
    for _ in range(2):
        head = get(server, path, "HEAD")
        assert head.content == b"" and head.headers["Content-Length"] == str(len(answer.content))
        assert get(server, path, **{"If-None-Match": answer.headers["ETag"]}).status_code == 304
        part = get(server, path, Range="bytes=10-19")
        assert (part.status_code, part.content) == (206, answer.content[10:20])
        assert part.headers["Content-Range"] == f"bytes 10-19/{len(answer.content)}"
        assert get(server, path, Range="bytes=999999-").status_code == 416
        changed = get(server, path, Range="bytes=10-19", **{"If-Range": '"other"'})
        assert (changed.status_code, changed.content) == (200, answer.content)
    version = get(server, f"{path}?v={etag.strip(chr(34))}")
    assert version.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "immutable" not in get(server, f"{path}?v=other").headers["Cache-Control"]
    saved = get(server, f"{path}?download=chair")
    assert saved.headers["Content-Disposition"] == 'attachment; filename="chair.jpg"'
    # Nothing else is open.
    for other in ("/dev1/myimage?key=a.jpg&size=50", "/dev1/myimage/info?key=a.jpg", "/openapi.json", signed("/dev1/myimage", [("key", "a.jpg")])):
        assert get(server, other).status_code == 403, other
    info = get(server, "/dev1/myimage/info?key=a.jpg", **{"X-Api-Key": KEY}).json()
    url = f"/dev1/myimage/card/a.jpg?v={info['etag']}"
    assert info["srcset"]["card"] == f"{url} 1x, {url}&dpr=2 2x"
    assert get(server, url + "&dpr=2").status_code == 200


def test_a_fallback_image(public):
    server = public("presets")
    put(server, "none.png", sample_images.png())
    put(server, "broken.jpg", sample_images.corrupt_jpeg())
    expected = get(server, "/dev1/myimage/card/none.png")
    for key, status in (("missing.jpg", 404), ("broken.jpg", 422)):
        answer = get(server, f"/dev1/myimage/card/{key}", **OF_A_PAGE)
        assert (answer.status_code, answer.content) == (status, expected.content), key
        assert answer.headers["Cache-Control"] == "public, max-age=60"
        assert get(server, f"/dev1/myimage/plain/{key}").json()["message"]


def test_signed_urls(public):
    server = public("signed")
    key, image = ("key", "raw/a b+ü.jpg"), "/dev1/myimage"
    url = signed(image, [key, ("size", "50x50"), ("fit", "cover")])
    for method in ("GET", "HEAD"):
        answer = get(server, url, method, **OF_A_PAGE)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert sample_images.opened(get(server, url).content).size == (50, 50)
    assert "public, max-age=300" in answer.headers["Cache-Control"]
    soon = get(server, signed(image, [key, ("size", "50")], int(time.time()) + 20)).headers["Cache-Control"]
    assert re.fullmatch(r"public, max-age=(1\d|20)", soon)
    path = f"{image}/card/{quote('raw/a b+ü.jpg')}"
    assert get(server, signed(path)).status_code == 200
    refused = get(server, f"{image}?key=none&size=50")
    assert refused.status_code == 403
    wrong = [url + "0", url.replace("50x50", "51x51"), url + "&size=50x50", signed(image, [key], 1), signed(image, [key], secret="another of 16 characters")]
    for other in wrong:
        for headers in ({}, {"X-Api-Key": KEY}):
            answer = get(server, other, **headers)
            assert (answer.status_code, answer.content) == (403, refused.content), other
    assert get(server, url, "POST").status_code == 403
    assert get(server, signed("/dev1/myimage/info", [("key", "none.png")])).status_code == 403
    # Another key verifies, too, and a removed one does not.
    config = SETTINGS % "signed"
    rotated = config.replace("[[api.signing_key]]", '[[api.signing_key]]\nname = "new"\nsecret = "a new one of 16 characters"\n[[api.signing_key]]')
    server.config.write_text(rotated)
    server.process.send_signal(signal.SIGHUP)
    new = signed(image, [key, ("size", "50")], secret="a new one of 16 characters")
    until(lambda: get(server, new).status_code == 200, "the new key is read")
    assert get(server, url).status_code == 200
    server.config.write_text(config)
    server.process.send_signal(signal.SIGHUP)
    until(lambda: get(server, new).status_code == 403, "the new key is removed")
    assert SECRET not in server.log_text() and "signature=" not in server.log_text()


def test_a_bucket_policy_exempts_what_is_public(public):
    server = public("all")
    put(server, "private/a.jpg", sample_images.jpeg())
    open_to_all = "/dev1/myimage/card/private/a.jpg"
    assert get(server, open_to_all).status_code == 200
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{SOURCE}/private/*"}
    policy = f'{{"Version": "2012-10-17", "Statement": {statement}}}'.replace("'", '"')
    server.client().put_bucket_policy(Bucket=SOURCE, Policy=policy)
    # Not from a cache either.
    for path in (open_to_all, "/dev1/myimage?key=private/a.jpg", "/dev1/myimage?key=private/a.jpg&size=5"):
        assert get(server, path).status_code == 403, path
    assert get(server, "/dev1/myimage/card/raw/a%20b+%C3%BC.jpg").status_code == 200
    server.client().delete_bucket_policy(Bucket=SOURCE)
    assert get(server, open_to_all).status_code == 200


def test_a_policy_of_the_destination_counts_for_cached_answers(new_server):
    """A thumbnail of the settings is read from the destination bucket; answers from memory are subject to the same policies."""
    caching, not_caching = (
        new_server(name, settings=(SETTINGS % "all").replace("[api]", f"[api]\n{more}")).start()
        for name, more in (("caching", ""), ("not-caching", "cache_ttl_s = 0"))
    )
    url, rendered = "/dev1/myimage?key=raw/a.jpg", "/dev1/myimage/card/raw/a.jpg"
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{DESTINATION}/thumb_raw/*"}
    statuses = []
    for server in (caching, not_caching):
        put(server, "raw/a.jpg", sample_images.jpeg())
        put(server, "b.jpg", sample_images.jpeg())
        tag = get(server, url).headers["ETag"]

        def all_of(server=server, tag=tag):
            answers = [get(server, path) for path in (url, url, rendered, "/dev1/myimage?key=b.jpg")]
            answers.append(get(server, url, **{"If-None-Match": tag}))
            return [answer.status_code for answer in answers]

        before = all_of()
        policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
        server.client().put_bucket_policy(Bucket=DESTINATION, Policy=policy)
        denied = all_of()
        server.client().delete_bucket_policy(Bucket=DESTINATION)
        statuses.append((before, denied, all_of()))
    assert statuses[0] == statuses[1]
    assert statuses[0] == ([200, 200, 200, 200, 304], [403, 403, 200, 200, 403], [200, 200, 200, 200, 304])


def test_what_was_rendered_is_cached_on_disk_and_never_stale(new_server):
    server = new_server(settings=(SETTINGS % "presets").replace("[api]", "[api]\ncache_bytes = 0")).start()
    path = "/dev1/myimage/card/a.jpg"
    files = lambda: {file: file.stat().st_ino for file in (server.data / "rendered").glob("*/*")}  # noqa: E731
    put(server, "a.jpg", sample_images.jpeg(colour=sample_images.RED))
    first = get(server, path)
    until(lambda: len(files()) == 1, "the image is cached")
    before = files()
    assert server.stop() == 0
    server.start()
    for _ in range(2):
        assert get(server, path).content == first.content
    # What is rendered again replaces its file.
    assert files() == before
    put(server, "a.jpg", sample_images.jpeg(colour=sample_images.BLUE))
    second = get(server, path)
    assert second.content != first.content and second.headers["ETag"] != first.headers["ETag"]
    until(lambda: len(files()) == 2, "the other version is cached")
    server.client().delete_object(Bucket=SOURCE, Key="a.jpg")
    assert get(server, path).status_code == 404
    server.kill()
    # Whatever happens to the files, the image is rendered.
    for file in files():
        file.write_bytes(b"torn")
    server.config.write_text((SETTINGS % "presets").replace("[api]", '[api]\ncache_bytes = 0\ndisk_cache_bytes = "16 KiB"'))
    server.start()
    for number in range(10):
        put(server, f"{number}.jpg", sample_images.distinct_jpeg(number))
        assert get(server, f"/dev1/myimage/card/{number}.jpg").status_code == 200
    until(lambda: 0 < sum(file.stat().st_size for file in files()) <= 16 << 10, "the cache is within its bound")


@pytest.fixture
def nginx():
    folder, started = Path(tempfile.mkdtemp()), []

    def start(servers, port):
        started.append(Proxy(folder, servers.replace("/var/cache/nginx", str(folder))))
        started[-1].wait_for(port)

    try:
        yield start
    finally:
        for proxy in started:
            proxy.stop()
        shutil.rmtree(folder)


def test_nginx_caches_in_front(public, nginx):
    server, port = public("signed"), free_port()
    (recipe,) = blocks(PUBLIC_IMAGES, "nginx")
    recipe = recipe.replace("listen 80;", f"listen 127.0.0.1:{port};").replace("http://127.0.0.1:8080", server.http_url)
    shown = "proxy_cache images;\n        add_header X-Cache $upstream_cache_status;"
    nginx(recipe.replace("proxy_cache images;", shown), port)
    base = f"http://127.0.0.1:{port}"
    path = f"/dev1/myimage/card/{quote('raw/a b+ü.jpg')}"
    fetch = lambda path, **headers: requests.get(base + path, headers=headers, timeout=30)  # noqa: E731
    for headers, kind in (({}, "image/jpeg"), (WEBP, "image/webp")):
        answers = [fetch(path, **headers) for _ in range(2)]
        assert [answer.headers["X-Cache"] for answer in answers] == ["MISS", "HIT"]
        assert {answer.headers["Content-Type"] for answer in answers} == {kind}
        assert answers[0].content == answers[1].content
    etag = answers[0].headers["ETag"]
    assert fetch(path, **WEBP, **{"If-None-Match": etag}).status_code == 304
    url = signed("/dev1/myimage", [("key", "raw/a b+ü.jpg"), ("size", "50")])
    assert [fetch(url).headers["X-Cache"] for _ in range(2)] == ["MISS", "HIT"]
    assert fetch(url.replace("size=50", "size=51")).status_code == 403
    assert fetch(signed(path)).status_code == 200
    # A URL with the new version is another for caches.
    etag = put(server, "raw/a b+ü.jpg", sample_images.jpeg(colour=sample_images.BLUE)).strip('"')
    fresh = fetch(f"{path}?v={etag}", **WEBP)
    assert fresh.headers["X-Cache"] == "MISS" and fresh.headers["ETag"].startswith(f'"{etag}')


def url(server, *arguments):
    done = run("url", *arguments, "--config", server.config)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().removesuffix("\n")


def test_the_command_signs_urls(public):
    server = public("signed")
    key = "raw/a b+ü.jpg"
    before = int(time.time())
    for arguments, size in (
        (["--size", "50x40", "--fit", "fill"], (50, 40)),
        (["--preset", "card"], (64, 64)),
        (["--preset", "card", "--dpr", "2"], (128, 128)),
        (["--size", "40", "--expires", "1h"], (40, 30)),
    ):
        printed = url(server, key, *arguments)
        answer = get(server, printed)
        assert answer.status_code == 200, (printed, answer.text)
        assert sample_images.opened(answer.content).size == size
        expires = int(dict(parse_qsl(urlsplit(printed).query))["expires"])
        lifetime = 3600 if "--expires" in arguments else 7 * 86400
        assert before + lifetime <= expires <= time.time() + lifetime
    printed = url(server, key, "--preset", "card", "--unsigned", "--base", "https://images.example/")
    assert printed == "https://images.example/dev1/myimage/card/raw/a%20b%2B%C3%BC.jpg"
    candidates = url(server, key, "--size", "50", "--srcset").split(", ")
    assert [candidate.split(" ")[1] for candidate in candidates] == ["1x", "2x", "3x"]
    widths = [sample_images.opened(get(server, candidate.split(" ")[0]).content).width for candidate in candidates]
    assert widths == [50, 100, 150]
    assert url(server, key, "--preset", "plain", "--srcset").count("signature=") == 2
    # Paths with such parts are changed by browsers.
    assert url(server, "a/../b.jpg", "--preset", "card").startswith("/dev1/myimage?")
    for arguments, part in (
        (["--preset", "crad"], 'did you mean "card"?'),
        (["--size", "5000"], "api.max_side"),
        (["--size", "50", "--unsigned"], 'api.public = "all"'),
        (["--preset", "card", "--dpr", "3"], "max_dpr is 2"),
        (["--preset", "card", "--size", "5"], "cannot be used with"),
        (["--srcset"], "--size"),
        (["--expires", "5"], "span of time"),
        (["--base", "images.example"], "https://"),
    ):
        done = run("url", key, *arguments, "--config", server.config)
        assert done.returncode == 2 and part in done.stderr.decode() and not done.stdout, done.stderr
    done = run("url", key, "--size", "5")
    assert done.returncode == 2 and b"[[api.signing_key]]" in done.stderr


@pytest.fixture(scope="module")
def chair(tmp_path_factory):
    """A server with the guide's settings and image."""
    server = Server(tmp_path_factory.mktemp("chair"), settings=blocks(SIGNED_URLS, "toml")[0])
    try:
        server.start()
        put(server, "raw/chair.jpg", sample_images.jpeg(1600, 1200))
        yield server
    finally:
        server.kill()


@pytest.mark.parametrize(
    "language, command",
    [
        ("python", ["python3", "{}"]),
        ("javascript", ["node", "{}"]),
        ("php", ["php", "{}"]),
        ("go", ["go", "run", "{}"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_programs_of_the_guide_sign(chair, tmp_path, language, command):
    program = shutil.which(command[0])
    if language == "go" and not program:
        pytest.skip("go is not installed, and large: the other programs show the same")
    assert program, f'{command[0]} is missing: install it, for example with "apt-get install {command[0]}"'
    (code,) = blocks(SIGNED_URLS, language)
    file = tmp_path / ("sign." + {"python": "py", "javascript": "cjs", "php": "php", "go": "go"}[language])
    file.write_text(code)
    env = environment(HOME=str(tmp_path), GOCACHE=str(tmp_path / "go"), GOFLAGS="-mod=mod")
    done = subprocess.run([program, *[part.format(file) for part in command[1:]]], capture_output=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.decode().strip()
    assert printed == signed("/dev1/myimage", [("key", "raw/chair.jpg"), ("size", "800x600")])
    answer = get(chair, printed)
    assert answer.status_code == 200 and sample_images.opened(answer.content).size == (800, 600)


@pytest.fixture
def lambda_function(tmp_path):
    moto = Moto(tmp_path)
    try:
        moto.buckets(SOURCE, DESTINATION)
        env = moto.environment() | {"TINTYPE_CONFIG": SETTINGS % "signed"}
        with Function([BOOTSTRAP], env, tmp_path) as function:
            yield function, moto.client("s3")
    finally:
        moto.stop()


def over_lambda(function, target, method, headers):
    """The answer to the REST API's event of a request: status, headers, bytes."""
    path, _, query = target.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    event = {
        "httpMethod": method,
        "path": path.removeprefix("/dev1"),
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "multiValueQueryStringParameters": {name: [value for known, value in pairs if known == name] for name, _ in pairs} or None,
        # Of methods that need no key API Gateway reports none.
        "requestContext": {"stage": "dev1", "requestId": "r", "identity": {"apiKeyId": None}},
    }
    answer = function.invoke(event).ok
    body = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
    return answer["statusCode"], {name.lower(): value for name, value in answer["headers"].items()}, body


def test_server_and_lambda_answer_the_same(public, lambda_function):
    server, (function, s3) = public("signed"), lambda_function
    image, fallback = sample_images.jpeg(), sample_images.png()
    for client in (server.client(), s3):
        for key, body in (("a b+ü.jpg", image), ("none.png", fallback), ("broken.jpg", sample_images.corrupt_jpeg())):
            client.put_object(Bucket=SOURCE, Key=key, Body=body)
    card, key = "/dev1/myimage/card/a%20b+%C3%BC.jpg", ("key", "a b+ü.jpg")
    url = signed("/dev1/myimage", [key, ("size", "50x50"), ("fit", "cover")])
    etag = server.client().head_object(Bucket=SOURCE, Key="a b+ü.jpg")["ETag"].strip('"')
    cases = [
        (200, "GET", card, {}),
        (200, "GET", card, WEBP),
        (200, "HEAD", card, {}),
        (200, "GET", f"{card}?dpr=2&v={etag}&download=x", {}),
        (206, "GET", card, {"Range": "bytes=0-9"}),
        (304, "GET", card, {"If-None-Match": "*"}),
        (404, "GET", "/dev1/myimage/card/missing.jpg", {}),
        (422, "GET", "/dev1/myimage/card/broken.jpg", {}),
        (404, "GET", "/dev1/myimage/crad/a.jpg", {}),
        (400, "GET", f"{card}?size=5", {}),
        (200, "GET", url, {}),
        (200, "HEAD", url, {}),
        (200, "GET", signed("/dev1/myimage/plain/a%20b%2B%C3%BC.jpg"), {}),
        (403, "GET", url.replace("50x50", "51x51"), {}),
        (403, "GET", signed("/dev1/myimage", [key], 1), {}),
        (403, "GET", "/dev1/myimage?key=none.png&size=5", {}),
        (403, "GET", "/dev1/myimage?key=none.png&size=5", {"X-Api-Key": "wrong"}),
        (200, "GET", "/dev1/myimage?key=none.png&size=5", {"X-Api-Key": KEY}),
        (403, "GET", "/dev1/myimage/info?key=none.png", {}),
        (200, "GET", "/dev1/myimage/info?key=none.png", {"X-Api-Key": KEY}),
        (403, "POST", "/dev1/myimage", {"Content-Type": "application/json"}),
    ]
    compared = ["content-type", "cache-control", "etag", "vary", "cross-origin-resource-policy", "content-disposition", "content-range"]
    for status, method, target, headers in cases:
        # Without the defaults of the client, which API Gateway does not add.
        here = get(server, target, method, **{"Accept": None} | headers)
        there = over_lambda(function, target, method, headers)
        name = f"{method} {target} {headers}"
        assert (here.status_code, there[0]) == (status, status), (name, here.text, there[2][:300])
        assert {n: here.headers.get(n) for n in compared} == {n: there[1].get(n) for n in compared}, name
        if status < 300 and "/info" not in target or status == 403:
            assert here.content == there[2], name
