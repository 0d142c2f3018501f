"""No client locks a port: connections, unfinished heads and descriptors under limits. Clients are addresses of the
network 127.0.0.0/8."""

import contextlib
import http.client
import os
import resource
import socket
import time
from urllib.parse import urlsplit

import pytest
import requests

import signing
from tintype import SOURCE, Server
from waiting import until

ATTACKER, OTHER = "127.0.0.1", "127.0.0.2"
BODY = b"not an image, which is stored all the same"


# Of this process, too: many systems have 1,024 as the soft limit.
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


@contextlib.contextmanager
def connections(url, count, source=ATTACKER, sent=b"GET / HT"):
    """Connections that have sent this; those that are refused at once stay in the list, too."""
    opened = []
    try:
        for _ in range(count):
            opened.append(connect(url, source))
            with contextlib.suppress(OSError):
                opened[-1].sendall(sent)
        yield opened
    finally:
        for connection in opened:
            connection.close()


def connect(url, source):
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=30, source_address=(source, 0))


def request(server, source, url, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60, source_address=(source, 0))
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def healthz(server, source=OTHER):
    return request(server, source, server.http_url, "GET", "/healthz")


def put(server, source, key):
    sent = signing.headers(server, "PUT", SOURCE, key, BODY)
    return request(server, source, server.s3_url, "PUT", signing.path_of(SOURCE, key), BODY, sent)


def is_open(connection):
    """Whether the server has not closed a connection. What it has sent is read."""
    connection.setblocking(False)
    try:
        while connection.recv(4096):
            pass
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.settimeout(30)


def count_open(opened):
    return sum(map(is_open, opened))


def test_a_thousand_slow_heads_of_one_address_lock_no_port(new_server):
    server = new_server().start()
    with connections(server.http_url, 1000) as to_http, connections(server.s3_url, 1000) as to_s3:
        for number in range(5):
            assert healthz(server) == (200, b'{"message":"alive"}')
            assert put(server, OTHER, f"a{number}.txt")[0] == 200
        # Of the address itself few stay, and it may use the ports again.
        until(lambda: count_open(to_http) <= 64 and count_open(to_s3) <= 64, "most slow heads are closed")
        assert healthz(server, ATTACKER)[0] == 200
        assert put(server, ATTACKER, "b.txt")[0] == 200
    assert 1 <= server.log_text().count("connections were refused") <= 4


def test_slow_heads_of_many_addresses_lock_no_port(new_server):
    server = new_server().start()
    with contextlib.ExitStack() as stack:
        opened = []
        for number in range(3, 203):
            opened += stack.enter_context(connections(server.http_url, 8, f"127.0.0.{number}"))
        # Those that are full of heads that are not slow yet refuse for two seconds.
        until(lambda: attempt(lambda: healthz(server)) == (200, b'{"message":"alive"}'), "it is answered")
        until(lambda: count_open(opened) <= 1024, "the others were refused or closed")


def attempt(ask):
    try:
        return ask()
    except (OSError, http.client.HTTPException):
        return None


def test_requests_in_progress_of_one_address_leave_room_for_others(new_server):
    server = new_server().start()
    body = b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\na="
    with connections(server.http_url, 1000, sent=body) as opened:
        assert healthz(server)[0] == 200
        until(lambda: count_open(opened) == 512, "the others were refused")
        # One more is answered why, as one of few.
        status, words = until(lambda: attempt(lambda: healthz(server, ATTACKER)), "it is answered")
        assert (status, b"listen.connections_per_address" in words) == (503, True)


def limited_to(descriptors):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    return limit


@pytest.fixture
def limited_server(new_server):
    server = new_server()
    server.before_start = limited_to(256)
    return server.start()


def keep_alive(url, source, path):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60, source_address=(source, 0))
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    # 403: nobody is known to the S3 port.
    assert answer.status == (200 if path == "/healthz" else 403), answer.status
    return connection


def test_idle_connections_make_room_and_take_no_descriptors_from_a_put(limited_server):
    server = limited_server
    sent = signing.headers(server, "PUT", SOURCE, "slow.txt", BODY) | {"content-length": str(len(BODY))}
    head = f"PUT {signing.path_of(SOURCE, 'slow.txt')} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in sent.items())
    with connect(server.s3_url, OTHER) as established, contextlib.ExitStack() as stack:
        established.sendall(head.encode() + b"\r\n" + BODY[:5])
        idle = []
        for number in range(400):
            url, path = ((server.s3_url, "/"), (server.http_url, "/healthz"))[number % 2]
            idle.append(keep_alive(url, f"127.0.0.{3 + number % 20}", path))
            stack.callback(idle[-1].close)
        open_now = [connection for connection in idle if is_open(connection.sock)]
        assert 8 <= len(open_now) < 100
        # The latest ones are open.
        assert all(is_open(connection.sock) for connection in idle[-10:])
        for number in range(20):
            assert put(server, OTHER, f"new{number}.txt")[0] == 200
        established.sendall(BODY[5:])
        assert established.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert "Too many open files" not in server.log_text()


