"""Objects: bytes and metadata are returned as put."""

import base64
import hashlib
import zlib

import pytest
import requests

import signing
from errors import refused

BODY = bytes(range(256)) * 40

# A body that is not BODY, for checksums of something else.
OTHER = b"something else"

RULES = {"Rules": [{"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]}

ALGORITHMS = {
    "CRC32": base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode(),
    "SHA1": base64.b64encode(hashlib.sha1(BODY).digest()).decode(),
    "SHA256": base64.b64encode(hashlib.sha256(BODY).digest()).decode(),
    # Not in Python's library: computed bit by bit below.
    "CRC32C": None,
    "CRC64NVME": None,
}


def reflected_crc(data, polynomial, bits):
    mask = (1 << bits) - 1
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (polynomial if byte & 1 else 0)
        table.append(byte)
    crc = mask
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return base64.b64encode((crc ^ mask).to_bytes(bits // 8, "big")).decode()


ALGORITHMS["CRC32C"] = reflected_crc(BODY, 0x82F63B78, 32)
ALGORITHMS["CRC64NVME"] = reflected_crc(BODY, 0x9A6C9329AC4BC9B5, 64)


def md5(data):
    return hashlib.md5(data).hexdigest()


def test_the_reference_checksums_are_right():
    # The check values of the CRC catalogue, for the text "123456789".
    assert reflected_crc(b"123456789", 0x82F63B78, 32) == base64.b64encode(bytes.fromhex("e3069283")).decode()
    assert (
        reflected_crc(b"123456789", 0x9A6C9329AC4BC9B5, 64)
        == base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode()
    )


def test_put_get_head_delete(s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="a", Body=BODY)
    assert put["ETag"] == f'"{md5(BODY)}"'
    got = s3.get_object(Bucket=bucket, Key="a")
    assert got["Body"].read() == BODY
    assert got["ETag"] == put["ETag"]
    assert got["ContentLength"] == len(BODY)
    assert got["ContentType"] == "binary/octet-stream"
    head = s3.head_object(Bucket=bucket, Key="a")
    assert (head["ETag"], head["ContentLength"]) == (got["ETag"], got["ContentLength"])
    assert head["LastModified"] == got["LastModified"]
    assert head["AcceptRanges"] == "bytes"

    assert s3.delete_object(Bucket=bucket, Key="a")["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="a")
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="a")
    # As in S3, deleting a missing object is no error.
    assert s3.delete_object(Bucket=bucket, Key="a")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_overwriting_replaces_bytes_and_description(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=BODY, ContentType="image/jpeg", Metadata={"colour": "red"})
    s3.put_object(Bucket=bucket, Key="a", Body=OTHER)
    got = s3.get_object(Bucket=bucket, Key="a")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (OTHER, "binary/octet-stream", {})


def test_zero_bytes(s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    assert put["ETag"] == '"d41d8cd98f00b204e9800998ecf8427e"'
    got = s3.get_object(Bucket=bucket, Key="empty")
    assert (got["Body"].read(), got["ContentLength"]) == (b"", 0)
    with refused("InvalidRange", 416):
        s3.get_object(Bucket=bucket, Key="empty", Range="bytes=0-0")


def test_description_round_trip(s3, bucket):
    description = {
        "ContentType": "image/jpeg",
        "CacheControl": "max-age=60, public",
        "ContentDisposition": 'attachment; filename="a b.jpg"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de-CH",
        "Metadata": {"colour": "red", "mixed-case": "Kept As Is", "long": "x" * 1500},
    }
    s3.put_object(Bucket=bucket, Key="a", Body=BODY, **description)
    for answer in (s3.get_object(Bucket=bucket, Key="a"), s3.head_object(Bucket=bucket, Key="a")):
        assert {name: answer[name] for name in description} == description


def test_response_headers_set_by_the_request(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=BODY, ContentType="image/jpeg")
    got = s3.get_object(
        Bucket=bucket, Key="a", ResponseContentType="text/plain", ResponseContentDisposition="inline"
    )
    assert (got["ContentType"], got["ContentDisposition"]) == ("text/plain", "inline")


@pytest.mark.parametrize(
    ("range_header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=1000-1999", 1000, 1999),
        ("bytes=10000-", 10000, len(BODY) - 1),
        ("bytes=-100", len(BODY) - 100, len(BODY) - 1),
        ("bytes=-999999", 0, len(BODY) - 1),
        ("bytes=10000-999999", 10000, len(BODY) - 1),
        ("bytes=10000-99999999999999999999", 10000, len(BODY) - 1),
        ("bytes=-99999999999999999999", 0, len(BODY) - 1),
    ],
)
def test_ranges(s3, bucket, range_header, first, last):
    s3.put_object(Bucket=bucket, Key="a", Body=BODY)
    got = s3.get_object(Bucket=bucket, Key="a", Range=range_header)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["Body"].read() == BODY[first : last + 1]
    assert got["ContentRange"] == f"bytes {first}-{last}/{len(BODY)}"
    assert got["ContentLength"] == last - first + 1
    assert got["ETag"] == f'"{md5(BODY)}"'


def test_range_of_a_large_object(s3, bucket):
    # Large enough to be streamed instead of being read whole.
    body = hashlib.shake_256(b"large").digest(3 << 20)
    s3.put_object(Bucket=bucket, Key="large", Body=body)
    got = s3.get_object(Bucket=bucket, Key="large", Range="bytes=1000000-2500000")
    assert got["Body"].read() == body[1000000:2500001]
    assert s3.get_object(Bucket=bucket, Key="large")["Body"].read() == body


@pytest.mark.parametrize("range_header", ["bytes=0-1,5-6", "items=0-1", "bytes=5-2", "bytes=a-b", "whole"])
def test_other_than_a_single_byte_range_is_ignored(server, s3, bucket, range_header):
    s3.put_object(Bucket=bucket, Key="a b", Body=BODY)
    got = s3.get_object(Bucket=bucket, Key="a b", Range=range_header)
    assert (got["ResponseMetadata"]["HTTPStatusCode"], got["Body"].read()) == (200, BODY)
    assert "ContentRange" not in got
    assert s3.head_object(Bucket=bucket, Key="a b", Range=range_header)["ContentLength"] == len(BODY)
    url = s3.generate_presigned_url(
        "get_object", {"Bucket": bucket, "Key": "a b", "ResponseContentType": "text/plain"}
    )
    got = requests.get(url, headers={"Range": range_header}, timeout=30)
    assert (got.status_code, got.content, got.headers["Content-Type"]) == (200, BODY, "text/plain")
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="missing", Range=range_header)
    # Not even such a request gets around the signature.
    assert requests.get(url[:-1] + ("0" if url[-1] != "0" else "1"), headers={"Range": range_header}, timeout=30).status_code == 403
    assert requests.get(url.split("?")[0], headers={"Range": range_header}, timeout=30).status_code == 403


@pytest.mark.parametrize("range_header", [f"bytes={len(BODY)}-", "bytes=999999-1000000", "bytes=99999999999999999999-", "bytes=-0"])
def test_unsatisfiable_ranges(s3, bucket, range_header):
    s3.put_object(Bucket=bucket, Key="a", Body=BODY)
    with refused("InvalidRange", 416):
        s3.get_object(Bucket=bucket, Key="a", Range=range_header)


def test_conditional_reads(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="a", Body=BODY)["ETag"]
    other = f'"{md5(OTHER)}"'
    for read in (s3.get_object, s3.head_object):
        assert read(Bucket=bucket, Key="a", IfMatch=etag)["ETag"] == etag
        assert read(Bucket=bucket, Key="a", IfNoneMatch=other)["ETag"] == etag
        with refused("304", 304):
            read(Bucket=bucket, Key="a", IfNoneMatch=etag)
        with refused("304", 304):
            read(Bucket=bucket, Key="a", IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        s3.get_object(Bucket=bucket, Key="a", IfMatch=other)
    with refused("412", 412):
        s3.head_object(Bucket=bucket, Key="a", IfMatch=other)
    modified = s3.head_object(Bucket=bucket, Key="a")["LastModified"]
    with refused("304", 304):
        s3.get_object(Bucket=bucket, Key="a", IfModifiedSince=modified)
    assert s3.get_object(Bucket=bucket, Key="a", IfUnmodifiedSince=modified)["ETag"] == etag


def test_conditional_writes(s3, bucket):
    first = s3.put_object(Bucket=bucket, Key="a", Body=BODY, IfNoneMatch="*")["ETag"]
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="a", Body=OTHER, IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="a", Body=OTHER, IfMatch=f'"{md5(OTHER)}"')
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == BODY
    s3.put_object(Bucket=bucket, Key="a", Body=OTHER, IfMatch=first)
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == OTHER
    # AWS, "Conditional writes": If-Match where there is no object is 404.
    with refused("NoSuchKey", 404):
        s3.put_object(Bucket=bucket, Key="missing", Body=OTHER, IfMatch=first)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_checksums(server, s3, bucket, algorithm):
    field = f"Checksum{algorithm}"
    put = s3.put_object(Bucket=bucket, Key="a", Body=BODY, ChecksumAlgorithm=algorithm, **{field: ALGORITHMS[algorithm]})
    assert put[field] == ALGORITHMS[algorithm]
    for read in (s3.get_object, s3.head_object):
        answer = read(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
        assert answer[field] == ALGORITHMS[algorithm]
        assert answer["ChecksumType"] == "FULL_OBJECT"
    # boto3 requests checksums by default.
    unasking = server.client(response_checksum_validation="when_required")
    assert field not in unasking.get_object(Bucket=bucket, Key="a")
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert listed["ChecksumAlgorithm"] == [algorithm]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_wrong_checksums_store_nothing(s3, bucket, algorithm):
    s3.put_object(Bucket=bucket, Key="existing", Body=b"before")
    wrong = {f"Checksum{algorithm}": ALGORITHMS[algorithm]}
    for key in ("new", "existing"):
        with refused("BadDigest", 400):
            s3.put_object(Bucket=bucket, Key=key, Body=OTHER, **wrong)
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["existing"]
    assert s3.get_object(Bucket=bucket, Key="existing")["Body"].read() == b"before"


def test_checksum_in_a_trailer(s3, bucket):
    # What boto3 itself does with a body it cannot read twice over plain streams.
    s3.put_object(Bucket=bucket, Key="a", Body=BODY, ChecksumAlgorithm="CRC32")
    got = s3.get_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert got["ChecksumCRC32"] == ALGORITHMS["CRC32"]
    assert "ContentEncoding" not in got


def test_wrong_content_md5_stores_nothing(s3, bucket):
    wrong = base64.b64encode(hashlib.md5(BODY).digest()).decode()
    with refused("BadDigest", 400):
        s3.put_object(Bucket=bucket, Key="a", Body=OTHER, ContentMD5=wrong)
    with refused("InvalidDigest", 400):
        s3.put_object(Bucket=bucket, Key="a", Body=OTHER, ContentMD5="bm8gbWQ1")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a", Body=BODY, ContentMD5=wrong)


def test_copy(s3, bucket):
    described = {"ContentType": "image/png", "CacheControl": "no-cache", "Metadata": {"colour": "red"}}
    etag = s3.put_object(Bucket=bucket, Key="from", Body=BODY, **described)["ETag"]
    source = {"Bucket": bucket, "Key": "from"}

    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)["CopyObjectResult"]
    assert copied["ETag"] == etag
    got = s3.get_object(Bucket=bucket, Key="copy")
    assert got["Body"].read() == BODY
    assert {name: got[name] for name in described} == described

    s3.copy_object(
        Bucket=bucket, Key="copy", CopySource=source, MetadataDirective="REPLACE",
        ContentType="image/gif", Metadata={"size": "big"},
    )  # fmt: skip
    got = s3.get_object(Bucket=bucket, Key="copy")
    assert (got["ContentType"], got["Metadata"], got.get("CacheControl")) == ("image/gif", {"size": "big"}, None)
    assert got["Body"].read() == BODY


def test_copy_onto_itself(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=BODY)
    source = {"Bucket": bucket, "Key": "a"}
    with refused("InvalidRequest", 400, "to itself"):
        s3.copy_object(Bucket=bucket, Key="a", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="a", CopySource=source, MetadataDirective="REPLACE", Metadata={"x": "y"})
    got = s3.get_object(Bucket=bucket, Key="a")
    assert (got["Body"].read(), got["Metadata"]) == (BODY, {"x": "y"})


def test_copy_refused(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="a", Body=BODY)["ETag"]
    with refused("NoSuchKey", 404):
        s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "missing"})
    with refused("NoSuchBucket", 404):
        s3.copy_object(Bucket="no-such-bucket", Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    with refused("PreconditionFailed", 412):
        s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"}, CopySourceIfNoneMatch=etag)
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["a"]


def test_conditional_copies(s3, bucket):
    s3.put_object(Bucket=bucket, Key="from", Body=BODY)
    etag = s3.put_object(Bucket=bucket, Key="to", Body=OTHER)["ETag"]
    source = {"Bucket": bucket, "Key": "from"}
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": f'"{md5(BODY)}"'}):
        with refused("PreconditionFailed", 412):
            s3.copy_object(Bucket=bucket, Key="to", CopySource=source, **condition)
    assert s3.get_object(Bucket=bucket, Key="to")["Body"].read() == OTHER
    s3.copy_object(Bucket=bucket, Key="to", CopySource=source, IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="to")["Body"].read() == BODY


def test_delete_objects(s3, bucket):
    keys = [f"k{number}" for number in range(5)] + ["odd & <key> + %20"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    named = [{"Key": key} for key in [*keys[1:], "missing"]]
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": named})
    assert sorted(found["Key"] for found in deleted["Deleted"]) == sorted([*keys[1:], "missing"])
    assert "Errors" not in deleted
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k0"]
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k0"}], "Quiet": True})
    assert "Deleted" not in quiet
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_delete_if_match(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="a", Body=BODY)["ETag"]
    with refused("PreconditionFailed", 412):
        s3.delete_object(Bucket=bucket, Key="a", IfMatch=f'"{md5(OTHER)}"')
    s3.delete_object(Bucket=bucket, Key="a", IfMatch=etag)
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")


def test_canned_acls_are_private_unless_a_bucket_may_be_public(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=BODY, ACL="private")
    with refused("AccessDenied", 403):
        s3.put_object(Bucket=bucket, Key="b", Body=BODY, ACL="public-read")
    with refused("AccessDenied", 403):
        s3.put_object(Bucket=bucket, Key="b", Body=BODY, ACL="public-read-write")
    with refused("NotImplemented", 501):
        s3.put_object(Bucket=bucket, Key="b", Body=BODY, ACL="aws-exec-read")
    # Grants are another form of ACLs.
    everyone = "uri=http://acs.amazonaws.com/groups/global/AllUsers"
    with refused("NotImplemented", 501):
        s3.put_object(Bucket=bucket, Key="b", Body=BODY, GrantRead=everyone)
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="b")


def test_metadata_has_a_bound(s3, bucket):
    with refused("MetadataTooLarge", 400):
        s3.put_object(Bucket=bucket, Key="a", Body=BODY, Metadata={"a": "x" * 2048})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    s3.put_object(Bucket=bucket, Key="a", Body=BODY, Metadata={"a": "x" * 2047})


def test_unsupported_features_are_refused(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=BODY)
    at = {"Bucket": bucket, "Key": "a"}
    for ask in (
        lambda: s3.put_object_acl(**at, ACL="log-delivery-write"),
        lambda: s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}),
        lambda: s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=RULES),
        lambda: s3.put_object(**at, Body=b"", ServerSideEncryption="aws:kms"),
        lambda: s3.put_object(**at, Body=b"", ServerSideEncryption="AES256"),
    ):
        with refused("NotImplemented", 501):
            ask()
    with refused("InvalidArgument", 400):
        s3.get_object(**at, VersionId="x")
    assert s3.get_object(**at)["Body"].read() == BODY


