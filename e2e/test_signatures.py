"""Authorization: every request is signed, and a signature is valid for that request alone."""

import datetime
import hashlib
import socket
import urllib.request
from urllib.parse import urlsplit

import boto3
import pytest
import requests

import signing
from errors import refused
from tintype import SOURCE


def test_wrong_secret(server, bucket):
    with refused("SignatureDoesNotMatch", 403):
        server.client(secret="x" * 40).put_object(Bucket=bucket, Key="a", Body=b"x")
    assert server.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_unknown_key(server, bucket):
    with refused("InvalidAccessKeyId", 403):
        server.client(access_key="TTUNKNOWNUNKNOWNUNKN").list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", f"/{SOURCE}"),
        ("HEAD", f"/{SOURCE}"),
        ("PUT", "/new-bucket"),
        ("DELETE", f"/{SOURCE}"),
        ("POST", f"/{SOURCE}?delete"),
        ("PUT", f"/{SOURCE}?notification"),
        ("GET", f"/{SOURCE}/a.jpg"),
        ("HEAD", f"/{SOURCE}/a.jpg"),
        ("PUT", f"/{SOURCE}/a.jpg"),
        ("DELETE", f"/{SOURCE}/a.jpg"),
        ("POST", f"/{SOURCE}/a.jpg?uploads"),
    ],
)
def test_unsigned(server, s3, method, path):
    answer = requests.request(method, server.s3_url + path, data=b"x" if method == "PUT" else None, timeout=30)
    assert answer.status_code == 403, answer.text
    if method != "HEAD":
        assert code(answer) == "AccessDenied"
    with refused("404"):
        s3.head_object(Bucket=SOURCE, Key="a.jpg")
    with refused("404"):
        s3.head_bucket(Bucket="new-bucket")


def test_an_unsigned_form(server, s3):
    form = {"key": (None, "a.jpg"), "file": ("a.jpg", b"x")}
    assert requests.post(f"{server.s3_url}/{SOURCE}", files=form, timeout=30).status_code in (400, 403, 501)
    with refused("404"):
        s3.head_object(Bucket=SOURCE, Key="a.jpg")


def code(answer):
    return answer.text.split("<Code>")[-1].split("</Code>")[0]


def test_presigned_get_and_put(server, s3, bucket):
    at = {"Bucket": bucket, "Key": "a b+c.txt"}
    put = s3.generate_presigned_url("put_object", Params=at)
    assert requests.put(put, data=b"by requests", timeout=30).status_code == 200
    get = s3.generate_presigned_url("get_object", Params=at)
    assert requests.get(get, timeout=30).content == b"by requests"
    with urllib.request.urlopen(get, timeout=30) as answer:
        assert answer.read() == b"by requests"
    # A URL is valid for its own method alone.
    for method, url in (("PUT", get), ("GET", put), ("DELETE", get)):
        answer = requests.request(method, url, timeout=30)
        assert (answer.status_code, code(answer)) == (403, "SignatureDoesNotMatch")
    assert s3.get_object(**at)["Body"].read() == b"by requests"


def test_presigned_with_a_content_type(server, s3, bucket):
    params = {"Bucket": bucket, "Key": "a", "ContentType": "image/png"}
    url = s3.generate_presigned_url("put_object", Params=params)
    assert requests.put(url, data=b"x", headers={"Content-Type": "image/gif"}, timeout=30).status_code == 403
    assert requests.put(url, data=b"x", headers={"Content-Type": "image/png"}, timeout=30).status_code == 200
    assert s3.head_object(Bucket=bucket, Key="a")["ContentType"] == "image/png"


def test_presigned_urls_expire(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=10)
    good = signing.presigned(server, "GET", bucket, "a", expires=3600, when=ago)
    assert requests.get(good, timeout=30).content == b"x"
    expired = requests.get(signing.presigned(server, "GET", bucket, "a", expires=60, when=ago), timeout=30)
    assert (expired.status_code, code(expired)) == (403, "AccessDenied")
    assert "expired" in expired.text.lower()
    # S3's bound is a week.
    long = requests.get(signing.presigned(server, "GET", bucket, "a", expires=8 * 24 * 3600), timeout=30)
    assert (long.status_code, code(long)) == (400, "AuthorizationQueryParametersError")


