"""The recipe for nginx of the guide, unchanged except names, ports and certificates."""

import json
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import boto3
import pytest
import requests
from botocore.config import Config
from requests.adapters import HTTPAdapter

import sample_images
from test_trust import SHOP, assert_it_opens, assert_nothing_is_open, filled, send
from tintype import REGION, ROOT, SOURCE
from waiting import until

GUIDE = ROOT / "docs/guides/reverse-proxy.md"
KEY = "write-20-characters-or-more"
# No default: distinguishes the client's requests from the proxy's own.
CLIENT = "127.0.0.2"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class FromClient(HTTPAdapter):
    def init_poolmanager(self, *arguments, **more):
        super().init_poolmanager(*arguments, source_address=(CLIENT, 0), **more)


class Proxy:
    """nginx in the foreground, with the given servers."""

    def __init__(self, folder, servers):
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        assert program, 'nginx is missing: "apt-get install nginx"'
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = folder / "nginx.conf"
        # The workers of an nginx started by root would run as another user.
        config.write_text(
            f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{servers}\n}}\n"
        )
        self.log = folder / "error.log"
        self.process = subprocess.Popen([program, "-p", folder, "-c", config, "-e", self.log])

    def wait_for(self, port):
        def answers():
            assert self.process.poll() is None, self.log.read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(answers, "nginx listens")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def proxy():
    """Starts nginx with servers; it ends with the test."""
    folder, started = Path(tempfile.mkdtemp()), []

    def start(servers, *ports):
        started.append(Proxy(folder, servers))
        for port in ports:
            started[-1].wait_for(port)

    try:
        yield start
    finally:
        for proxy in started:
            proxy.stop()
        shutil.rmtree(folder)


def certificate(folder):
    files = folder / "images.crt", folder / "images.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=images.example", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


def with_replaced(text, replaced):
    for pattern, value in replaced.items():
        text, count = re.subn(pattern, str(value), text)
        assert count, f"{pattern} is not in the guide's recipe"
    return text


@pytest.fixture(params=["port", "socket"])
def behind(request, new_server, proxy, tmp_path):
    """A server behind the guide's nginx; returns it with its public addresses."""
    folder = Path(tempfile.mkdtemp())
    settings = blocks("toml")
    api = settings[0]
    s3_port, http_port = free_port(), free_port()
    if request.param == "port":
        ready, written = None, api
    else:
        sockets = settings[1].replace("/run/tintype", str(folder))
        written = sockets + api[api.index("[api]") :]
        ready = r"ready: S3 endpoint (http://\S+), HTTP API ((http://[^/]+)/[^\s,]+), .*\n"
    server = new_server(settings=written.replace("s3.images.example", f"127.0.0.1:{s3_port}"))
    server.ready = ready or server.ready
    server.start()
    if request.param == "port":
        http_at, s3_at = server.http_url, server.s3_url
    else:
        http_at, s3_at = f"http://unix:{folder}/http.sock", f"http://unix:{folder}/s3.sock"
    crt, key = certificate(tmp_path)
    (recipe,) = blocks("nginx")
    servers = with_replaced(
        recipe,
        {
            r"/etc/ssl/images\.example\.crt": crt,
            r"/etc/ssl/images\.example\.key": key,
            r"http://127\.0\.0\.1:8080": http_at,
            r"http://127\.0\.0\.1:9000": s3_at,
            r"listen 443 ssl;(?=\s+server_name images)": f"listen 127.0.0.1:{http_port} ssl;",
            r"listen 443 ssl;(?=\s+server_name s3)": f"listen 127.0.0.1:{s3_port} ssl;",
        },
    )
    proxy(servers, http_port, s3_port)
    try:
        yield server, f"https://127.0.0.1:{http_port}", f"https://127.0.0.1:{s3_port}", str(crt)
    finally:
        shutil.rmtree(folder)


def test_the_guides_settings_are_used():
    assert all("trust_loopback = false" in block for block in blocks("toml"))


def test_through_the_proxy_nothing_is_open_without_a_key_and_everything_with_it(behind):
    server, base, s3_base, verify = behind
    filled(server)
    assert_nothing_is_open(server, base, verify=verify)
    assert_it_opens(server, base, key=KEY, verify=verify)
    # Whatever headers a client sends.
    for headers in ({"Host": "127.0.0.1"}, {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}):
        assert send(base, "GET", "/logs", headers=headers, verify=verify).status_code == 401

    person = requests.Session()
    access_key, secret = server.credentials
    form = {"access_key_id": access_key, "secret_access_key": secret}
    origin = {"Origin": base}
    login = person.post(f"{base}/login", data=form, headers=origin, verify=verify, allow_redirects=False, timeout=30)
    assert login.status_code == 303 and "; Secure" in login.headers["set-cookie"]
    assert person.post(f"{base}/retry", data={"key": "a.jpg"}, headers=origin, verify=verify, timeout=30).status_code == 200
    foreign = person.post(f"{base}/retry", data={"key": "a.jpg"}, headers={"Origin": SHOP}, verify=verify, timeout=30)
    assert foreign.status_code == 403


