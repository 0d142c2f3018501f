"""What buckets do not have here is answered as S3 answers it, and each object is its one version."""

import base64
import datetime
import email.utils
import hashlib
import os

import pytest
import requests

import signing
from access_keys import code
from errors import refused

PART = 5 << 20


def test_configurations_that_no_bucket_has(s3, bucket):
    for call, expected in (
        (s3.get_bucket_encryption, "ServerSideEncryptionConfigurationNotFoundError"),
        (s3.get_bucket_lifecycle_configuration, "NoSuchLifecycleConfiguration"),
        (s3.get_bucket_replication, "ReplicationConfigurationNotFoundError"),
        (s3.get_bucket_tagging, "NoSuchTagSet"),
        (s3.get_bucket_website, "NoSuchWebsiteConfiguration"),
        (s3.get_object_lock_configuration, "ObjectLockConfigurationNotFoundError"),
        (s3.get_bucket_policy, "NoSuchBucketPolicy"),
        (s3.get_bucket_ownership_controls, "OwnershipControlsNotFoundError"),
    ):
        assert code(call, Bucket=bucket) == expected
        assert code(call, Bucket="not-there-at-all") == "NoSuchBucket"
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    # What would change them is refused.
    versioning = {"Status": "Enabled"}
    assert code(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=versioning) == "NotImplemented"


def test_each_object_is_its_one_version(s3, bucket):
    for key in ("a", "b/c", "b/d", "e"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    found = s3.list_object_versions(Bucket=bucket)
    assert [(one["Key"], one["VersionId"], one["IsLatest"]) for one in found["Versions"]] == [
        (key, "null", True) for key in ("a", "b/c", "b/d", "e")
    ]
    assert found["IsTruncated"] is False and found["Versions"][0]["Owner"]["ID"]
    rolled = s3.list_object_versions(Bucket=bucket, Delimiter="/")
    assert [one["Key"] for one in rolled["Versions"]] == ["a", "e"]
    assert [one["Prefix"] for one in rolled["CommonPrefixes"]] == ["b/"]
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
    assert [one["Key"] for page in pages for one in page["Versions"]] == ["a", "b/c", "b/d", "e"]
    assert s3.get_object(Bucket=bucket, Key="a", VersionId="null")["Body"].read() == b"x"
    for version in ("1", ""):
        with pytest.raises(Exception):
            s3.get_object(Bucket=bucket, Key="a", VersionId=version)
    # As clients empty a bucket.
    named = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found["Versions"]]
    assert "Errors" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": named[:3]})
    s3.delete_object(Bucket=bucket, Key="e", VersionId="null")
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)


def test_acls_are_their_owners(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    for found in (s3.get_bucket_acl(Bucket=bucket), s3.get_object_acl(Bucket=bucket, Key="a")):
        (grant,) = found["Grants"]
        assert (grant["Permission"], grant["Grantee"]["ID"]) == ("FULL_CONTROL", found["Owner"]["ID"])
    for canned in ("private", "bucket-owner-read", "bucket-owner-full-control"):
        s3.put_object_acl(Bucket=bucket, Key="a", ACL=canned)
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    written = {"Grants": found["Grants"], "Owner": found["Owner"]}
    s3.put_object_acl(Bucket=bucket, Key="a", AccessControlPolicy=written)
    assert code(s3.put_object_acl, Bucket=bucket, Key="a", ACL="aws-exec-read") == "NotImplemented"
    for canned in ("public-read", "public-read-write", "authenticated-read"):
        assert code(s3.put_object_acl, Bucket=bucket, Key="a", ACL=canned) == "AccessDenied", canned
        assert code(s3.put_bucket_acl, Bucket=bucket, ACL=canned) == "AccessDenied", canned
        assert code(s3.create_bucket, Bucket="another", ACL=canned) == "AccessDenied", canned
    for grantee, expected in (
        ({"Type": "CanonicalUser", "ID": "somebody"}, "InvalidArgument"),
        ({"Type": "AmazonCustomerByEmail", "EmailAddress": "a@example.com"}, "UnresolvableGrantByEmailAddress"),
        ({"Type": "Group", "URI": "http://acs.amazonaws.com/groups/s3/LogDelivery"}, "NotImplemented"),
    ):
        other = {**written, "Grants": [*written["Grants"], {"Grantee": grantee, "Permission": "READ"}]}
        assert code(s3.put_object_acl, Bucket=bucket, Key="a", AccessControlPolicy=other) == expected, grantee
    assert code(s3.get_object_acl, Bucket=bucket, Key="b") == "NoSuchKey"
    (listed,) = s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"]
    assert listed["Owner"]["ID"] == found["Owner"]["ID"]
    assert "Owner" not in s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert s3.list_objects(Bucket=bucket)["Contents"][0]["Owner"] == listed["Owner"]


def joined(s3, bucket, key, *sizes, **how):
    """An object uploaded in parts; its bytes."""
    bodies = [os.urandom(size) for size in sizes]
    at = {"Bucket": bucket, "Key": key}
    at["UploadId"] = s3.create_multipart_upload(**at, **how)["UploadId"]
    how = {name: value for name, value in how.items() if name == "ChecksumAlgorithm"}
    kept = ("ETag", "ChecksumCRC32", "ChecksumSHA256")
    parts = []
    for number, body in enumerate(bodies, 1):
        sent = s3.upload_part(**at, PartNumber=number, Body=body, **how)
        parts.append({"PartNumber": number} | {name: sent[name] for name in kept if name in sent})
    return bodies, s3.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})


