"""Unix sockets of both ports: the file's permissions decide who may connect."""

import http.client
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
import requests

import sample_images
import signing
from tintype import SOURCE
from waiting import until

READY = r"ready: S3 endpoint (http://\S+), HTTP API ((http://[^/]+)/[^\s,]+), S3 socket \S+, HTTP socket \S+\n"


class Connection(http.client.HTTPConnection):
    """A connection to a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def ask(path, method, target, body=None, headers=None):
    connection = Connection(path)
    try:
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.fixture
def folder():
    """A folder that other users may enter; its path is short enough for sockets."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def sockets(folder):
    return folder / "s3.sock", folder / "http.sock"


@pytest.fixture
def listening(new_server, sockets):
    """A factory of servers that listen on both sockets, with settings of [listen] and more."""

    def start(listen="", more="", name="own"):
        settings = f'[listen]\ns3_unix = "{sockets[0]}"\nhttp_unix = "{sockets[1]}"\n{listen}\n{more}'
        server = new_server(name, settings=settings)
        server.ready = READY
        return server

    return start


def test_the_ready_line_and_the_log_name_them(listening, sockets):
    server = listening().start()
    for path in sockets:
        assert f'"path":"{path}"' in server.log_text()


def test_both_ports_are_served(listening, sockets):
    server = listening().start()
    s3_socket, http_socket = sockets
    # S3 requires signatures as always.
    body = sample_images.jpeg()
    signed = signing.headers(server, "PUT", SOURCE, "a.jpg", body)
    status, headers, answer = ask(s3_socket, "PUT", f"/{SOURCE}/a.jpg", body, signed)
    assert (status, headers["X-Content-Type-Options"]) == (200, "nosniff"), answer
    assert ask(s3_socket, "GET", f"/{SOURCE}/a.jpg")[0] == 403
    server.thumbnail("thumb_a.jpg")
    # Access to the HTTP socket is sufficient.
    for target in ("/", "/logs", "/picture?key=a.jpg", "/dev1/myimage?key=a.jpg"):
        status, headers, _ = ask(http_socket, "GET", target)
        assert (status, headers["X-Content-Type-Options"]) == (200, "nosniff"), target
    lines = [json.loads(line) for line in server.log_text().splitlines() if '"request"' in line]
    assert any(line.get("peer") == "unix" for line in lines)
    # But requests of proxies, pages and the TCP port need a key.
    assert ask(http_socket, "GET", "/logs", headers={"Via": "1.1 proxy"})[0] == 401
    assert ask(http_socket, "GET", "/logs", headers={"Origin": "https://evil.example"})[0] == 403
    assert ask(http_socket, "GET", "/logs", headers={"Host": "rebound.example"})[0] == 403
    assert requests.get(f"{server.http_url}/logs", timeout=30).status_code == 401
    assert requests.get(server.api_url, timeout=30).status_code == 403
    assert requests.get(f"{server.http_url}/logs", auth=server.credentials, timeout=30).status_code == 200


@pytest.mark.parametrize("listen", ["trust_loopback = false", 'trusted_proxies = ["unix"]', 'trusted_proxies = ["10.0.0.5"]'])
def test_a_socket_is_trusted_no_more_than_the_settings_say(listening, sockets, listen):
    server = listening(listen).start()
    assert ask(sockets[1], "GET", "/logs")[0] == 401
    assert ask(sockets[1], "GET", "/dev1/myimage?key=a.jpg")[0] == 403
    forwarded = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    _, headers, _ = ask(sockets[1], "POST", "/logout", headers=forwarded)
    assert ("; Secure" in headers["Set-Cookie"]) == ("unix" in listen)
    id = headers["X-Amzn-Requestid"]
    until(lambda: id in server.log_text(), "the request is in the log")
    (line,) = (json.loads(line) for line in server.log_text().splitlines() if id in line)
    assert line["peer"] == ("203.0.113.7" if "unix" in listen else "unix")


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_permissions_do_not_depend_on_the_umask(listening, sockets, umask):
    before = os.umask(umask)
    try:
        listening().start()
    finally:
        os.umask(before)
    for path in sockets:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_needs_the_group(listening, sockets):
    server = listening().start()
    connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"

    def may_connect(path):
        python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
        done = subprocess.run(
            [python, "-c", connect, path], user="nobody", group="nogroup", extra_groups=[], cwd="/", capture_output=True
        )
        assert done.returncode == 0 or b"PermissionError" in done.stderr, done.stderr
        return done.returncode == 0

    for path in sockets:
        assert not may_connect(path)
        shutil.chown(path, group="nogroup")
        assert may_connect(path)
    assert server.stop() == 0


def test_the_files_are_removed_at_the_end_and_replaced_after_a_crash(listening, sockets):
    server = listening().start()
    assert server.stop() == 0
    assert not any(path.exists() for path in sockets)
    server.start()
    server.kill()
    assert all(path.is_socket() for path in sockets)
    server.start()
    assert ask(sockets[1], "GET", "/healthz")[0] == 200


def test_a_live_socket_and_other_files_are_not_replaced(listening, sockets, folder):
    first = listening().start()
    second = listening(name="second")
    with pytest.raises(AssertionError, match="another program listens there"):
        second.start()
    assert ask(sockets[1], "GET", "/healthz")[0] == 200
    assert first.stop() == 0
    sockets[0].write_text("not a socket")
    with pytest.raises(AssertionError, match="listen.s3_unix.*is not a socket"):
        second.start()
    assert sockets[0].read_text() == "not a socket"


def test_requests_in_progress_finish_at_the_end(listening, sockets):
    server = listening().start()
    connection = Connection(sockets[1])
    body = sample_images.jpeg()
    connection.putrequest("POST", "/upload?key=late.jpg")
    connection.putheader("Content-Length", str(len(body)))
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    # In progress once the server sends "100 Continue".
    assert connection.sock.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 100"
    server.process.send_signal(signal.SIGTERM)
    until(lambda: not sockets[1].exists(), "no other client is accepted")
    connection.send(body)
    assert connection.getresponse().status == 200
    connection.close()
    assert server.wait() == 0
