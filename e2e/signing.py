"""Signature Version 4 by hand, for requests that no library sends as they are meant to be sent.
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
    key = f"AWS4{secret}".encode()
    for part in (day, REGION, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return scope, hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def path_of(bucket, key):
    return f"/{bucket}/{quote(key, safe='/-_.~')}"


def presigned(server, method, bucket, key, expires=300, when=None, query=None):
    """A presigned URL, made at `when`, with further query fields."""
    access_key, secret = server.credentials
    when = when or _now()
    host, path = urlsplit(server.s3_url).netloc, path_of(bucket, key)
    query = (query or {}) | {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{access_key}/{when:%Y%m%d}/{REGION}/s3/aws4_request",
        "X-Amz-Date": f"{when:%Y%m%dT%H%M%SZ}",
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": "host",
    }
    text = "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in sorted(query.items()))
    canonical = f"{method}\n{path}\n{text}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    _, signature = _signature(secret, when, canonical)
    return f"{server.s3_url}{path}?{text}&X-Amz-Signature={signature}"


def headers(server, method, bucket, key, body=b"", when=None, secret=None):
    """The headers of a signed request."""
    access_key, known = server.credentials
    when = when or _now()
    host, path = urlsplit(server.s3_url).netloc, path_of(bucket, key)
    signed = {
        "host": host,
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-amz-date": f"{when:%Y%m%dT%H%M%SZ}",
    }
    names = ";".join(signed)
    lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
    canonical = f"{method}\n{path}\n\n{lines}\n{names}\n{signed['x-amz-content-sha256']}"
    scope, signature = _signature(secret or known, when, canonical)
    authorization = f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return signed | {"authorization": authorization}


def request(server, method, bucket, key, body=b"", **how):
    """Sends a signed request whose path is exactly the key's; answers (status, headers, body)."""
    connection = http.client.HTTPConnection(urlsplit(server.s3_url).netloc, timeout=30)
    try:
        sent = headers(server, method, bucket, key, body, **how)
        connection.request(method, path_of(bucket, key), body, sent)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()
