"""The layers before the API: keys, quotas, rates, the cache, slow clients, TLS, new settings by SIGHUP."""

import json
import signal
import socket
import ssl
import subprocess
import time
from urllib.parse import urlsplit

import pytest
import requests

import sample_images
from tintype import DESTINATION, SOURCE, run
from waiting import until

SHOP = "https://shop.example"
FIRST, SECOND = "first-key-0123456789abcdef", "second-key-0123456789abcde"


def key(name, secret, **more):
    lines = [f"name = {name!r}", f"key = {secret!r}", *(f"{field} = {value}" for field, value in more.items())]
    return "\n[[api.key]]\n" + "\n".join(lines).replace("'", '"') + "\n"


def get(server, path="?key=missing.jpg", secret=None, **headers):
    if secret:
        headers["X-Api-Key"] = secret
    return requests.get(server.api_url + path, headers=headers, timeout=30)


def test_a_key_is_needed_once_there_are_any(new_server):
    server = new_server(settings=f'[api]\ncors_origins = ["{SHOP}"]\n' + key("shop", FIRST)).start()
    for secret in (None, "wrong", FIRST + "x"):
        answer = get(server, secret=secret, Origin=SHOP)
        assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})
        # A page can read that the key is wrong.
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP
    assert get(server, secret=FIRST).status_code == 404
    # Preflights have no key.
    preflight = {"Origin": SHOP, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-api-key"}
    answer = requests.options(server.api_url, headers=preflight, timeout=30)
    assert answer.status_code == 204
    assert "x-api-key" in answer.headers["Access-Control-Allow-Headers"].lower()
    # Everything but health needs one.
    assert requests.get(f"{server.http_url}/healthz", timeout=30).status_code == 200
    assert requests.get(f"{server.http_url}/openapi.json", timeout=30).status_code == 403
    assert requests.get(f"{server.http_url}/openapi.json", headers={"X-Api-Key": FIRST}, timeout=30).status_code == 200
    log = server.log_text()
    assert '"api_key":"shop"' in log
    assert FIRST not in log


def test_quotas_and_rates_of_keys(new_server):
    settings = key("daily", FIRST, daily=2) + key("slow", SECOND, rate=1, burst=1)
    server = new_server(settings=settings).start()
    assert [get(server, secret=FIRST).status_code for _ in range(3)] == [404, 404, 429]
    answer = get(server, secret=FIRST)
    assert answer.json() == {"message": "Limit Exceeded"}
    assert 1 <= int(answer.headers["Retry-After"]) <= 86400
    answers = [get(server, secret=SECOND) for _ in range(5)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and refused[0].json() == {"message": "Too Many Requests"}
    assert refused[0].headers["Retry-After"] == "1"
    assert server.metrics()["Throttles"] == 2 + len(refused)


def test_quotas_survive_a_restart(new_server):
    server = new_server(settings=key("daily", FIRST, daily=2)).start()
    assert get(server, secret=FIRST).status_code == 404
    assert server.stop() == 0
    server.start()
    assert [get(server, secret=FIRST).status_code for _ in range(2)] == [404, 429]


def test_the_rate_of_a_route(new_server):
    settings = '[[api.route]]\nroute = "GET /info"\nrate = 1\nburst = 1\n'
    server = new_server(settings=settings).start()
    assert 429 in [get(server, "/info?key=missing.jpg").status_code for _ in range(5)]
    assert [get(server).status_code for _ in range(5)] == [404] * 5
    # HEAD counts towards the rate of GET.
    heads = [requests.head(server.api_url + "/info?key=missing.jpg", timeout=30).status_code for _ in range(5)]
    assert 429 in heads


def test_sighup_reloads_keys_and_limits(new_server):
    server = new_server(settings=key("one", FIRST)).start()
    assert get(server, secret=FIRST).status_code == 404

    server.config.write_text("[api]\nmax_side = 100\n" + key("two", SECOND))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: get(server, secret=SECOND).status_code == 404, "the new key is known")
    assert get(server, secret=FIRST).status_code == 403
    assert "max_side" in get(server, "?key=a.jpg&size=101", secret=SECOND).json()["message"]

    # Unusable settings change nothing.
    server.config.write_text("[api]\nmax_sides = 100\n")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: "stay as they were" in server.log_text(), "the refusal is in the log")
    assert get(server, secret=SECOND).status_code == 404