def test_the_soft_limit_on_descriptors_is_raised(new_server):
    server = new_server()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    server.before_start = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    server.start()
    assert resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)


def test_accept_failures_are_logged_once_and_end(new_server):
    server = new_server().start()
    pid = server.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), limits[1]))
    with connections(server.http_url, 20, OTHER) as waiting:
        until(lambda: "connections could not be accepted" in server.log_text(), "it is logged")
        before = cpu_seconds(pid)
        time.sleep(1)
        assert cpu_seconds(pid) - before < 0.5, "it does not spin"
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        assert healthz(server)[0] == 200
        assert all(map(is_open, waiting))
    assert server.log_text().count("connections could not be accepted") == 1


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def forwarded(server, address):
    headers = {"X-Forwarded-For": f"198.51.100.1, {address}", "Host": urlsplit(server.http_url).netloc}
    return request(server, "127.0.0.1", server.http_url, "GET", "/healthz", headers=headers)


def test_behind_a_trusted_proxy_the_forwarded_address_counts(new_server):
    settings = '[listen]\ntrusted_proxies = ["127.0.0.1"]\nconnections_per_address = 4\n'
    server = new_server(settings=settings).start()
    head = "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: 203.0.113.9\r\nContent-Length: 99\r\n"
    head += "Content-Type: application/x-www-form-urlencoded\r\n\r\na="
    with contextlib.ExitStack() as stack:

        def one_more():
            stack.enter_context(connections(server.http_url, 1, sent=head.encode()))
            return forwarded(server, "203.0.113.9")[0] == 503

        until(one_more, "it has as many as it may")
        assert forwarded(server, "203.0.113.10")[0] == 200
        # The proxy itself may have any number.
        with connections(server.http_url, 100):
            assert forwarded(server, "203.0.113.10")[0] == 200
    until(lambda: forwarded(server, "203.0.113.9")[0] == 200, "those have ended")


def test_sockets_have_no_limit_by_client(new_server, tmp_path):
    path = tmp_path / "http.sock"
    server = new_server(settings=f'[listen]\nhttp_unix = "{path}"\nconnections_per_address = 4\n')
    server.ready = r"ready: S3 endpoint (http://\S+), HTTP API ((http://[^/]+)/[^\s,]+), HTTP socket \S+\n"
    server.start()
    opened = []
    try:
        for _ in range(900):
            opened.append(socket.socket(socket.AF_UNIX))
            opened[-1].settimeout(30)
            opened[-1].connect(str(path))
            opened[-1].sendall(b"GET /healthz HT")
        # Beyond the limit they wait; slow heads make room.
        opened[-1].sendall(b"TP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert opened[-1].recv(4096).startswith(b"HTTP/1.1 200 ")
    finally:
        for connection in opened:
            connection.close()


def test_the_limit_is_a_setting_that_sighup_reads_again(new_server):
    server = new_server(settings="[listen]\nconnections_per_address = 2\n").start()
    with contextlib.closing(keep_alive(server.http_url, OTHER, "/healthz")):
        # It is idle once its response is flushed, which may be after it has arrived.
        time.sleep(0.1)
        head = b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n"
        with connections(server.http_url, 2, OTHER, sent=head) as opened:
            assert healthz(server, ATTACKER)[0] == 200
            until(lambda: (attempt(lambda: healthz(server)) or [0])[0] == 503, "it has as many as it may")
            server.config.write_text("[listen]\nconnections_per_address = 20\n")
            server.process.send_signal(1)
            until(lambda: (attempt(lambda: healthz(server)) or [0])[0] == 200, "it may have more")
            assert count_open(opened) == 2


def test_an_unusable_limit_is_refused(new_server):
    server = new_server(settings="[listen]\nconnections_per_address = 5000\n")
    with pytest.raises(AssertionError, match="listen.connections_per_address"):
        server.start()


def test_health_is_asked_for_by_requests_as_ever(server: Server):
    with requests.Session() as session:
        for _ in range(10):
            assert session.get(f"{server.http_url}/healthz", timeout=30).status_code == 200
