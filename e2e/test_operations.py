"""Every operation of S3's service model in the installed boto3: done, or refused with a code; unsupported ones change
nothing."""

import hashlib
import json

import botocore.session
import pytest
import requests
from botocore.exceptions import ClientError

import signing
from errors import refused

# Supported operations, in an order in which the model's minimal requests work on one bucket.
OFFERED = {
    "AbortMultipartUpload", "CompleteMultipartUpload", "CopyObject", "CreateBucket", "CreateMultipartUpload", "DeleteBucket",
    "DeleteBucketCors", "DeleteObject", "DeleteObjects", "GetBucketCors", "GetBucketLocation",
    "GetBucketNotificationConfiguration", "GetObject", "GetObjectTagging", "HeadBucket", "HeadObject", "ListBuckets",
    "ListMultipartUploads", "ListObjects", "ListObjectsV2", "ListParts", "PutBucketCors",
    "PutBucketNotificationConfiguration", "PutObject", "UploadPart", "UploadPartCopy",
    "DeleteBucketPolicy", "DeletePublicAccessBlock", "GetBucketAccelerateConfiguration", "GetBucketAcl", "GetBucketLogging",
    "GetBucketOwnershipControls", "GetBucketPolicy", "GetBucketPolicyStatus", "GetBucketRequestPayment", "GetBucketVersioning",
    "GetObjectAcl", "GetPublicAccessBlock", "ListObjectVersions", "PutBucketAcl", "PutBucketPolicy", "PutObjectAcl",
    "PutPublicAccessBlock", "DeleteBucketOwnershipControls", "PutBucketOwnershipControls", "DeleteObjectTagging", "GetObjectAttributes", "PutObjectTagging",
}  # fmt: skip

# Answered with what no bucket has: see test_true_answers.
ABSENT = {
    "GetBucketEncryption", "GetBucketLifecycle", "GetBucketLifecycleConfiguration", "GetBucketReplication", "GetBucketTagging",
    "GetBucketWebsite", "GetObjectLockConfiguration",
}  # fmt: skip

# Older names of supported operations, for the same requests.
ALIASES = {"GetBucketNotification", "PutBucketNotification"}

# Its path names no valid bucket.
REFUSED_OTHERWISE = {("WriteGetObjectResponse", "400 InvalidBucketName")}

MODEL = botocore.session.get_session().get_service_model("s3")


def minimal(shape, known):
    """The minimal value of a shape."""
    if shape.type_name == "structure":
        if getattr(shape, "is_tagged_union", False):
            name, member = next(iter(shape.members.items()))
            return {name: minimal(member, known)}
        return {name: known.get(name) or minimal(shape.members[name], known) for name in shape.required_members}
    if shape.type_name == "list":
        return [minimal(shape.member, known)]
    if shape.type_name == "map":
        return {}
    if getattr(shape, "enum", None):
        return shape.enum[0]
    simple = {"string": "x" * max(1, shape.metadata.get("min", 1)), "integer": 1, "long": 1, "boolean": True, "timestamp": 0, "blob": b"x", "float": 1.0}
    return simple[shape.type_name]


@pytest.fixture
def own(new_server):
    return new_server(settings="[function]\nretries = 0\n").start()


@pytest.fixture
def s3(own):
    return own.client(inject_host_prefix=False, parameter_validation=True)


def state(s3):
    """The state that a refused request must not change."""
    seen = {}
    for bucket in (found["Name"] for found in s3.list_buckets()["Buckets"]):
        for one in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            head = s3.head_object(Bucket=bucket, Key=one["Key"])
            seen[bucket, one["Key"]] = head["ETag"], head["Metadata"], head["LastModified"], head.get("ContentType")
        uploads = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        seen[bucket, "uploads"] = [
            (upload["UploadId"], [part["ETag"] for part in s3.list_parts(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]).get("Parts", [])])
            for upload in uploads
        ]
        notifications = s3.get_bucket_notification_configuration(Bucket=bucket)
        seen[bucket, "notifications"] = notifications.get("LambdaFunctionConfigurations")
        seen[bucket, "cors"] = cors(s3, bucket)
    return seen


def cors(s3, bucket):
    try:
        return s3.get_bucket_cors(Bucket=bucket)["CORSRules"]
    except ClientError:
        return None


