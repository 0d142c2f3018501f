"""Keys are data: what looks like a path is an ordinary key."""

import pytest

import signing
from errors import refused

ODD = {
    "empty segment": "a//b",
    "parent": "../x",
    "parent inside": "a/../../etc/passwd",
    "here": "./y",
    "only dots": "..",
    "one dot": ".",
    "folder marker": "photos/",
    "leading slash": "/lead",
    "only slashes": "//",
    "longest": "k" * 1024,
    "longest in two bytes a letter": "é" * 512,
    "spaces": " two  spaces ",
    "trailing space": "trailing ",
    "plus": "1+2",
    "parentheses": "Medium-input(30)/photo (1).jpg",
    "percent": "100%",
    "percent that looks encoded": "a%2Fb%20c%00",
    "composed": "caf\u00e9",
    "combining": "cafe\u0301",
    "emoji": "👩‍🚀/🏔️.jpg",
    "right to left": "תמונה.jpg",
    "markup": "<>&'\"",
    "backslash": "a\\b",
    "query": "a?b=c#d",
    "punctuation": "!*'();:@&=$,[]{}|^`~",
    "controls": "\t\r\n\x7f",
    "reserved name": "con.nul",
}


@pytest.mark.parametrize("name", ODD)
def test_round_trip(server, s3, bucket, name):
    key, body = ODD[name], name.encode()
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == body
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}, {"Key": key}]})
    assert "Errors" not in deleted
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("name", ODD)
def test_exactly_as_on_the_wire(server, s3, bucket, name):
    """The same with a request whose path no library has touched."""
    key = ODD[name]
    status, _, body = signing.request(server, "PUT", bucket, key, b"raw")
    assert status == 200, body
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert signing.request(server, "GET", bucket, key)[::2] == (200, b"raw")
    assert signing.request(server, "DELETE", bucket, key)[0] == 204


def test_a_key_that_xml_cannot_hold(s3, bucket):
    """Such a key is listed encoded, as boto3 requests it, and is deleted by name."""
    key = "a\x01b"
    s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"x"
    s3.delete_object(Bucket=bucket, Key=key)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_all_of_them_at_once(s3, bucket):
    keys = list(ODD.values())
    for number, key in enumerate(keys):
        s3.put_object(Bucket=bucket, Key=key, Body=str(number).encode())
    found = [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert found == sorted(keys, key=str.encode)
    for number, key in enumerate(keys):
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == str(number).encode()


@pytest.mark.parametrize("key", ["k" * 1025, "é" * 513])
def test_too_long(s3, bucket, key):
    with refused("KeyTooLongError", 400):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_no_key_leaves_the_data_folder(server, s3, bucket):
    """Neither names nor parts of keys become file names."""
    for key in ("../escaped", "../../escaped", "/escaped", "a/../../../escaped"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert not [path for path in server.folder.parent.rglob("*escaped*")]