def test_tampered_presigned_urls(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    s3.put_object(Bucket=bucket, Key="b", Body=b"secret")
    url = signing.presigned(server, "GET", bucket, "a")
    assert requests.get(url, timeout=30).status_code == 200
    other = url[:-1] + ("0" if url[-1] != "0" else "1")
    for tampered in (url.replace("/a?", "/b?"), url.replace("Expires=300", "Expires=301"), other):
        answer = requests.get(tampered, timeout=30)
        assert (answer.status_code, code(answer)) == (403, "SignatureDoesNotMatch"), tampered
        assert b"secret" not in answer.content


def test_old_signatures(server, bucket):
    """AWS, "Signature Version 4": a request is valid for 15 minutes."""
    ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=30)
    status, _, body = signing.request(server, "PUT", bucket, "a", b"x", when=ago)
    assert (status, b"<Code>RequestTimeTooSkewed</Code>" in body) == (403, True), body


def test_the_body_is_signed_too(server, s3, bucket):
    sent = signing.headers(server, "PUT", bucket, "a", b"this body")
    del sent["host"]
    answer = requests.put(f"{server.s3_url}{signing.path_of(bucket, 'a')}", data=b"that body", headers=sent, timeout=30)
    assert answer.status_code == 400, answer.text
    assert code(answer) == "XAmzContentSHA256Mismatch"
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")


def test_keys_from_the_environment(new_server):
    known = {"TINTYPE_ACCESS_KEY_ID": "chosen-id", "TINTYPE_SECRET_ACCESS_KEY": "chosen-secret-key"}
    server = new_server(env=known).start()
    assert not (server.data / "credentials").exists()
    status = requests.get(server.s3_url, timeout=30).status_code
    assert status == 403
    s3 = boto3.client(
        "s3", endpoint_url=server.s3_url, region_name="us-east-1",
        aws_access_key_id="chosen-id", aws_secret_access_key="chosen-secret-key",
    )  # fmt: skip
    assert s3.list_buckets()["Buckets"]


def test_what_a_presigned_url_does_not_sign_is_not_done(server, s3, bucket):
    """An uploader's URL must not copy a foreign object to where the uploader can read it."""
    s3.put_object(Bucket=bucket, Key="hidden", Body=b"private", Metadata={"marked": "yes"})
    put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "mine"})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="mine")["UploadId"]
    part = {"Bucket": bucket, "Key": "mine", "UploadId": upload, "PartNumber": 1}
    upload_part = s3.generate_presigned_url("upload_part", Params=part)
    copy = {"x-amz-copy-source": f"/{bucket}/hidden"}
    for url, more in (
        (put, copy),
        (upload_part, copy),
        (put, {"x-amz-meta-a": "b"}),
        (put, {"x-amz-acl": "private"}),
        (put, {"x-amz-storage-class": "STANDARD"}),
        (put, {"x-amz-checksum-crc32": "AAAAAA=="}),
        (put, {"x-amz-date": "20300101T000000Z"}),
        (put, {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}),
        (put, {"x-amz-unheard-of": "1"}),
    ):
        answer = requests.put(url, data=b"x", headers=more, timeout=30)
        assert (answer.status_code, code(answer)) == (403, "AccessDenied"), answer.text
        assert "There were headers present in the request which were not signed" in answer.text
        assert f"<HeadersNotSigned>{', '.join(more)}</HeadersNotSigned>" in answer.text
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="mine")
    assert "Parts" not in s3.list_parts(Bucket=bucket, Key="mine", UploadId=upload)


def test_what_an_authorization_header_does_not_sign_is_not_done(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="hidden", Body=b"private")
    copy = {"x-amz-copy-source": f"/{bucket}/hidden"}
    for unsigned in (copy, {"x-amz-meta-a": "b"}, {"x-amz-acl": "private"}):
        status, _, answer = signing.request(server, "PUT", bucket, "mine", b"x", unsigned=unsigned)
        assert (status, b"<HeadersNotSigned>" in answer) == (403, True), answer
    # Listed but not signed: by a name that no header has, by a value that is no text.
    for unsigned, listed in (
        (copy, "X-Amz-Copy-Source"),
        (copy, " x-amz-copy-source"),
        ({"x-amz-meta-a": b"\xff"}, "x-amz-meta-a"),
    ):
        sent = signing.headers(server, "PUT", bucket, "mine", b"x")
        sent["authorization"] = sent["authorization"].replace("x-amz-date,", f"x-amz-date;{listed},")
        status, _, answer = signing.send(server, "PUT", bucket, "mine", b"x", sent | unsigned)
        assert status == 403, answer
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="mine")
    # What is signed is done.
    assert signing.request(server, "PUT", bucket, "mine", more=copy)[0] == 200
    assert s3.get_object(Bucket=bucket, Key="mine")["Body"].read() == b"private"