def test_an_upload_form_and_s3_through_the_proxy(behind):
    server, base, s3_base, verify = behind
    headers = {"X-Api-Key": KEY}
    form = requests.post(
        f"{base}/dev1/myimage/uploads", json={"key": "form.jpg"}, headers=headers, verify=verify, timeout=30
    ).json()
    assert form["url"] == f"{s3_base}/{SOURCE}"
    files = {form["file_field"]: ("form.jpg", sample_images.jpeg(), "image/jpeg")}
    sent = requests.post(form["url"], data=form["fields"], files=files, verify=verify, timeout=30)
    assert sent.status_code == 201, sent.text
    server.thumbnail("thumb_form.jpg")

    access_key, secret = server.credentials
    s3 = boto3.client(
        "s3", endpoint_url=s3_base, region_name=REGION, aws_access_key_id=access_key, aws_secret_access_key=secret,
        verify=verify, config=Config(s3={"addressing_style": "path"}),
    )  # fmt: skip
    body = sample_images.noise(1000, 800)
    # nginx drops such header names by default, and they are signed.
    metadata = {"plain": "1", "with_underscore": "2", "with.dot": "3", "_": "4", "a.b_c-d": "5"}
    s3.put_object(Bucket=SOURCE, Key="raw é+.jpg", Body=body, Metadata=metadata)
    read = s3.get_object(Bucket=SOURCE, Key="raw é+.jpg")
    assert (read["Body"].read(), read["Metadata"]) == (body, metadata)
    assert requests.get(f"{s3_base}/{SOURCE}", verify=verify, timeout=30).status_code == 403


def test_the_access_log_has_the_clients_address(behind):
    server, base, _, verify = behind
    client = requests.Session()
    client.mount("https://", FromClient())
    for spoofed in ({}, {"X-Forwarded-For": "198.51.100.9"}, {"Forwarded": "for=198.51.100.9"}):
        answer = client.get(f"{base}/logs", headers=spoofed, verify=verify, timeout=30)
        id = answer.headers["X-Amzn-Requestid"]
        until(lambda id=id: server.log_text().count(id) >= 2, "request and decision are in the log")
        lines = [json.loads(line) for line in server.log_text().splitlines() if id in line]
        (line,) = (line for line in lines if line["message"] == "request")
        assert line["peer"] == CLIENT


def test_a_proxy_that_adds_no_header_opens_nothing_either(new_server, proxy):
    """nginx's defaults: its requests look like those of a local program."""
    server = filled(new_server(settings="[listen]\ntrust_loopback = false\n").start())
    port = free_port()
    proxy(f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {server.http_url}; }} }}", port)
    assert_nothing_is_open(server, f"http://127.0.0.1:{port}")
    assert_it_opens(server, f"http://127.0.0.1:{port}", key=None)


def test_paths_of_imgproxy_are_rewritten(new_server, tmp_path):
    """The recipe of the guide that moves from imgproxy."""
    server = new_server(settings=f'[listen]\ntrust_loopback = false\n[[api.key]]\nname = "shop"\nkey = "{KEY}"\n').start()
    body = sample_images.jpeg(640, 480)
    keys = ["photo.jpg", "a folder/\u00fc+1 & 2.jpg"]
    for key in keys:
        server.client().put_object(Bucket=SOURCE, Key=key, Body=body)
    guide = (ROOT / "docs/guides/from-imgproxy-or-thumbor.md").read_text()
    [recipe] = re.findall(r"^```nginx\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    port = free_port()
    recipe = recipe.replace("listen 80", f"listen 127.0.0.1:{port}").replace("http://127.0.0.1:8080", server.http_url)
    proxy = Proxy(tmp_path, recipe)
    try:
        proxy.wait_for(port)
        for key in keys:
            path = f"/insecure/rs:fit:300:200/plain/s3://{SOURCE}/{quote(key)}"
            answer = requests.get(f"http://127.0.0.1:{port}{path}", timeout=30)
            assert answer.status_code == 200, answer.text
            assert sample_images.opened(answer.content).size == (267, 200)
    finally:
        proxy.stop()