def test_every_operation_of_the_model_is_done_or_refused(s3, capsys):
    bucket, key = "sweep", "a.txt"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=key, Body=b"precious", Metadata={"marked": "yes"})
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"part")
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://shop.example"]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    known = {"Bucket": bucket, "Key": key, "UploadId": upload, "CopySource": f"{bucket}/{key}", "Body": b"overwritten"}

    rows, before = [], state(s3)
    for name in sorted(MODEL.operation_names):
        if name in OFFERED | ALIASES | ABSENT:
            continue
        operation = MODEL.operation_model(name)
        parameters = minimal(operation.input_shape, known) if operation.input_shape else {}
        try:
            s3._make_api_call(name, parameters)
            rows.append((name, "DONE"))
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            rows.append((name, f"{status} {error.response['Error']['Code']}"))
        assert state(s3) == before, f"{name} changed something"
    rows += [(name, "offered") for name in OFFERED | ALIASES]
    with capsys.disabled():
        print()
        for name, outcome in sorted(rows):
            print(f"{name:55} {outcome}")
    assert OFFERED | ALIASES <= set(MODEL.operation_names)
    wrong = [row for row in rows if row[1] not in ("offered", "501 NotImplemented") and row not in REFUSED_OTHERWISE]
    assert not wrong, wrong


