"""Connections: what a client may rely on when it reuses one."""

import hashlib
import http.client
import socket
from urllib.parse import urlsplit

import pytest
import requests

import sample_images
import signing


@pytest.mark.parametrize("path", ["/no-such-bucket/a", "/{bucket}/" + "k" * 1025])
def test_a_refused_upload_leaves_the_connection_usable_or_announces_its_end(server, bucket, path):
    """Clients wait for "100 Continue" before they send a body. After an error they reuse the
    connection for the next request, unless the response has `Connection: close`."""
    _, bucket, key = path.format(bucket=bucket).split("/")
    body = b"x" * 1000
    sent = signing.headers(server, "PUT", bucket, key, body)
    sent |= {"content-length": str(len(body)), "expect": "100-continue"}
    head = f"PUT {signing.path_of(bucket, key)} HTTP/1.1\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    address = urlsplit(server.s3_url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(head.encode() + b"\r\n")
        answers = connection.makefile("rb")
        status, headers = read_head(answers)
        if status == 100:
            connection.sendall(body)
            status, headers = read_head(answers)
        elif headers.get("connection", "").lower() == "close":
            return
        assert 400 <= status < 500
        answers.read(int(headers["content-length"]))
        if headers.get("connection", "").lower() == "close":
            return
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
        assert read_head(answers)[0] == 403


def read_head(answers):
    """Reads an answer up to its body."""
    line = answers.readline()
    assert line.startswith(b"HTTP/1.1 "), f"the connection ended: {line!r}"
    headers = {}
    while (field := answers.readline().strip()) != b"":
        name, value = field.decode().split(":", 1)
        headers[name.lower()] = value.strip()
    return int(line.split()[1]), headers


def test_one_connection_for_many_requests(server, s3, bucket):
    connection = http.client.HTTPConnection(urlsplit(server.s3_url).netloc, timeout=30)
    for number in range(20):
        body = str(number).encode()
        path = signing.path_of(bucket, "a")
        connection.request("PUT", path, body, signing.headers(server, "PUT", bucket, "a", body))
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        assert answer.getheader("ETag") == f'"{hashlib.md5(body).hexdigest()}"'
        connection.request("GET", path, headers=signing.headers(server, "GET", bucket, "a"))
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, body)
    connection.close()


def test_one_session_with_the_api(server):
    with requests.Session() as session:
        for body in (sample_images.jpeg(), b"no image", sample_images.png()) * 3:
            answer = session.post(server.api_url, data=body, headers={"Content-Type": "image/jpeg"}, timeout=30)
            assert answer.status_code == (415 if body == b"no image" else 200)


def test_an_upload_cut_off_stores_nothing(server, s3, bucket):
    body = b"x" * 100_000
    connection = http.client.HTTPConnection(urlsplit(server.s3_url).netloc, timeout=30)
    connection.putrequest("PUT", signing.path_of(bucket, "a"), skip_host=True, skip_accept_encoding=True)
    sent = signing.headers(server, "PUT", bucket, "a", body)
    for name, value in (sent | {"content-length": str(len(body))}).items():
        connection.putheader(name, value)
    connection.endheaders(body[:50_000])
    connection.close()
    # The next request is not affected.
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    s3.put_object(Bucket=bucket, Key="a", Body=b"whole")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"whole"
