"""Multipart uploads."""

import base64
import hashlib
import io
import zlib

import pytest
from boto3.s3.transfer import TransferConfig

from errors import refused
from test_objects import reflected_crc

MIB = 1 << 20
PART = 5 * MIB


def noise(seed, size):
    return hashlib.shake_256(seed.encode()).digest(size)


class Stream(io.RawIOBase):
    """Deterministic bytes by position, generated in different blocks of 1 MiB."""

    BLOCK = noise("block", MIB)

    def __init__(self, size):
        self.size, self.position = size, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self.position

    def seek(self, offset, whence=io.SEEK_SET):
        self.position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        return self.position

    def readinto(self, buffer):
        number, offset = divmod(self.position, MIB)
        block = number.to_bytes(8, "big") + self.BLOCK[8:]
        count = max(0, min(len(buffer), MIB - offset, self.size - self.position))
        buffer[:count] = block[offset : offset + count]
        self.position += count
        return count


def begin(s3, bucket, key, **how):
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, **how)
    return {"Bucket": bucket, "Key": key, "UploadId": upload["UploadId"]}


def complete(s3, at, parts, **how):
    named = [{"PartNumber": number, **part} for number, part in parts]
    return s3.complete_multipart_upload(**at, MultipartUpload={"Parts": named}, **how)


def upload(s3, at, number, body, **how):
    return number, {"ETag": s3.upload_part(**at, PartNumber=number, Body=body, **how)["ETag"]}


def test_200_mib_by_the_transfer_manager(s3, bucket):
    size, part = 200 * MIB, 8 * MIB
    config = TransferConfig(multipart_threshold=part, multipart_chunksize=part, max_concurrency=4)
    s3.upload_fileobj(io.BufferedReader(Stream(size), MIB), bucket, "large", Config=config)

    head = s3.head_object(Bucket=bucket, Key="large")
    assert head["ContentLength"] == size
    whole, joined, stream = hashlib.sha256(), b"", Stream(size)
    for _ in range(size // part):
        piece = b"".join(stream.read(MIB) for _ in range(part // MIB))
        whole.update(piece)
        joined += hashlib.md5(piece).digest()
    assert head["ETag"] == f'"{hashlib.md5(joined).hexdigest()}-{size // part}"'
    got = hashlib.sha256()
    for chunk in s3.get_object(Bucket=bucket, Key="large")["Body"].iter_chunks(MIB):
        got.update(chunk)
    assert got.digest() == whole.digest()

    ranged = s3.get_object(Bucket=bucket, Key="large", Range=f"bytes={part - 10}-{part + 9}")["Body"].read()
    stream.seek(part - 10)
    assert ranged == stream.read(10) + stream.read(10)
    s3.delete_object(Bucket=bucket, Key="large")


def test_description_and_order_of_parts(s3, bucket):
    at = begin(s3, bucket, "a", ContentType="image/png", CacheControl="no-store", Metadata={"colour": "red"})
    # Uploaded out of order, with gaps in their numbers, and one twice.
    last = upload(s3, at, 9, b"the end")
    upload(s3, at, 2, noise("replaced", PART))
    first = upload(s3, at, 2, noise("first", PART))
    done = complete(s3, at, [first, last])
    got = s3.get_object(Bucket=bucket, Key="a")
    assert got["Body"].read() == noise("first", PART) + b"the end"
    assert (got["ContentType"], got["CacheControl"], got["Metadata"]) == ("image/png", "no-store", {"colour": "red"})
    assert got["ETag"] == done["ETag"]
    assert done["ETag"].endswith('-2"')


def test_no_object_exists_before_completion(s3, bucket):
    at = begin(s3, bucket, "a")
    part = upload(s3, at, 1, b"one")
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="a")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    complete(s3, at, [part])
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"one"


def test_completing_again(s3, bucket):
    at = begin(s3, bucket, "again")
    parts = [upload(s3, at, 1, bytes(5 << 20)), upload(s3, at, 2, b"end")]
    first = complete(s3, at, parts)
    assert complete(s3, at, parts)["ETag"] == first["ETag"]
    # Other parts, or another object meanwhile: the upload no longer exists.
    with refused("NoSuchUpload", 404):
        complete(s3, at, parts[:1])
    s3.put_object(Bucket=bucket, Key="again", Body=b"newer")
    with refused("NoSuchUpload", 404):
        complete(s3, at, parts)


def test_abort(s3, bucket):
    at = begin(s3, bucket, "a")
    part = upload(s3, at, 1, b"one")
    assert s3.abort_multipart_upload(**at)["ResponseMetadata"]["HTTPStatusCode"] == 204
    for ask in (
        lambda: complete(s3, at, [part]),
        lambda: upload(s3, at, 2, b"two"),
        lambda: s3.list_parts(**at),
        lambda: s3.abort_multipart_upload(**at),
    ):
        with refused("NoSuchUpload", 404):
            ask()
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_list_parts(s3, bucket):
    at = begin(s3, bucket, "a")
    parts = [upload(s3, at, number, b"x" * number) for number in (1, 2, 3, 5, 10_000)]
    expected = [(number, number, part["ETag"]) for number, part in parts]

    def seen(page):
        return [(part["PartNumber"], part["Size"], part["ETag"]) for part in page.get("Parts", [])]

    page = s3.list_parts(**at)
    assert (seen(page), page["IsTruncated"]) == (expected, False)
    first = s3.list_parts(**at, MaxParts=2)
    assert (seen(first), first["IsTruncated"], first["NextPartNumberMarker"]) == (expected[:2], True, 2)
    rest = s3.list_parts(**at, PartNumberMarker=2)
    assert (seen(rest), rest["IsTruncated"]) == (expected[2:], False)
    s3.abort_multipart_upload(**at)


def test_list_uploads(s3, bucket):
    begun = [begin(s3, bucket, key) for key in ("a", "a", "b/1", "b/2", "c")]
    expected = sorted((at["Key"], at["UploadId"]) for at in begun)

    def seen(page):
        return [(found["Key"], found["UploadId"]) for found in page.get("Uploads", [])]

    assert sorted(seen(s3.list_multipart_uploads(Bucket=bucket))) == expected
    assert {key for key, _ in seen(s3.list_multipart_uploads(Bucket=bucket, Prefix="b/"))} == {"b/1", "b/2"}
    found = []
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2}):
        assert len(seen(page)) <= 2
        found += seen(page)
    assert [key for key, _ in found] == ["a", "a", "b/1", "b/2", "c"]
    assert sorted(found) == expected
    for at in begun:
        s3.abort_multipart_upload(**at)