def test_the_operations_offered_are_done(s3):
    """Each once, in an order in which all of them can be."""
    bucket, key = "offered", "a.txt"
    at = {"Bucket": bucket, "Key": key}
    done = []

    def do(name, **parameters):
        done.append(name)
        return s3._make_api_call(name, parameters)

    do("CreateBucket", Bucket=bucket)
    do("HeadBucket", Bucket=bucket)
    do("GetBucketLocation", Bucket=bucket)
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://shop.example"]}
    do("PutBucketCors", Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    assert do("GetBucketCors", Bucket=bucket)["CORSRules"][0] == rule
    do("DeleteBucketCors", Bucket=bucket)
    do("PutBucketNotificationConfiguration", Bucket=bucket, NotificationConfiguration={})
    do("GetBucketNotificationConfiguration", Bucket=bucket)
    for name in ("AccelerateConfiguration", "Logging", "RequestPayment", "Versioning"):
        do(f"GetBucket{name}", Bucket=bucket)
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/denied"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
    do("PutBucketPolicy", Bucket=bucket, Policy=policy)
    assert do("GetBucketPolicy", Bucket=bucket)["Policy"] == policy
    assert do("GetBucketPolicyStatus", Bucket=bucket)["PolicyStatus"] == {"IsPublic": False}
    do("DeleteBucketPolicy", Bucket=bucket)
    do("PutPublicAccessBlock", Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    do("GetPublicAccessBlock", Bucket=bucket)
    do("DeletePublicAccessBlock", Bucket=bucket)
    do("PutBucketOwnershipControls", Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    do("GetBucketOwnershipControls", Bucket=bucket)
    do("DeleteBucketOwnershipControls", Bucket=bucket)
    do("PutBucketAcl", Bucket=bucket, ACL="private")
    do("GetBucketAcl", Bucket=bucket)
    do("PutObject", **at, Body=b"x")
    do("PutObjectAcl", **at, ACL="private")
    do("GetObjectAcl", **at)
    assert do("ListObjectVersions", Bucket=bucket)["Versions"][0]["VersionId"] == "null"
    assert do("GetObject", **at)["Body"].read() == b"x"
    do("HeadObject", **at)
    do("PutObjectTagging", **at, Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
    do("GetObjectTagging", **at)
    do("DeleteObjectTagging", **at)
    do("GetObjectAttributes", **at, ObjectAttributes=["ETag"])
    do("CopyObject", Bucket=bucket, Key="b.txt", CopySource=f"{bucket}/{key}")
    upload = {**at, "UploadId": do("CreateMultipartUpload", **at)["UploadId"]}
    do("UploadPart", **upload, PartNumber=1, Body=b"part")
    part = do("UploadPartCopy", **upload, PartNumber=1, CopySource=f"{bucket}/{key}")["CopyPartResult"]
    do("ListParts", **upload)
    assert len(do("ListMultipartUploads", Bucket=bucket)["Uploads"]) == 1
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    do("CompleteMultipartUpload", **upload, MultipartUpload=parts)
    do("AbortMultipartUpload", **at, UploadId=s3.create_multipart_upload(**at)["UploadId"])
    assert [one["Key"] for one in do("ListObjects", Bucket=bucket)["Contents"]] == [key, "b.txt"]
    assert do("ListObjectsV2", Bucket=bucket)["KeyCount"] == 2
    do("DeleteObject", Bucket=bucket, Key="b.txt")
    do("DeleteObjects", Bucket=bucket, Delete={"Objects": [{"Key": key}]})
    do("DeleteBucket", Bucket=bucket)
    assert do("ListBuckets")["Buckets"]
    assert set(done) == OFFERED


# Subresources of S3, old and new, and some that it does not have.
SUBRESOURCES = [
    "abac", "accelerate", "acl", "analytics", "annotation", "append", "attributes", "cors", "delete", "encryption", "id",
    "intelligent-tiering", "inventory", "legal-hold", "lifecycle", "list-type", "location", "logging",
    "metadataConfiguration", "metadataInventoryTable", "metadataJournalTable", "metadataTable", "metrics", "notification",
    "object-lock", "ownershipControls", "partNumber", "policy", "policyStatus", "publicAccessBlock", "renameObject",
    "replication", "requestPayment", "restore", "retention", "rewrite", "select", "session", "tagging", "torrent",
    "uploadId", "uploads", "versionId", "versioning", "versions", "website",
]  # fmt: skip


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_no_subresource_runs_as_the_plain_operation(own, s3, method):
    bucket, key = "plain", "a.txt"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=key, Body=b"precious")
    before = state(s3)
    for name in SUBRESOURCES:
        for at, query in ((key, {name: ""}), (key, {name: "x"}), ("", {name: ""})):
            # Deliberately separate operations.
            if (method, at != "", name) in {("POST", True, "uploads"), ("DELETE", False, "cors"), ("POST", False, "delete"), ("DELETE", False, "policy"), ("DELETE", False, "publicAccessBlock"), ("DELETE", False, "ownershipControls")}:
                continue
            status, _, answer = signing.request(own, method, bucket, at, b"overwritten", query=query)
            assert status >= 400, (name, at, answer)
            assert state(s3) == before, (name, at)


def test_a_read_with_an_unknown_subresource_is_no_plain_read(own, s3):
    s3.create_bucket(Bucket="reads")
    s3.put_object(Bucket="reads", Key="a.txt", Body=b"precious")
    for name in SUBRESOURCES:
        if name in ("acl", "tagging", "partNumber"):
            continue
        status, _, answer = signing.request(own, "GET", "reads", "a.txt", query={name: ""})
        assert status >= 400 and b"precious" not in answer, (name, answer)


def test_unsupported_headers_and_parameters_are_refused(own, s3):
    bucket = "honoured"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="old", Body=b"old")
    before = state(s3)
    put = [
        {"x-amz-server-side-encryption-customer-key": "AAAA"},
        {"x-amz-server-side-encryption-customer-key-md5": "AAAA"},
        {"x-amz-server-side-encryption": "AES256"},
        {"x-amz-server-side-encryption-bucket-key-enabled": "true"},
        {"x-amz-checksum-md5": "AAAA"},
        {"x-amz-checksum-sha512": "AAAA"},
        {"x-amz-checksum-xxhash64": "AAAA"},
        {"x-amz-expected-bucket-owner": "111122223333"},
        {"x-amz-grant-read": "uri=http://acs.amazonaws.com/groups/global/AllUsers"},
        {"x-amz-object-lock-mode": "GOVERNANCE"},
        {"x-amz-tagging": "a=<"},
        {"x-amz-website-redirect-location": "/b"},
        {"x-amz-write-offset-bytes": "3"},
        {"x-amz-storage-class": "GLACIER"},
        {"x-amz-acl": "public-read"},
        {"x-amz-copy-source": f"/{bucket}/old", "x-amz-checksum-algorithm": "SHA1"},
        {"x-amz-copy-source": f"/{bucket}/old", "x-amz-source-expected-bucket-owner": "111122223333"},
        {"x-amz-sdk-checksum-algorithm": "SHA1", "x-amz-checksum-crc32": "AAAAAA=="},
        {"x-amz-sdk-checksum-algorithm": "SHA1"},
        {"x-amz-copy-source": f"/{bucket}/old", "x-amz-metadata-directive": "replace"},
        {"x-amz-copy-source": f"/{bucket}/old", "x-amz-tagging-directive": "x"},
        {"x-amz-meta-": "no name"},
        {"x-amz-acl": ""},
        {"x-amz-checksum-sha256": ""},
        {"content-md5": ""},
        {"if-none-match": ""},
        {"if-unmodified-since": "Mon, 30 Nov 2020 00:00:00 GMT"},
        {"content-range": "bytes 0-2/9"},
    ]
    delete = [{"x-amz-if-match-size": "1"}, {"x-amz-if-match-last-modified-time": "Mon, 30 Nov 2026 00:00:00 GMT"}, {"x-amz-mfa": "1"}]
    delete += [{"if-none-match": "*"}, {"if-match": ""}, {"if-unmodified-since": "Mon, 30 Nov 2020 00:00:00 GMT"}]
    for method, key, headers in [("PUT", "new", one) for one in put] + [("DELETE", "old", one) for one in delete]:
        status, _, answer = signing.request(own, method, bucket, key, more=headers)
        assert status in (400, 403, 501), (headers, answer)
        assert state(s3) == before, headers
    for name, value in (("Size", 99), ("LastModifiedTime", "Mon, 30 Nov 2020 00:00:00 GMT"), ("VersionId", "other")):
        body = f"<Delete><Object><Key>old</Key><{name}>{value}</{name}></Object></Delete>".encode()
        status, _, answer = signing.request(own, "POST", bucket, "", body, query={"delete": ""})
        assert status >= 400 or b"<Code>NotImplemented</Code>" in answer, answer
        assert state(s3) == before, name
    # A document with a wrong checksum.
    rules = b"<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>"
    for headers in ({"x-amz-checksum-crc32": "AAAAAA=="}, {"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}):
        status, _, answer = signing.request(own, "PUT", bucket, "", rules, query={"cors": ""}, more=headers)
        assert (status, b"<Code>BadDigest</Code>" in answer) == (400, True), answer
    # The obsolete form of a notification would be read as none.
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://a.example"]}]})
    before = state(s3)
    for query, document in (
        ("notification", b"<NotificationConfiguration><TopicConfiguration><Topic>arn:aws:sns:us-east-1:1:t</Topic><Event>s3:ObjectCreated:*</Event></TopicConfiguration></NotificationConfiguration>"),
        ("notification", b"<NotificationConfiguration><CloudFunctionConfiguration><CloudFunction>arn</CloudFunction></CloudFunctionConfiguration></NotificationConfiguration>"),
        ("notification", b"<NotificationConfiguration><Foo/></NotificationConfiguration>"),
        ("notification", b"<NotificationConfiguration>text</NotificationConfiguration>"),
        ("notification", b"<NotificationConfiguration xmlns:x='x'><x:CloudFunctionConfiguration/></NotificationConfiguration>"),
        ("delete", b"<Delete xmlns:x='x'><Object><Key>old</Key></Object><x:Object><Key>b</Key></x:Object></Delete>"),
        ("delete", b"<?xml version='1.0' encoding='ISO-8859-1'?><Delete><Object><Key>old</Key></Object></Delete>"),
        ("cors", b"<CORSConfiguration><Rule/></CORSConfiguration>"),
        ("delete", b"<Delete><Object><Key>ol<![CDATA[d]]></Key></Object><Object><Key>old<![CDATA[er]]></Key></Object></Delete>"),
        ("delete", b"<Delete><Object><Key>old</Key></Object></Delete>trailing"),
        ("delete", b"<!DOCTYPE Delete><Delete><Object><Key>old</Key></Object></Delete>"),
        ("delete", b"<Delete><Object><Key>old</Key><Unheard>1</Unheard></Object></Delete>"),
    ):
        method = "POST" if query == "delete" else "PUT"
        status, _, answer = signing.request(own, method, bucket, "", document, query={query: ""})
        assert status >= 400, (document, answer)
        assert state(s3) == before, document


def test_parameters_of_listings_are_honoured_or_refused(own, s3):
    for name in ("list-a", "list-b", "list-c"):
        s3.create_bucket(Bucket=name)
    page = s3.list_buckets(MaxBuckets=2, Prefix="list-")
    assert [bucket["Name"] for bucket in page["Buckets"]] == ["list-a", "list-b"]
    page = s3.list_buckets(MaxBuckets=2, Prefix="list-", ContinuationToken=page["ContinuationToken"])
    assert [bucket["Name"] for bucket in page["Buckets"]] == ["list-c"] and "ContinuationToken" not in page
    assert s3.list_buckets(BucketRegion="eu-west-1")["Buckets"] == []
    s3.create_multipart_upload(Bucket="list-a", Key="a b/\u00e9")
    encoded = s3.list_multipart_uploads(Bucket="list-a", EncodingType="url")
    assert [upload["Key"] for upload in encoded["Uploads"]] == ["a%20b/%C3%A9"]
    status, _, answer = signing.request(own, "GET", "list-a", "", query={"uploads": "", "delimiter": "/"})
    assert (status, b"<Code>NotImplemented</Code>" in answer) == (501, True), answer
    for key, query in (("", {"uploads": "", "max-uploads": "-5"}), ("", {"max-keys": "-1"}), ("a b/\u00e9", {"uploadId": encoded["Uploads"][0]["UploadId"], "max-parts": "-1"})):
        status, _, answer = signing.request(own, "GET", "list-a", key, query=query)
        assert (status, b"<Code>InvalidArgument</Code>" in answer) == (400, True), answer


def test_a_completion_is_exact_or_refused(own, s3):
    s3.create_bucket(Bucket="complete")
    at = {"Bucket": "complete", "Key": "a"}
    upload = s3.create_multipart_upload(**at)["UploadId"]
    etag = s3.upload_part(**at, UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    parts = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    query, body = {"uploadId": upload}, parts.encode()

    def complete(body=body, **how):
        return signing.request(own, "POST", "complete", "a", body, query=query, **how)[::2]

    other = hashlib.sha256(b"other").hexdigest()
    for code, how in (
        ("XAmzContentSHA256Mismatch", {"payload": other}),
        ("BadDigest", {"more": {"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}}),
        ("InvalidArgument", {"more": {"x-amz-mp-object-size": "-3"}}),
        ("InvalidRequest", {"more": {"x-amz-checksum-type": "COMPOSITE"}}),
        ("MalformedXML", {"body": body.replace(b"<PartNumber>1", b"<PartNumber>1<![CDATA[0]]>")}),
        ("MalformedXML", {"body": body.replace(b"</Complete", b"<part><PartNumber>2</PartNumber></part></Complete")}),
    ):
        status, answer = complete(**how)
        assert (status, f"<Code>{code}</Code>".encode() in answer) == (400, True), (code, answer)
    more = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(body))}
    sent = signing.headers(own, "POST", "complete", "a", query=query, more=more, payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    cut = b"".join(signing.chunks(own, sent, [body]))
    status, _, answer = signing.send(own, "POST", "complete", "a", cut, sent, query)
    assert (status, b"<Code>IncompleteBody</Code>" in answer) == (400, True), answer
    with refused("404"):
        s3.head_object(**at)
    assert complete()[0] == 200
    assert s3.get_object(**at)["Body"].read() == b"part"


def test_operations_without_a_body_take_none(own, s3):
    s3.create_bucket(Bucket="empty")
    s3.put_object(Bucket="empty", Key="a", Body=b"x")
    copy = {"x-amz-copy-source": "/empty/a"}
    other = hashlib.sha256(b"other").hexdigest()
    for method, key, query, how in (
        ("DELETE", "a", {}, {"body": b"junk"}),
        ("DELETE", "a", {}, {"payload": other}),
        ("PUT", "copy", {}, {"body": b"junk", "more": copy}),
        ("PUT", "copy", {}, {"payload": other, "more": copy}),
        ("POST", "b", {"uploads": ""}, {"body": b"junk"}),
    ):
        status, _, answer = signing.request(own, method, "empty", key, query=query, **how)
        assert status == 400, (method, how, answer)
    assert s3.list_objects_v2(Bucket="empty")["KeyCount"] == 1
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="empty")


def test_a_form_is_signed_by_its_policy_alone(own, s3):
    s3.create_bucket(Bucket="forms")
    form = s3.generate_presigned_post("forms", "a")
    for query, headers in (("?acl", {}), ("?x-amz-acl=private", {}), ("", {"x-amz-meta-a": "b"}), ("", {"x-amz-copy-source": "/forms/b"})):
        answer = requests.post(form["url"] + query, data=form["fields"], files={"file": b"x"}, headers=headers, timeout=30)
        assert answer.status_code in (403, 501), answer.text
    tagged = s3.generate_presigned_post("forms", "a", Fields={"tagging": "<Tagging/>"}, Conditions=[{"tagging": "<Tagging/>"}])
    answer = requests.post(tagged["url"], data=tagged["fields"], files={"file": b"x"}, timeout=30)
    assert answer.status_code == 400, answer.text
    assert s3.list_objects_v2(Bucket="forms")["KeyCount"] == 0
    assert requests.post(form["url"], data=form["fields"], files={"file": b"x"}, timeout=30).status_code == 204