def test_host_and_date_must_be_signed(server, s3, bucket):
    when = datetime.datetime.now(datetime.timezone.utc)
    for signed_names in ("x-amz-content-sha256;x-amz-date", "host;x-amz-content-sha256", "host;x-amz-date"):
        sent = signing.headers(server, "PUT", bucket, "a", b"x", when=when, only=signed_names.split(";"))
        status, _, answer = signing.send(server, "PUT", bucket, "a", b"x", sent)
        assert (status, b"<HeadersNotSigned>" in answer) == (403, True), answer
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")


def test_a_request_without_a_host_is_not_signed_for_one(server, s3, bucket):
    sent = signing.headers(server, "PUT", bucket, "a", b"x", only=["x-amz-content-sha256", "x-amz-date"])
    lines = [f"PUT {signing.path_of(bucket, 'a')} HTTP/1.0", *(f"{name}: {value}" for name, value in sent.items() if name != "host")]
    with socket.create_connection(urlsplit(server.s3_url).netloc.split(":"), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "Content-Length: 1", "", "x"]).encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b" 403 " in answer.splitlines()[0] and b"<HeadersNotSigned>host<" in answer, answer
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")


def test_query_parameters_of_a_presigned_url_count_as_headers(server, s3, bucket):
    def put(query, signed=None, headers=None, body=b"x"):
        url = signing.presigned(server, "PUT", bucket, "a", query=query, signed=signed)
        return requests.put(url, data=body, headers=headers, timeout=30)

    assert put({"x-amz-meta-a": "b c", "X-Amz-Meta-D": "e", "x-amz-acl": "private"}).status_code == 200
    assert s3.head_object(Bucket=bucket, Key="a")["Metadata"] == {"a": "b c", "d": "e"}
    s3.put_object(Bucket=bucket, Key="hidden", Body=b"private")
    assert put({"x-amz-copy-source": f"/{bucket}/hidden"}, body=b"").status_code == 200
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"private"
    s3.delete_object(Bucket=bucket, Key="a")
    for query, status in (
        ({"x-amz-acl": "public-read"}, 403),
        ({"x-amz-acl": "public-read-write"}, 403),
        ({"x-amz-acl": "aws-exec-read"}, 501),
        ({"x-amz-object-lock-mode": "GOVERNANCE"}, 501),
        ({"x-amz-server-side-encryption": "AES256"}, 501),
        ({"x-amz-server-side-encryption-customer-key": "AAAA"}, 501),
        ({"x-amz-checksum-crc32": "AAAAAQ=="}, 400),
        ({"x-amz-meta-a": "b\nc"}, 400),
        ({"X-Amz-Content-Sha256": "0" * 64}, 501),
        ({"x-amz-acl": ""}, 400),
        ({"X-Amz-Security-Token": "token"}, 400),
        ({"x-amz-expected-bucket-owner": "111122223333"}, 403),
    ):
        answer = put(query)
        assert answer.status_code == status, (query, answer.text)
    # Given in both places, precedence would be ambiguous.
    answer = put({"x-amz-meta-a": "b"}, {"x-amz-meta-a": "c"}, {"x-amz-meta-a": "c"})
    assert (answer.status_code, code(answer)) == (400, "InvalidArgument")
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")


def test_what_makes_a_presigned_url_has_one_spelling(server, s3, bucket):
    digest = hashlib.sha256(b"good").hexdigest()
    for query in (
        {"x-amz-content-sha256": digest},
        {"X-AMZ-Content-SHA256": digest},
        {"x-amz-date": "20300101T000000Z"},
        {"x-amz-decoded-content-length": "4"},
        {"x-amz-trailer": "x-amz-checksum-crc32"},
    ):
        answer = requests.put(signing.presigned(server, "PUT", bucket, "a", query=query), data=b"evil", timeout=30)
        assert (answer.status_code, code(answer)) == (400, "InvalidArgument"), (query, answer.text)
    # Nor does one of them change a request that is signed by header.
    for query in ({"X-Amz-SignedHeaders": "host"}, {"X-Amz-Date": "1"}, {"x-amz-acl": "private"}):
        status, _, answer = signing.request(server, "PUT", bucket, "a", b"x", query=query)
        assert (status, b"<Code>NotImplemented</Code>" in answer) == (501, True), (query, answer)
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")