def test_sighup_refills_nothing(new_server):
    limited = "[api]\nrate = 1\nburst = 200\n"
    server = new_server(settings=limited).start()
    assert 429 in (get(server).status_code for _ in range(1000)), "the burst is used up"
    server.config.write_text(limited + "max_side = 100\n")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: "were re-read" in server.log_text(), "the settings are re-read")
    # Far fewer than a new burst, and more than the rate refills meanwhile.
    assert 429 in [get(server).status_code for _ in range(100)], "the burst was not refilled"


def test_responses_are_private_where_there_are_keys(new_server):
    server = new_server(settings=key("shop", FIRST)).start()
    server.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    server.thumbnail("thumb_a.jpg")
    assert get(server, "?key=a.jpg", secret=FIRST).headers["Cache-Control"].startswith("private, max-age=")


def test_a_date_alone_does_not_validate_across_new_settings(new_server):
    server = new_server().start()
    server.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    dated = get(server, "?key=a.jpg").headers["Last-Modified"]
    assert get(server, "?key=a.jpg", **{"If-Modified-Since": dated}).status_code == 304
    assert server.stop() == 0
    # HTTP dates have whole seconds.
    time.sleep(1.1)
    server.config.write_text('[[trigger]]\n[[trigger.rendition]]\nsize = "64x64"\n')
    server.start()
    answer = get(server, "?key=a.jpg", **{"If-Modified-Since": dated})
    assert (answer.status_code, sample_images.opened(answer.content).width) == (200, 64)


def test_cached_responses_are_never_stale(server, s3):
    for colour in (sample_images.RED, sample_images.GREEN, sample_images.BLUE):
        s3.put_object(Bucket=SOURCE, Key="gateway/cached.jpg", Body=sample_images.jpeg(colour=colour))
        answers = [get(server, "?key=gateway/cached.jpg&size=32x32") for _ in range(3)]
        assert {answer.headers["ETag"] for answer in answers} == {answers[0].headers["ETag"]}
        for answer in answers:
            assert sample_images.is_near(sample_images.middle(sample_images.opened(answer.content)), colour)
    invoked = server.metrics()["Invocations"]
    again = get(server, "?key=gateway/cached.jpg&size=32x32")
    assert again.content == answers[0].content
    assert server.metrics()["Invocations"] == invoked
    # Formats are cached separately, and conditional requests are answered 304.
    assert get(server, "?key=gateway/cached.jpg&size=32x32", Accept="image/png").headers["Content-Type"] == "image/png"
    known = get(server, "?key=gateway/cached.jpg&size=32x32", **{"If-None-Match": again.headers["ETag"]})
    assert (known.status_code, known.content) == (304, b"")
    s3.delete_object(Bucket=SOURCE, Key="gateway/cached.jpg")
    assert get(server, "?key=gateway/cached.jpg&size=32x32").status_code == 404


