"""Bodies in chunks (`Content-Encoding: aws-chunked`): all of a body, or nothing of it."""

import base64
import zlib

import pytest

import signing
from errors import refused

PIECES = [b"a" * 70_000, b"b" * 9]
BODY = b"".join(PIECES)
LENGTH = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(BODY))}
CRC32 = base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode()


def put(server, bucket, body, sent):
    return signing.send(server, "PUT", bucket, "a", body, sent)


def signed(server, bucket, payload, **more):
    return signing.headers(server, "PUT", bucket, "a", more=LENGTH | more, payload=payload)


def unsigned_chunks(*trailers):
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in PIECES)
    return chunks + b"0\r\n" + b"".join(trailer + b"\r\n" for trailer in trailers) + b"\r\n"


def stored(s3, bucket):
    return s3.get_object(Bucket=bucket, Key="a")["Body"].read()


def test_signed_chunks(server, s3, bucket):
    sent = signed(server, bucket, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    whole = b"".join(signing.chunks(server, sent, [*PIECES, b""]))
    status, _, answer = put(server, bucket, whole, sent)
    assert status == 200, answer
    assert stored(s3, bucket) == BODY
    assert "ContentEncoding" not in s3.head_object(Bucket=bucket, Key="a")


def test_a_body_without_its_final_chunk_is_refused(server, s3, bucket):
    """Every byte is there with valid chunk signatures, but the end is not signed."""
    sent = signed(server, bucket, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    cut = b"".join(signing.chunks(server, sent, PIECES))
    status, _, answer = put(server, bucket, cut, sent)
    assert (status, b"<Code>IncompleteBody</Code>" in answer) == (400, True), answer
    # Data that looks like a final chunk does not end the body.
    looks = b"\r\n0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n"
    more = LENGTH | {"x-amz-decoded-content-length": str(len(looks))}
    sent = signing.headers(server, "PUT", bucket, "a", more=more, payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    status, _, answer = put(server, bucket, b"".join(signing.chunks(server, sent, [looks])), sent)
    assert (status, b"<Code>IncompleteBody</Code>" in answer) == (400, True), answer
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")


def test_a_trailer_must_come_as_announced(server, s3, bucket):
    payload, name = "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-checksum-crc32"
    right = f"{name}:{CRC32}".encode()
    for announced, body, code in (
        (name, unsigned_chunks(right)[:-4].partition(b"\r\n0\r\n")[0] + b"\r\n", "IncompleteBody"),
        (name, unsigned_chunks(), "MalformedTrailerError"),
        (name, unsigned_chunks(right, right), "MalformedTrailerError"),
        (name, unsigned_chunks(right, b"x-amz-meta-a:b"), "MalformedTrailerError"),
        (name, unsigned_chunks(b"x-amz-checksum-sha256:AAAA"), "MalformedTrailerError"),
        (name, unsigned_chunks(f"{name}:AAAAAA==".encode()), "BadDigest"),
        ("x-amz-checksum-md5", unsigned_chunks(b"x-amz-checksum-md5:AAAA"), "InvalidRequest"),
        ("x-amz-meta-a", unsigned_chunks(b"x-amz-meta-a:b"), "InvalidRequest"),
    ):
        status, _, answer = put(server, bucket, body, signed(server, bucket, payload, **{"x-amz-trailer": announced}))
        assert (status, f"<Code>{code}</Code>".encode() in answer) == (400, True), (announced, answer)
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")
    sent = signed(server, bucket, payload, **{"x-amz-trailer": name})
    assert put(server, bucket, unsigned_chunks(right), sent)[0] == 200
    assert s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")["ChecksumCRC32"] == CRC32


@pytest.mark.parametrize(
    "more",
    [
        {"content-encoding": "aws-chunked", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"},
        {"content-encoding": "gzip, AWS-chunked", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"},
        {"x-amz-decoded-content-length": "9"},
        {"x-amz-trailer": "x-amz-checksum-crc32"},
    ],
)
def test_chunks_that_are_not_announced_by_the_digest(server, s3, bucket, more):
    status, _, answer = signing.request(server, "PUT", bucket, "a", unsigned_chunks(), more=more)
    assert (status, b"<Code>InvalidRequest</Code>" in answer) == (400, True), answer
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")


def test_a_body_whose_digest_is_signed_is_stored_as_it_is(server, s3, bucket):
    for sent, stored in (("aws-chunked", None), ("gzip, AWS-chunked", "gzip")):
        assert signing.request(server, "PUT", bucket, "a", b"x", more={"content-encoding": sent})[0] == 200
        found = s3.get_object(Bucket=bucket, Key="a")
        assert (found["Body"].read(), found.get("ContentEncoding")) == (b"x", stored)
