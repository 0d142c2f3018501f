"""Tags of objects, and what policies may ask about them."""

import json

import pytest

from access_keys import Key, code
from errors import refused
from tintype import run


def tag_set(**tags):
    return {"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]}


def tags(s3, Bucket, Key):
    return {one["Key"]: one["Value"] for one in s3.get_object_tagging(Bucket=Bucket, Key=Key)["TagSet"]}


def count(answer):
    return answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-tagging-count")


def test_tags_are_set_read_and_deleted(s3, bucket):
    at = {"Bucket": bucket, "Key": "a"}
    s3.put_object(**at, Body=b"x")
    assert tags(s3, **at) == {} and count(s3.head_object(**at)) is None
    s3.put_object_tagging(**at, Tagging=tag_set(colour="red", size="10 cm"))
    assert tags(s3, **at) == {"colour": "red", "size": "10 cm"}
    assert count(s3.head_object(**at)) == count(s3.get_object(**at)) == "2"
    s3.put_object_tagging(**at, Tagging=tag_set(colour="blue"), VersionId="null")
    assert tags(s3, **at) == {"colour": "blue"}
    before = s3.head_object(**at)
    assert s3.delete_object_tagging(**at)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags(s3, **at) == {}
    # Tags are no part of a version.
    after = s3.head_object(**at)
    assert (before["ETag"], before["LastModified"]) == (after["ETag"], after["LastModified"])
    missing = {"Bucket": bucket, "Key": "missing"}
    assert code(s3.put_object_tagging, **missing, Tagging=tag_set(a="b")) == "NoSuchKey"
    assert code(s3.get_object_tagging, **missing) == code(s3.delete_object_tagging, **missing) == "NoSuchKey"
    assert code(s3.put_object_tagging, Bucket="not-there-at-all", Key="a", Tagging=tag_set(a="b")) == "NoSuchBucket"


def test_tags_come_with_new_objects(s3, bucket):
    s3.put_object(Bucket=bucket, Key="put", Body=b"x", Tagging="a=1&b=%C3%BC")
    assert tags(s3, bucket, "put") == {"a": "1", "b": "ü"}
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts", Tagging="c=3")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload=parts)
    assert tags(s3, bucket, "parts") == {"c": "3"}
    source = {"Bucket": bucket, "Key": "put"}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    assert tags(s3, bucket, "copy") == {"a": "1", "b": "ü"}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, TaggingDirective="REPLACE", Tagging="d=4")
    assert tags(s3, bucket, "copy") == {"d": "4"}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, TaggingDirective="REPLACE")
    assert tags(s3, bucket, "copy") == {}
    with refused("InvalidArgument", 400, "x-amz-tagging-directive"):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, Tagging="d=4")
    # An object onto itself, for its tags.
    s3.copy_object(Bucket=bucket, Key="put", CopySource=source, TaggingDirective="REPLACE", Tagging="e=5")
    assert tags(s3, bucket, "put") == {"e": "5"}
    # Another version has its own.
    s3.put_object(Bucket=bucket, Key="put", Body=b"y")
    assert tags(s3, bucket, "put") == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {str(number): "" for number in range(11)},
        {"n" * 129: ""},
        {"n": "v" * 257},
        {"aws:n": "v"},
        {"n": "<"},
    ],
    ids=["eleven", "long-name", "long-value", "system", "sign"],
)
def test_the_bounds_are_those_of_s3(s3, bucket, wrong):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Tagging="old=1")
    assert code(s3.put_object_tagging, Bucket=bucket, Key="a", Tagging=tag_set(**wrong)) == "InvalidTag"
    assert tags(s3, bucket, "a") == {"old": "1"}


def test_tags_outlive_restart_and_repair(new_server):
    server = new_server().start()
    s3 = server.client()
    s3.create_bucket(Bucket="tagged")
    s3.put_object(Bucket="tagged", Key="a", Body=b"x", Tagging="a=1")
    assert server.stop() == 0
    s3 = server.start().client()
    assert tags(s3, "tagged", "a") == {"a": "1"}
    assert server.stop() == 0
    # What is found lets the ledger be rebuilt.
    stray = server.data / "objects" / "stray"
    stray.write_bytes(b"x")
    run("check", "--repair", "--config", server.config, "--data", server.data)
    assert not stray.exists()
    s3 = server.start().client()
    assert tags(s3, "tagged", "a") == {"a": "1"}


def key(server, name, *statements):
    policy = server.folder / f"{name}.json"
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
    return Key(server, name, "--policy", policy).s3


def test_tags_take_rights_of_their_own(new_server):
    server = new_server().start()
    root = server.client()
    root.create_bucket(Bucket="tagged")
    root.put_object(Bucket="tagged", Key="a", Body=b"x", Tagging="a=1")
    resource = "arn:aws:s3:::tagged/*"
    plain = key(server, "plain", {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": resource})
    assert count(plain.get_object(Bucket="tagged", Key="a")) is None
    assert code(plain.get_object_tagging, Bucket="tagged", Key="a") == "AccessDenied"
    assert code(plain.put_object_tagging, Bucket="tagged", Key="a", Tagging=tag_set(a="2")) == "AccessDenied"
    assert code(plain.put_object, Bucket="tagged", Key="b", Body=b"x", Tagging="a=1") == "AccessDenied"
    assert code(plain.create_multipart_upload, Bucket="tagged", Key="b", Tagging="a=1") == "AccessDenied"
    # Neither may it copy tags that it may not read.
    assert code(plain.copy_object, Bucket="tagged", Key="b", CopySource="tagged/a") == "AccessDenied"
    plain.put_object(Bucket="tagged", Key="b", Body=b"x")
    plain.copy_object(Bucket="tagged", Key="c", CopySource="tagged/b")


def test_policies_ask_about_tags(new_server):
    server = new_server().start()
    root = server.client()
    root.create_bucket(Bucket="tagged")
    for name in ("public", "private"):
        root.put_object(Bucket="tagged", Key=name, Body=b"x", Tagging=f"security={name}")
    resource = "arn:aws:s3:::tagged/*"
    reader = key(
        server,
        "reader",
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectTagging"],
            "Resource": resource,
            "Condition": {"StringEquals": {"s3:ExistingObjectTag/security": "public"}},
        },
    )
    assert count(reader.get_object(Bucket="tagged", Key="public")) == "1"
    for call in (reader.get_object, reader.get_object_tagging, reader.copy_object):
        how = {"CopySource": "tagged/private"} if call == reader.copy_object else {}
        assert code(call, Bucket="tagged", Key="private", **how) == "AccessDenied"
    root.put_object_tagging(Bucket="tagged", Key="private", Tagging=tag_set(security="public"))
    assert reader.get_object(Bucket="tagged", Key="private")["Body"].read() == b"x"
    tagger = key(
        server,
        "tagger",
        {
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:PutObjectTagging"],
            "Resource": resource,
            "Condition": {"StringEquals": {"s3:RequestObjectTag/project": "shop"}},
        },
    )
    tagger.put_object(Bucket="tagged", Key="new", Body=b"x", Tagging="project=shop")
    tagger.put_object_tagging(Bucket="tagged", Key="new", Tagging=tag_set(project="shop", more="1"))
    for other in ({"Tagging": "project=other"}, {"Tagging": "more=1"}, {}):
        assert code(tagger.put_object, Bucket="tagged", Key="no", Body=b"x", **other) == "AccessDenied"
    assert code(tagger.put_object_tagging, Bucket="tagged", Key="new", Tagging=tag_set(more="1")) == "AccessDenied"
    assert tags(root, "tagged", "new") == {"project": "shop", "more": "1"}