def test_identical_requests_at_the_same_time(server, s3):
    from concurrent.futures import ThreadPoolExecutor

    s3.put_object(Bucket=SOURCE, Key="gateway/large.png", Body=sample_images.png(3000, 2000))
    server.thumbnail("thumb_gateway/large.png")
    server.wait_until_idle()
    before = server.metrics()["Invocations"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: get(server, "?key=gateway/large.png&size=301"), range(8)))
    assert len({answer.content for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {200}
    # Eight nearly concurrent connections; without joining there would be eight renders.
    assert server.metrics()["Invocations"] - before < 8


def test_a_slow_body(new_server):
    server = new_server(settings="[api]\ntimeout_s = 1\n").start()
    at = urlsplit(server.http_url)
    with socket.create_connection((at.hostname, at.port), timeout=20) as connection:
        head = f"POST /dev1/myimage HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Type: image/jpeg\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode() + b"part of it")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive" in answer


def test_a_client_that_does_not_wait(server, s3):
    s3.put_object(Bucket=SOURCE, Key="gateway/given-up.png", Body=sample_images.png(3000, 2000))
    at = urlsplit(server.http_url)
    sides = iter(range(100, 400))

    def is_logged():
        # Another size each time: a cached response would arrive before the client is gone.
        with socket.create_connection((at.hostname, at.port), timeout=20) as connection:
            path = f"/dev1/myimage?key=gateway/given-up.png&size={next(sides)}"
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {at.netloc}\r\n\r\n".encode())
        lines = [json.loads(line) for line in server.log_text().splitlines() if '"status":499' in line]
        return any("gateway/given-up.png" in str(line) for line in lines)

    until(is_logged, "an abandoned request has its line in the log")


def test_too_many_and_too_long_headers(server):
    many = {f"X-Header-{number}": "1" for number in range(200)}
    answer = requests.get(server.api_url, headers=many, timeout=30)
    assert (answer.status_code, "fields" in answer.json()["message"]) == (431, True)
    assert requests.get(server.api_url, headers={"X-Long": "x" * (100 << 10)}, timeout=30).status_code in (400, 431)


def test_a_page_may_read_why_its_request_was_refused(new_server):
    server = new_server(settings=f'[api]\ncors_origins = ["{SHOP}"]\n').start()
    many = {f"X-Header-{number}": "1" for number in range(200)}
    for headers, status in ((many, 431), ({"Host": "tintype.example"}, 403)):
        answer = requests.get(server.api_url, headers={**headers, "Origin": SHOP}, timeout=30)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, SHOP)


def test_request_ids(server):
    ids = {get(server).headers["X-Amzn-Requestid"] for _ in range(3)}
    assert len(ids) == 3
    until(lambda: all(server.log_text().count(id) >= 1 for id in ids), "each request has its line in the log")


def test_requests_are_queued_on_preference(server, s3):
    s3.put_object(Bucket=SOURCE, Key="gateway/queued +.jpg", Body=sample_images.jpeg())
    server.thumbnail("thumb_gateway/queued +.jpg")
    s3.delete_object(Bucket=DESTINATION, Key="thumb_gateway/queued +.jpg")
    body = {"key": "gateway/queued +.jpg"}
    answer = requests.post(server.api_url, json=body, headers={"Prefer": "respond-async"}, timeout=30)
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "respond-async"
    (record,) = answer.json()["records"]
    assert record["outcome"] == "queued"

    def state():
        info = requests.get(server.http_url + answer.headers["Location"], timeout=30).json()
        return info["renditions"][0]["state"] == "current"

    until(state, "the queued thumbnail is rendered")
    server.thumbnail("thumb_gateway/queued +.jpg")
    for missing, outcome in (("gateway/missing.jpg", "failed"), ("gateway/notes.txt", "failed")):
        answer = requests.post(server.api_url, json={"key": missing}, headers={"Prefer": "respond-async"}, timeout=30)
        assert (answer.status_code, answer.json()["records"][0]["outcome"]) == (200, outcome)


def certificate(folder, name):
    """A self-signed certificate for 127.0.0.1."""
    files = folder / f"{name}.crt", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


def test_tls_on_both_ports(new_server, tmp_path):
    first, second = certificate(tmp_path, "first"), certificate(tmp_path, "second")
    used = tmp_path / "tls.crt", tmp_path / "tls.key"

    def use(files):
        for source, target in zip(files, used, strict=True):
            target.write_bytes(source.read_bytes())

    use(first)
    settings = f'[listen]\ntls_certificate = "{used[0]}"\ntls_key = "{used[1]}"\n'
    server = new_server(settings=settings)
    server.ready = r"ready: S3 endpoint (https://\S+), HTTP API ((https://[^/]+)/\S+)\n"
    server.start()
    assert requests.get(f"{server.http_url}/healthz", verify=first[0], timeout=30).status_code == 200
    # 403: no signature.
    assert requests.get(server.s3_url, verify=first[0], timeout=30).status_code == 403
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{server.http_url}/healthz", verify=second[0], timeout=30)
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"{server.http_url}/healthz".replace("https", "http"), timeout=30)

    # A login's cookie is for TLS only.
    access_key, secret = server.credentials
    form = {"access_key_id": access_key, "secret_access_key": secret}
    login = requests.post(f"{server.http_url}/login", data=form, verify=first[0], allow_redirects=False, timeout=30)
    assert "; Secure" in login.headers["set-cookie"]

    # Commands trust the certificate of the settings or of their option, and no other.
    there = ["--data", server.data, "--server", server.http_url]
    of_settings = ["--config", server.config, "--data", server.data, "--http", urlsplit(server.http_url).netloc]
    for arguments in (of_settings, [*there, "--ca", first[0]]):
        for command in (["dead-letters", "list"], ["logs"]):
            done = run(*command, *arguments)
            assert done.returncode == 0, done.stderr
    event = tmp_path / "event.json"
    event.write_text('{"key": "none.jpg"}')
    invoked = run("invoke", "--event", event, *of_settings)
    assert json.loads(invoked.stdout)["outcome"] == "failed", invoked.stderr
    for arguments, words in (
        (there, "the server's certificate is not trusted"),
        ([*there, "--ca", second[0]], "the server's certificate is not trusted"),
        ([*there, "--ca", event], "event.json holds no certificate in PEM"),
        (["--data", server.data, "--server", urlsplit(server.http_url).netloc], "with TLS (https://) or without"),
        (["--data", server.data, "--server", "192.0.2.1:8080"], "write http://HOST:PORT or https://HOST:PORT"),
    ):
        done = run("logs", *arguments)
        assert done.returncode == 1 and words in done.stderr.decode(), done.stderr

    use(second)
    server.process.send_signal(signal.SIGHUP)

    def changed():
        at = urlsplit(server.http_url)
        shown = ssl.get_server_certificate((at.hostname, at.port))
        return ssl.PEM_cert_to_DER_cert(shown) == ssl.PEM_cert_to_DER_cert(second[0].read_text())

    until(changed, "the new certificate is shown")
    assert requests.get(f"{server.http_url}/healthz", verify=second[0], timeout=30).status_code == 200