def test_part_numbers_have_bounds(s3, bucket):
    at = begin(s3, bucket, "a")
    for number in (0, 10_001):
        with refused("InvalidArgument", 400, "10000"):
            s3.upload_part(**at, PartNumber=number, Body=b"x")
    s3.abort_multipart_upload(**at)


def test_invalid_completions(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"before")
    at = begin(s3, bucket, "a")
    small, big, last = upload(s3, at, 1, b"x"), upload(s3, at, 2, noise("big", PART)), upload(s3, at, 3, b"end")
    also_big = upload(s3, at, 4, noise("big", PART))[1]
    wrong = {"ETag": f'"{hashlib.md5(b"other").hexdigest()}"'}
    with refused("EntityTooSmall", 400):
        complete(s3, at, [small, big])
    with refused("InvalidPart", 400):
        complete(s3, at, [(2, wrong), last])
    with refused("InvalidPart", 400):
        complete(s3, at, [big, (5, wrong)])
    with refused("InvalidPartOrder", 400):
        complete(s3, at, [(4, also_big), big])
    with refused("MalformedXML", 400):
        complete(s3, at, [])
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"before"
    # The upload is intact.
    complete(s3, at, [big, last])
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == noise("big", PART) + b"end"


def test_conditional_completion(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"before")
    at = begin(s3, bucket, "a")
    part = upload(s3, at, 1, b"after")
    with refused("PreconditionFailed", 412):
        complete(s3, at, [part], IfNoneMatch="*")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"before"