def test_the_presigned_checksum_of_an_empty_body(server, s3, bucket):
    """The AWS SDK for JavaScript presigns the checksum of no bytes; a checksum of any is compared."""
    nothing = {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-sdk-checksum-algorithm": "CRC32", "x-id": "PutObject"}
    url = signing.presigned(server, "PUT", bucket, "a", query=nothing)
    assert requests.put(url, data=b"body", timeout=30).status_code == 200
    url = signing.presigned(server, "PUT", bucket, "a", query=nothing | {"x-amz-checksum-crc32": "AAAAAQ=="})
    answer = requests.put(url, data=b"other", timeout=30)
    assert (answer.status_code, code(answer)) == (400, "BadDigest")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"body"


def test_spaces_that_a_signature_does_not_tell_apart(server, s3, bucket):
    for key in ("a b", "a  b", "a\tb"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    sent = signing.headers(server, "PUT", bucket, "mine", more={"x-amz-copy-source": f"/{bucket}/a b"})
    for key in ("a  b", "a\tb"):
        changed = sent | {"x-amz-copy-source": f"/{bucket}/{key}"}
        status, _, answer = signing.send(server, "PUT", bucket, "mine", b"", changed)
        assert (status, b"<Code>InvalidArgument</Code>" in answer) == (400, True), answer
    assert signing.send(server, "PUT", bucket, "mine", b"", sent)[0] == 200
    assert s3.get_object(Bucket=bucket, Key="mine")["Body"].read() == b"a b"


def test_a_form_is_no_way_around_a_signature(server, s3, bucket):
    """Its policy signs its fields, not the request; s3s would accept it as a signature of the request."""
    form = s3.generate_presigned_post(bucket, "user/x")
    body = b"".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in form["fields"].items())
    body += b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--b--\r\n'
    s3.put_object(Bucket=bucket, Key="existing", Body=b"x")
    host = urlsplit(server.s3_url).netloc
    for kinds in ([b'multipart/form-data; boundary=b; a="\xc3\xa9"'], [b"\xff", b"multipart/form-data; boundary=b"], [b"text/plain", b"multipart/form-data; boundary=b"]):
        for target in (f"/{bucket}?delete", f"/{bucket}/k?uploads&X-Amz-SignedHeaders=host", f"/{bucket}?X-Amz-SignedHeaders=host"):
            lines = [f"POST {target} HTTP/1.1".encode(), f"Host: {host}".encode(), *(b"Content-Type: " + kind for kind in kinds)]
            lines += [f"Content-Length: {len(body)}".encode(), b"Connection: close", b"", body]
            with socket.create_connection(host.split(":"), timeout=30) as connection:
                connection.sendall(b"\r\n".join(lines))
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.1 501"), answer
            assert b"<Code>MalformedPOSTRequest" not in answer, answer
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["existing"]


def test_parameters_that_s3_ignores_are_signed(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    url = signing.presigned(server, "GET", bucket, "a", query={"x-id": "GetObject", "x-trace": "1"})
    assert requests.get(url, timeout=30).content == b"x"
    assert code(requests.get(url.replace("x-trace=1", "x-trace=2"), timeout=30)) == "SignatureDoesNotMatch"
    assert code(requests.get(f"{url}&x-trace=2", timeout=30)) == "InvalidArgument"


def test_one_signature_a_request(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    sent = signing.headers(server, "GET", bucket, "a")
    url = signing.presigned(server, "GET", bucket, "a")
    answer = requests.get(url, headers={"authorization": sent["authorization"]}, timeout=30)
    assert (answer.status_code, code(answer)) == (400, "InvalidArgument")


def test_signature_version_2_is_refused_with_a_message(server, bucket):
    """Presigned, by header, by form: it signs too little, and S3 refuses it for buckets made since 2020."""
    old = server.client(signature_version="s3")
    with refused("InvalidRequest", 400, "Signature Version 4"):
        old.list_objects_v2(Bucket=bucket)
    url = old.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a"})
    assert "AWSAccessKeyId=" in url
    answer = requests.put(url, data=b"x", timeout=30)
    assert (answer.status_code, code(answer)) == (400, "InvalidRequest")
    assert "s3v4" in answer.text
    form = old.generate_presigned_post(bucket, "a")
    answer = requests.post(form["url"], data=form["fields"], files={"file": b"x"}, timeout=30)
    assert (answer.status_code, code(answer)) == (400, "InvalidRequest")
    assert "s3v4" in answer.text
    assert server.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_session_tokens_and_other_services(server, s3, bucket):
    status, _, answer = signing.request(server, "GET", bucket, "a", more={"x-amz-security-token": "token"})
    assert (status, b"<Code>InvalidToken</Code>" in answer) == (400, True), answer
