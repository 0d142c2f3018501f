"""Uploads by form under a POST policy, and CORS of buckets."""

import pytest
import requests

import sample_images
from tintype import SOURCE

SHOP = "https://shop.example"


def form(server, key="forms/new.jpg", **more):
    answer = requests.post(f"{server.api_url}/uploads", json={"key": key} | more, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def send(form, body, kind="image/jpeg", fields=None):
    files = {"file": ("photo.jpg", body, kind)}
    return requests.post(form["url"], data=form["fields"] | (fields or {}), files=files, timeout=30)


def test_a_form_of_the_api(server, s3):
    body = sample_images.jpeg(colour=sample_images.GREEN)
    answer = send(form(server, content_type="image/jpeg"), body)
    assert answer.status_code == 201, answer.text
    assert "<Key>forms/new.jpg</Key>" in answer.text
    got = s3.get_object(Bucket=SOURCE, Key="forms/new.jpg")
    assert (got["Body"].read(), got["ContentType"]) == (body, "image/jpeg")
    assert answer.headers["ETag"] == got["ETag"]
    # An ordinary upload.
    server.thumbnail("thumb_forms/new.jpg", got["ETag"])


@pytest.mark.parametrize(("key", "kind"), [("forms/untold.png", "image/png"), ("forms/untold", "image/jpeg")])
def test_a_form_without_a_type_has_that_of_its_name(server, s3, key, kind):
    answer = send(form(server, key), sample_images.png())
    assert answer.status_code == 201, answer.text
    assert s3.head_object(Bucket=SOURCE, Key=key)["ContentType"] == kind


def test_a_form_of_boto3(server, s3, bucket):
    fields = {"success_action_status": "200", "x-amz-meta-colour": "red", "Cache-Control": "no-cache"}
    conditions = [{name: value} for name, value in fields.items()]
    conditions += [["starts-with", "$key", "user/"], ["content-length-range", 5, 20]]
    given = s3.generate_presigned_post(bucket, "user/${filename}", fields, conditions, ExpiresIn=60)
    assert send(given, b"some bytes").status_code == 200
    head = s3.head_object(Bucket=bucket, Key="user/photo.jpg")
    assert (head["Metadata"], head["CacheControl"]) == ({"colour": "red"}, "no-cache")
    # The file was sent as image/jpeg, which the policy does not sign.
    assert head["ContentType"] == "binary/octet-stream"
    assert (send(given, b"four").status_code, send(given, b"x" * 21).status_code) == (400, 400)


def test_the_files_name_in_any_field(s3, bucket):
    fields = {"x-amz-meta-name": "it is ${filename}", "tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"}
    conditions = [["starts-with", "$x-amz-meta-name", "it is "], {"tagging": fields["tagging"]}, ["starts-with", "$key", "user/"]]
    given = s3.generate_presigned_post(bucket, "user/${filename}", fields, conditions)
    for path in ("photo.jpg", r"C:\My photos\photo.jpg", "/home/me/photo.jpg"):
        answer = requests.post(given["url"], data=given["fields"], files={"file": (path, path.encode())}, timeout=30)
        assert answer.status_code == 204, answer.text
        found = s3.get_object(Bucket=bucket, Key="user/photo.jpg")
        assert (found["Body"].read(), found["Metadata"]) == (path.encode(), {"name": "it is photo.jpg"})
    assert s3.get_object_tagging(Bucket=bucket, Key="user/photo.jpg")["TagSet"] == [{"Key": "a", "Value": "1"}]


def test_a_file_whose_name_cannot_be_read(server, s3, bucket):
    """Two such names would be one object."""
    given = s3.generate_presigned_post(bucket, "user/${filename}", Conditions=[["starts-with", "$key", "user/"]])
    parts = [(name, value.encode()) for name, value in given["fields"].items()]
    body = b"".join(b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value) for name, value in parts)
    for name in (b'; filename="caf\xe9.txt"', b"", b'; filename=""'):
        file = b'--b\r\nContent-Disposition: form-data; name="file"%s\r\n\r\nx\r\n--b--\r\n' % name
        answer = requests.post(given["url"], body + file, headers={"Content-Type": "multipart/form-data; boundary=b"}, timeout=30)
        assert (answer.status_code, "<Code>InvalidArgument</Code>" in answer.text) == (400, True), answer.text
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"key": "forms/other.jpg"}, 403, "AccessDenied"),
        ({"Content-Type": "text/html"}, 403, "AccessDenied"),
        ({"x-amz-meta-more": "1"}, 403, "AccessDenied"),
        ({"x-amz-signature": "0" * 64}, 403, "SignatureDoesNotMatch"),
        ({"x-amz-signature": "no hex"}, 403, "SignatureDoesNotMatch"),
        ({"x-amz-credential": "nobody/20260101/us-east-1/s3/aws4_request"}, 400, "InvalidArgument"),
        ({"x-amz-algorithm": "none"}, 400, "InvalidArgument"),
        ({"policy": "e30="}, 403, "SignatureDoesNotMatch"),
        ({"policy": None}, 403, "AccessDenied"),
        ({"x-amz-date": None}, 400, "InvalidArgument"),
    ],
)
def test_a_form_that_was_tampered_with(server, s3, changed, status, code):
    given = form(server, "forms/refused.jpg", content_type="image/jpeg")
    given["fields"] = {name: value for name, value in (given["fields"] | changed).items() if value is not None}
    answer = send(given, sample_images.jpeg())
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (status, True), answer.text
    assert "Contents" not in s3.list_objects_v2(Bucket=SOURCE, Prefix="forms/refused")
    assert "Contents" not in s3.list_objects_v2(Bucket=SOURCE, Prefix="forms/other")