def test_parts_are_read_by_their_number(s3, bucket):
    bodies, done = joined(s3, bucket, "parts", PART, PART, 1000)
    checked = {"Bucket": bucket, "Key": "checked"}
    sent, _ = joined(s3, bucket, "checked", PART, 10, ChecksumAlgorithm="SHA256")
    for number, body in enumerate(sent, 1):
        expected = base64.b64encode(hashlib.sha256(body).digest()).decode()
        for call in (s3.get_object, s3.head_object):
            answer = call(**checked, PartNumber=number, ChecksumMode="ENABLED")
            assert (answer["ChecksumSHA256"], answer["ChecksumType"]) == (expected, "COMPOSITE")
    assert "ChecksumSHA256" not in s3.get_object(**checked, Range="bytes=0-1", ChecksumMode="ENABLED")
    first = 0
    for number, body in enumerate(bodies, 1):
        got = s3.get_object(Bucket=bucket, Key="parts", PartNumber=number)
        assert got["Body"].read() == body
        head = s3.head_object(Bucket=bucket, Key="parts", PartNumber=number)
        for answer in (got, head):
            assert (answer["PartsCount"], answer["ContentLength"], answer["ETag"]) == (3, len(body), done["ETag"])
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
            assert answer["ContentRange"] == f"bytes {first}-{first + len(body) - 1}/{2 * PART + 1000}"
        first += len(body)
    assert "PartsCount" not in s3.head_object(Bucket=bucket, Key="parts")
    assert code(s3.get_object, Bucket=bucket, Key="parts", PartNumber=4) == "InvalidPart"
    assert code(s3.get_object, Bucket=bucket, Key="parts", PartNumber=1, Range="bytes=0-1") == "InvalidRequest"
    s3.put_object(Bucket=bucket, Key="whole", Body=b"whole")
    got = s3.get_object(Bucket=bucket, Key="whole", PartNumber=1)
    assert got["Body"].read() == b"whole" and "PartsCount" not in got
    assert code(s3.get_object, Bucket=bucket, Key="whole", PartNumber=2) == "InvalidPart"
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/parts")
    assert "PartsCount" not in s3.head_object(Bucket=bucket, Key="copy", PartNumber=1)


def test_attributes(s3, bucket):
    every = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    _, done = joined(s3, bucket, "parts", PART, 10, ChecksumAlgorithm="SHA256")
    found = s3.get_object_attributes(Bucket=bucket, Key="parts", ObjectAttributes=every)
    # The one answer whose ETag has no quotes.
    assert found["ETag"] == done["ETag"].strip('"')
    assert found["Checksum"] == {"ChecksumSHA256": done["ChecksumSHA256"], "ChecksumType": "COMPOSITE"}
    assert (found["ObjectSize"], found["StorageClass"]) == (PART + 10, "STANDARD")
    parts = found["ObjectParts"]
    assert (parts["TotalPartsCount"], parts["IsTruncated"]) == (2, False)
    assert [(one["PartNumber"], one["Size"]) for one in parts["Parts"]] == [(1, PART), (2, 10)]
    assert all(one["ChecksumSHA256"] for one in parts["Parts"])
    page = s3.get_object_attributes(Bucket=bucket, Key="parts", ObjectAttributes=["ObjectParts"], MaxParts=1)
    assert (page["ObjectParts"]["IsTruncated"], page["ObjectParts"]["NextPartNumberMarker"]) == (True, 1)
    assert "ETag" not in page
    rest = s3.get_object_attributes(Bucket=bucket, Key="parts", ObjectAttributes=["ObjectParts"], PartNumberMarker=1)
    assert [one["PartNumber"] for one in rest["ObjectParts"]["Parts"]] == [2]
    s3.put_object(Bucket=bucket, Key="whole", Body=b"whole", ChecksumAlgorithm="CRC32")
    found = s3.get_object_attributes(Bucket=bucket, Key="whole", ObjectAttributes=every)
    assert "ObjectParts" not in found
    assert found["Checksum"]["ChecksumType"] == "FULL_OBJECT" and found["Checksum"]["ChecksumCRC32"]
    assert code(s3.get_object_attributes, Bucket=bucket, Key="missing", ObjectAttributes=["ETag"]) == "NoSuchKey"
    assert code(s3.get_object_attributes, Bucket=bucket, Key="whole", ObjectAttributes=["Nothing"]) == "InvalidArgument"