def test_a_missing_bucket_is_named(s3):
    for ask in (
        lambda: s3.put_object(Bucket="no-such-bucket", Key="a", Body=b""),
        lambda: s3.get_object(Bucket="no-such-bucket", Key="a"),
        lambda: s3.delete_object(Bucket="no-such-bucket", Key="a"),
    ):
        with refused("NoSuchBucket", 404, "no-such-bucket"):
            ask()


LIST = b"<Delete><Object><Key>a</Key></Object></Delete>"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-md5": base64.b64encode(hashlib.md5(b"other").digest()).decode()}, "BadDigest"),
        ({"content-md5": "bm8gbWQ1"}, "InvalidDigest"),
        ({"content-md5": "%"}, "InvalidDigest"),
        ({"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(b"other").digest()).decode()}, "BadDigest"),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
        ({"x-amz-checksum-crc32": "AAAA"}, "InvalidRequest"),
    ],
)
def test_a_list_of_deletes_with_a_wrong_checksum_deletes_nothing(server, s3, bucket, headers, code):
    s3.put_object(Bucket=bucket, Key="a", Body=BODY)
    url = signing.presigned(server, "POST", bucket, "", query={"delete": ""}, signed=headers)
    answer = requests.post(url, LIST, headers=headers, timeout=30)
    assert answer.status_code == 400, answer.text
    assert f"<Code>{code}</Code>" in answer.text
    assert s3.head_object(Bucket=bucket, Key="a")["ContentLength"] == len(BODY)


def test_a_list_of_deletes_with_the_right_checksum(server, s3, bucket):
    for headers in (
        {},
        {"content-md5": base64.b64encode(hashlib.md5(LIST).digest()).decode()},
        {"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(LIST).digest()).decode()},
    ):
        s3.put_object(Bucket=bucket, Key="a", Body=BODY)
        url = signing.presigned(server, "POST", bucket, "", query={"delete": ""}, signed=headers)
        answer = requests.post(url, LIST, headers=headers, timeout=30)
        assert answer.status_code == 200 and "<Deleted><Key>a</Key></Deleted>" in answer.text, answer.text
        with refused("404", 404):
            s3.head_object(Bucket=bucket, Key="a")
    assert requests.post(url.split("?")[0] + "?delete", LIST, timeout=30).status_code == 403
