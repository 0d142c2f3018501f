"""Buckets."""

import http.client
from urllib.parse import urlsplit

import botocore.handlers
import pytest

import signing
from errors import refused
from tintype import DESTINATION, SOURCE
from waiting import until


def names(s3):
    return [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


def test_the_configured_buckets_are_there_from_the_start(s3):
    assert {SOURCE, DESTINATION} <= set(names(s3))


def test_create_head_list_locate_delete(s3):
    assert s3.create_bucket(Bucket="a.bucket-1")["Location"] == "/a.bucket-1"
    assert s3.head_bucket(Bucket="a.bucket-1")["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert "a.bucket-1" in names(s3)
    assert names(s3) == sorted(names(s3))
    # us-east-1 is an empty LocationConstraint.
    assert s3.get_bucket_location(Bucket="a.bucket-1")["LocationConstraint"] is None
    assert s3.delete_bucket(Bucket="a.bucket-1")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert "a.bucket-1" not in names(s3)
    with refused("404", 404):
        s3.head_bucket(Bucket="a.bucket-1")


def test_creating_again(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    # As in us-east-1.
    s3.create_bucket(Bucket=bucket)
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"


def test_a_bucket_that_is_not_empty_stays(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    with refused("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="a")
    s3.delete_bucket(Bucket=bucket)
    assert bucket not in names(s3)


@pytest.mark.parametrize("configured", [SOURCE, DESTINATION])
def test_a_bucket_the_settings_need_stays(s3, configured):
    with refused("OperationAborted", 409, "settings"):
        s3.delete_bucket(Bucket=configured)
    assert configured in names(s3)


@pytest.mark.parametrize("name", ["Upper", "under_score", "ab", "-start", "end-", "two..dots", "dot.-hyphen", "hyphen-.dot", "192.168.0.1", "x" * 64])
def test_bad_names(server, name):
    # The client would refuse most of these itself.
    s3 = server.client()
    s3.meta.events.unregister("before-parameter-build.s3", botocore.handlers.validate_bucket_name)
    with refused("InvalidBucketName", 400):
        s3.create_bucket(Bucket=name)
    assert name not in names(s3)


def test_a_missing_bucket(s3):
    with refused("404", 404):
        s3.head_bucket(Bucket="no-such-bucket")
    for ask in (s3.list_objects, s3.list_objects_v2, s3.get_bucket_location, s3.delete_bucket,
                s3.list_multipart_uploads, s3.get_bucket_notification_configuration):  # fmt: skip
        with refused("NoSuchBucket", 404, "no-such-bucket"):
            ask(Bucket="no-such-bucket")


def test_uploads_end_with_their_bucket(s3, bucket):
    at = {"Bucket": bucket, "Key": "a"}
    at["UploadId"] = s3.create_multipart_upload(**at)["UploadId"]
    s3.upload_part(**at, PartNumber=1, Body=b"x")
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    with refused("NoSuchUpload", 404):
        s3.upload_part(**at, PartNumber=2, Body=b"x")


def test_a_slow_put_is_not_of_another_bucket_of_the_name(server, s3, bucket):
    url = urlsplit(signing.presigned(server, "PUT", bucket, "a"))
    connection = http.client.HTTPConnection(url.netloc, timeout=30)
    connection.putrequest("PUT", f"{url.path}?{url.query}")
    connection.putheader("Content-Length", "200001")
    connection.endheaders()
    # More than is held in memory, so that the object is begun.
    connection.send(b"x" * 200_000)
    until(lambda: list((server.data / "incoming").iterdir()), "the object is begun")
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    connection.send(b"x")
    answer = connection.getresponse()
    assert (answer.status, b"<Code>NoSuchBucket</Code>" in answer.read()) == (404, True)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