def test_a_form_that_is_too_old_or_for_another_bucket(server, s3, bucket):
    given = s3.generate_presigned_post(bucket, "late.jpg", ExpiresIn=-1)
    assert send(given, b"bytes").status_code == 403
    given = s3.generate_presigned_post(bucket, "other.jpg")
    given["url"] = given["url"].replace(bucket, SOURCE)
    assert send(given, b"bytes").status_code == 403
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_forms_that_are_none(server, s3, bucket):
    given = s3.generate_presigned_post(bucket, "a.jpg")
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (b"", b"--b", b"--b--\r\n", b"no form"):
        assert requests.post(given["url"], data=body, headers=kind, timeout=30).status_code == 400
    assert send(given, b"bytes", fields={"x-ignore-large": "x" * (21 << 10)}).status_code == 400
    assert requests.post(given["url"] + "/key", data=b"--b--", headers=kind, timeout=30).status_code == 405


def test_the_rules_of_a_bucket(s3, bucket):
    with pytest.raises(s3.exceptions.ClientError) as caught:
        s3.get_bucket_cors(Bucket=bucket)
    assert caught.value.response["Error"]["Code"] == "NoSuchCORSConfiguration"
    rule = {
        "ID": "shop", "AllowedOrigins": [SHOP], "AllowedMethods": ["GET", "POST"], "AllowedHeaders": ["x-amz-*"],
        "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60,
    }  # fmt: skip
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == [rule]
    for wrong in (rule | {"AllowedMethods": ["PATCH"]}, rule | {"AllowedOrigins": ["https://*.*"]}):
        with pytest.raises(s3.exceptions.ClientError):
            s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [wrong]})

    url = f"{s3.meta.endpoint_url}/{bucket}/a.jpg"
    preflight_headers = {"Origin": SHOP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-Amz-Date"}
    preflight = requests.options(url, headers=preflight_headers, timeout=30)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == SHOP
    assert preflight.headers["Access-Control-Allow-Headers"] == "x-amz-date"
    assert preflight.headers["Access-Control-Max-Age"] == "60"
    for other in ({"Origin": "https://evil.example"}, {"Access-Control-Request-Method": "DELETE"}):
        refused = requests.options(url, headers=preflight_headers | other, timeout=30)
        assert refused.status_code == 403
        assert "Access-Control-Allow-Origin" not in refused.headers
    # Errors too, so that the page can read them.
    answer = requests.get(url, headers={"Origin": SHOP}, timeout=30)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (403, SHOP)
    assert answer.headers["Access-Control-Expose-Headers"] == "ETag"

    s3.delete_bucket_cors(Bucket=bucket)
    assert requests.options(url, headers=preflight_headers, timeout=30).status_code == 403


def test_a_value_that_no_header_can_hold(server, s3):
    given = s3.generate_presigned_post(SOURCE, "forms/refused.png", {}, [["starts-with", "$Content-Type", ""]])
    answer = send(given, sample_images.png(), fields={"Content-Type": "image/png\nx"})
    assert (answer.status_code, "<Code>InvalidArgument</Code>" in answer.text) == (400, True), answer.text
    assert "Contents" not in s3.list_objects_v2(Bucket=SOURCE, Prefix="forms/refused")


@pytest.mark.parametrize("start", [b"", b"--b\r\nX-Long: "])
def test_fields_before_the_file_are_bounded(server, start):
    sent = 0

    def without_end():
        nonlocal sent
        yield start
        for _ in range(256):
            sent += 64 << 10
            yield b"a" * (64 << 10)

    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    try:
        answer = requests.post(f"{server.s3_url}/{SOURCE}", data=without_end(), headers=kind, timeout=30)
        assert answer.status_code == 400, answer.text
    except requests.ConnectionError:
        # Refused and closed while the body was still being sent.
        pass
    assert sent < 16 << 20


def test_a_redirect_that_is_no_url_is_left_out(s3, bucket):
    fields = {"success_action_redirect": "/done"}
    given = s3.generate_presigned_post(bucket, "redirect.txt", fields, [fields], ExpiresIn=60)
    assert send(given, b"bytes").status_code == 204
    assert s3.get_object(Bucket=bucket, Key="redirect.txt")["Body"].read() == b"bytes"