def test_parts_copied_from_objects(s3, bucket):
    source = noise("source", 6 * MIB)
    s3.put_object(Bucket=bucket, Key="from here+there", Body=source)
    named = {"Bucket": bucket, "Key": "from here+there"}
    at = begin(s3, bucket, "joined")
    first = s3.upload_part_copy(**at, PartNumber=1, CopySource=named)["CopyPartResult"]
    second = s3.upload_part_copy(**at, PartNumber=2, CopySource=named, CopySourceRange="bytes=10-1009")["CopyPartResult"]
    assert first["ETag"] == f'"{hashlib.md5(source).hexdigest()}"'
    for bad in ("bytes=0-9999999", "bytes=9999999-99999999"):
        with refused("InvalidRange", 416):
            s3.upload_part_copy(**at, PartNumber=3, CopySource=named, CopySourceRange=bad)
    complete(s3, at, [(1, {"ETag": first["ETag"]}), (2, {"ETag": second["ETag"]})])
    assert s3.get_object(Bucket=bucket, Key="joined")["Body"].read() == source + source[10:1010]


@pytest.fixture(scope="module")
def halves():
    return noise("half", PART), b"the other, smaller half"


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def test_composite_checksum(s3, bucket, halves):
    at = begin(s3, bucket, "a", ChecksumAlgorithm="CRC32")
    parts = []
    for number, half in enumerate(halves, 1):
        sent = s3.upload_part(**at, PartNumber=number, Body=half, ChecksumAlgorithm="CRC32", ChecksumCRC32=crc32(half))
        assert sent["ChecksumCRC32"] == crc32(half)
        parts.append((number, {"ETag": sent["ETag"], "ChecksumCRC32": sent["ChecksumCRC32"]}))
    done = complete(s3, at, parts)
    whole = crc32(b"".join(base64.b64decode(crc32(half)) for half in halves)) + "-2"
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (whole, "COMPOSITE")
    head = s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC32"], head["ChecksumType"]) == (whole, "COMPOSITE")


def test_checksum_of_the_whole(server, bucket, halves):
    # A client without checksums of parts: the server computes the upload's checksum.
    s3 = server.client(request_checksum_calculation="when_required")
    at = begin(s3, bucket, "a", ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT")
    parts = [upload(s3, at, number, half) for number, half in enumerate(halves, 1)]
    whole = reflected_crc(b"".join(halves), 0x9A6C9329AC4BC9B5, 64)
    done = complete(s3, at, parts, ChecksumCRC64NVME=whole, ChecksumType="FULL_OBJECT")
    assert (done["ChecksumCRC64NVME"], done["ChecksumType"]) == (whole, "FULL_OBJECT")
    head = s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC64NVME"], head["ChecksumType"]) == (whole, "FULL_OBJECT")


def test_wrong_checksums(s3, bucket, halves):
    at = begin(s3, bucket, "a", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    with refused("BadDigest", 400):
        s3.upload_part(**at, PartNumber=1, Body=b"other", ChecksumAlgorithm="CRC32", ChecksumCRC32=crc32(b"this"))
    assert "Parts" not in s3.list_parts(**at)
    part = upload(s3, at, 1, b"this", ChecksumAlgorithm="CRC32")
    with refused("BadDigest", 400):
        complete(s3, at, [part], ChecksumCRC32=crc32(b"other"), ChecksumType="FULL_OBJECT")
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")
    complete(s3, at, [part], ChecksumCRC32=crc32(b"this"), ChecksumType="FULL_OBJECT")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"this"


def test_an_unfinished_upload_survives_a_crash(new_server):
    server = new_server().start()
    s3 = server.client()
    s3.create_bucket(Bucket="xxx")
    at = begin(s3, "xxx", "a", ContentType="image/png")
    first = upload(s3, at, 1, noise("crash", PART))
    server.kill()
    s3 = server.start().client()
    last = upload(s3, at, 2, b"end")
    complete(s3, at, [first, last])
    got = s3.get_object(Bucket="xxx", Key="a")
    assert (got["Body"].read(), got["ContentType"]) == (noise("crash", PART) + b"end", "image/png")
