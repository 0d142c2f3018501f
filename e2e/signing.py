"""Signature Version 4 by hand, for requests that libraries would change.
Source: AWS, "Authenticating Requests (AWS Signature Version 4)".
"""

import datetime
import hashlib
import hmac
import http.client
from urllib.parse import quote, urlsplit

REGION = "us-east-1"


def _now():
    return datetime.datetime.now(datetime.timezone.utc)


def _signature(secret, when, canonical):
    day = when.strftime("%Y%m%d")
    scope = f"{day}/{REGION}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{when:%Y%m%dT%H%M%SZ}\n{scope}\n{digest}"
    return scope, hmac.new(_key(secret, day), text.encode(), hashlib.sha256).hexdigest()


def _key(secret, day):
    key = f"AWS4{secret}".encode()
    for part in (day, REGION, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def path_of(bucket, key):
    return f"/{bucket}/{quote(key, safe='/-_.~')}"


def _query_text(query):
    encode = lambda text: quote(text, safe="-_.~")  # noqa: E731
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in sorted(query.items()))


def presigned(server, method, bucket, key, expires=300, when=None, query=None, signed=None):
    """A presigned URL of the time `when`, with further query fields; the headers `signed` are signed, too."""
    access_key, secret = server.credentials
    when = when or _now()
    path = path_of(bucket, key)
    signed = {"host": urlsplit(server.s3_url).netloc} | (signed or {})
    names = ";".join(sorted(signed))
    query = (query or {}) | {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{access_key}/{when:%Y%m%d}/{REGION}/s3/aws4_request",
        "X-Amz-Date": f"{when:%Y%m%dT%H%M%SZ}",
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": names,
    }
    text = _query_text(query)
    lines = "".join(f"{name}:{value}\n" for name, value in sorted(signed.items()))
    canonical = f"{method}\n{path}\n{text}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
    _, signature = _signature(secret, when, canonical)
    return f"{server.s3_url}{path}?{text}&X-Amz-Signature={signature}"


def headers(server, method, bucket, key, body=b"", when=None, secret=None, query=None, more=None, payload=None, only=None):
    """The headers of a signed request: `more` are signed, too; `payload` stands in place of the body's digest; of all
    headers `only` these are signed, if given."""
    access_key, known = server.credentials
    when = when or _now()
    signed = {
        "host": urlsplit(server.s3_url).netloc,
        "x-amz-content-sha256": payload or hashlib.sha256(body).hexdigest(),
        "x-amz-date": f"{when:%Y%m%dT%H%M%SZ}",
    } | (more or {})
    names = sorted(only or signed)
    lines = "".join(f"{name}:{signed[name]}\n" for name in names)
    names = ";".join(names)
    canonical = (
        f"{method}\n{path_of(bucket, key)}\n{_query_text(query or {})}\n{lines}\n{names}\n"
        f"{signed['x-amz-content-sha256']}"
    )
    scope, signature = _signature(secret or known, when, canonical)
    authorization = f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return signed | {"authorization": authorization}


def send(server, method, bucket, key, body, headers, query=None):
    """Sends these headers unchanged to the key's path; returns (status, headers, body)."""
    connection = http.client.HTTPConnection(urlsplit(server.s3_url).netloc, timeout=30)
    target = path_of(bucket, key) + (f"?{_query_text(query)}" if query else "")
    try:
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def request(server, method, bucket, key, body=b"", query=None, unsigned=None, **how):
    """Sends a signed request, plus the headers `unsigned`; returns (status, headers, body)."""
    sent = headers(server, method, bucket, key, body, query=query, **how) | (unsigned or {})
    return send(server, method, bucket, key, body, sent, query)


def chunks(server, sent, pieces):
    """The body of a request with the headers `sent` in signed chunks, one for each piece; the last piece must be empty.
    Source: AWS, "Signature calculations for the authorization header: transferring payload in multiple chunks"."""
    _, secret = server.credentials
    date, previous = sent["x-amz-date"], sent["authorization"].rpartition("Signature=")[2]
    scope, empty = f"{date[:8]}/{REGION}/s3/aws4_request", hashlib.sha256(b"").hexdigest()
    for piece in pieces:
        digest = hashlib.sha256(piece).hexdigest()
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{date}\n{scope}\n{previous}\n{empty}\n{digest}"
        previous = hmac.new(_key(secret, date[:8]), text.encode(), hashlib.sha256).hexdigest()
        yield f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece + b"\r\n"