def test_beyond_loopback_a_key_is_required(new_server):
    server = new_server()
    server.http_listen = "0.0.0.0:0"
    with pytest.raises(AssertionError, match="api.key"):
        server.start()


def test_a_request_refused_by_a_later_layer_uses_no_quota(new_server):
    settings = '[[api.route]]\nroute = "GET /"\nrate = 1\nburst = 1\n' + key("daily", FIRST, daily=3)
    server = new_server(settings=settings).start()
    served = 0
    for _ in range(12):
        answer = get(server, secret=FIRST)
        if answer.status_code == 404:
            served += 1
        else:
            assert answer.json()["message"] != "Limit Exceeded" or served == 3
    assert served < 12


def test_the_requested_rendition_and_not_another_triggers(new_server):
    trigger = """
[[trigger]]
bucket = "input-product-images"
prefix = "%s/"
suffixes = [".jpg"]
destination = "output-product-thumbnail"
[[trigger.rendition]]
key = "thumb_{key}"
size = "%s"
"""
    server = new_server(settings=trigger % ("raw", "128x128") + trigger % ("big", "300x300")).start()
    server.client().put_object(Bucket=SOURCE, Key="big/a.jpg", Body=sample_images.jpeg())
    answer = get(server, "?key=big/a.jpg&size=128x128")
    assert (answer.status_code, sample_images.opened(answer.content).size) == (200, (128, 96))