def test_locations_are_urls(server, s3, bucket):
    _, done = joined(s3, bucket, "a b/ü", 10)
    assert done["Location"] == f"{server.s3_url}/{bucket}/a%20b/%C3%BC"
    given = s3.generate_presigned_post(bucket, "form/${filename}", {"success_action_status": "201"}, [
        ["starts-with", "$key", "form/"], {"success_action_status": "201"},
    ])
    answer = requests.post(given["url"], data=given["fields"], files={"file": ("a&b.txt", b"x")}, timeout=30)
    assert answer.headers["Location"] == f"{server.s3_url}/{bucket}/form/a%26b.txt"
    assert f"<Location>{answer.headers['Location']}</Location>" in answer.text


@pytest.mark.parametrize("text", ["Wed, 21 Oct 2035 07:28:00 GMT", "in a fortnight", "0", "2035-10-21T07:28:00Z"])
def test_expires_is_any_text(server, s3, bucket, text):
    status, _, text_of_answer = signing.request(server, "PUT", bucket, "a", b"x", more={"expires": text})
    assert status == 200, text_of_answer
    s3.copy_object(Bucket=bucket, Key="b", CopySource=f"{bucket}/a")
    for method, key in (("GET", "a"), ("HEAD", "a"), ("HEAD", "b")):
        assert signing.request(server, method, bucket, key)[1]["Expires"] == text


def test_conditions_on_what_is_no_date_are_ignored(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    tomorrow = email.utils.formatdate(datetime.datetime.now().timestamp() + 86400, usegmt=True)
    status = lambda name, date: signing.request(server, "GET", bucket, "a", unsigned={name: date})[0]  # noqa: E731
    for name in ("if-modified-since", "if-unmodified-since"):
        for unusable in ("yesterday", "2001-01-01T00:00:00Z", "Thu, 32 Jan 2001 00:00:00 GMT"):
            assert status(name, unusable) == 200
    assert status("if-modified-since", tomorrow) == 304
    # As older clients write them.
    for old, expected in (("Sunday, 06-Nov-94 08:49:37 GMT", 412), ("Sun Nov  6 08:49:37 1994", 412), (tomorrow, 200)):
        assert status("if-unmodified-since", old) == expected


def test_a_range_is_of_the_version_that_if_range_names(server, s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="a", Body=b"0123456789")
    modified = signing.request(server, "HEAD", bucket, "a")[1]["Last-Modified"]
    for value, length in ((put["ETag"], 3), (modified, 3), ('"other"', 10), ("Sun, 06 Nov 1994 08:49:37 GMT", 10)):
        status, _, body = signing.request(server, "GET", bucket, "a", more={"range": "bytes=2-4", "if-range": value})
        assert (len(body), status) == (length, 206 if length == 3 else 200)


def test_a_signature_may_have_its_time_from_date(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)

    def send(when, date):
        """Signed at a time, with it in Date in place of x-amz-date."""
        sent = signing.headers(server, "GET", bucket, "a", when=when, only=["host", "x-amz-content-sha256"])
        del sent["x-amz-date"]
        return signing.send(server, "GET", bucket, "a", b"", sent | {"date": date})

    for date in (email.utils.format_datetime(now, usegmt=True), now.strftime("%Y%m%dT%H%M%SZ")):
        status, _, body = send(now, date)
        assert (status, body) == (200, b"x")
    old = now - datetime.timedelta(hours=1)
    assert send(old, email.utils.format_datetime(old, usegmt=True))[0] == 403
    # The time is signed, whichever header it is in.
    assert send(now, email.utils.format_datetime(now + datetime.timedelta(seconds=1), usegmt=True))[0] == 403


def test_encryption_is_what_the_operator_says_of_the_disk(s3, bucket, new_server):
    with refused("NotImplemented", 501, "storage.encrypted_at_rest"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x", ServerSideEncryption="AES256")
    assert "ServerSideEncryption" not in s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    encrypted = new_server(settings="[storage]\nencrypted_at_rest = true\n").start().client()
    encrypted.create_bucket(Bucket="encrypted")
    for how in ({}, {"ServerSideEncryption": "AES256"}):
        done = encrypted.put_object(Bucket="encrypted", Key="a", Body=b"x", **how)
        assert done["ServerSideEncryption"] == "AES256"
    assert encrypted.head_object(Bucket="encrypted", Key="a")["ServerSideEncryption"] == "AES256"
    found = encrypted.get_bucket_encryption(Bucket="encrypted")["ServerSideEncryptionConfiguration"]
    assert found["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    with refused("NotImplemented", 501):
        encrypted.put_object(Bucket="encrypted", Key="a", Body=b"x", ServerSideEncryption="aws:kms")
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32}
    with refused("NotImplemented", 501):
        encrypted.put_object(Bucket="encrypted", Key="a", Body=b"x", **key)
