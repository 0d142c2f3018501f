"""Listing: every key once, in the order of UTF-8, however it is paged."""

import concurrent.futures

import pytest

from errors import refused

COUNT = 2500


@pytest.fixture(scope="module")
def many(server):
    """A bucket with COUNT keys in 25 folders."""
    s3 = server.client()
    s3.create_bucket(Bucket="many")
    keys = [f"folder-{number % 25:02}/key-{number:05}" for number in range(COUNT)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket="many", Key=key, Body=b""), keys))
    return sorted(keys)


def pages(ask, **how):
    return list(ask.paginate(Bucket="many", **how))


def keys_of(pages):
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


def prefixes_of(pages):
    return [found["Prefix"] for page in pages for found in page.get("CommonPrefixes", [])]


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize(("size", "count"), [(1000, 3), (700, 4), (2500, 3)])
def test_every_key_once_and_in_order(s3, many, operation, size, count):
    found = pages(s3.get_paginator(operation), PaginationConfig={"PageSize": size})
    assert keys_of(found) == many
    assert len(found) == count
    assert [page["IsTruncated"] for page in found] == [True] * (count - 1) + [False]


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
def test_common_prefixes(s3, many, operation):
    found = pages(s3.get_paginator(operation), Delimiter="/", PaginationConfig={"PageSize": 10})
    assert prefixes_of(found) == [f"folder-{number:02}/" for number in range(25)]
    assert keys_of(found) == []
    assert len(found) == 3


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
def test_prefix(s3, many, operation):
    how = {"Prefix": "folder-07/", "Delimiter": "/", "PaginationConfig": {"PageSize": 33}}
    found = pages(s3.get_paginator(operation), **how)
    assert keys_of(found) == [key for key in many if key.startswith("folder-07/")]
    assert prefixes_of(found) == []
    assert keys_of(pages(s3.get_paginator(operation), Prefix="no such folder")) == []


def test_keys_and_prefixes_share_a_page(s3, bucket):
    for key in ("a", "b/1", "b/2", "c", "d/1", "e"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    seen, token = [], {}
    for _ in range(10):
        page = s3.list_objects_v2(Bucket=bucket, Delimiter="/", MaxKeys=2, **token)
        assert page["KeyCount"] <= 2
        seen.append((keys_of([page]), prefixes_of([page])))
        if not page["IsTruncated"]:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert seen == [(["a"], ["b/"]), (["c"], ["d/"]), (["e"], [])]


def test_start_after(s3, many):
    page = s3.list_objects_v2(Bucket="many", StartAfter=many[99], MaxKeys=5)
    assert keys_of([page]) == many[100:105]
    assert page["StartAfter"] == many[99]
    # The key need not exist.
    page = s3.list_objects_v2(Bucket="many", StartAfter="folder-24/key-99999")
    assert (page["KeyCount"], page["IsTruncated"]) == (0, False)
    page = s3.list_objects(Bucket="many", Marker=many[99], MaxKeys=5)
    assert keys_of([page]) == many[100:105]


def test_max_keys(s3, many):
    for ask in (s3.list_objects, s3.list_objects_v2):
        page = ask(Bucket="many", MaxKeys=0)
        assert (keys_of([page]), page["IsTruncated"], page["MaxKeys"]) == ([], False, 0)
        with refused("InvalidArgument", 400):
            ask(Bucket="many", MaxKeys=-1)
    assert keys_of([s3.list_objects_v2(Bucket="many", MaxKeys=1)]) == many[:1]


def test_an_invented_token_is_refused(s3, many):
    with refused("InvalidArgument", 400, "continuation token"):
        s3.list_objects_v2(Bucket="many", ContinuationToken="!!")


def test_fields_of_each_object(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"12345")["ETag"]
    for ask in (s3.list_objects, s3.list_objects_v2):
        (found,) = ask(Bucket=bucket)["Contents"]
        assert (found["Key"], found["Size"], found["ETag"], found["StorageClass"]) == ("a", 5, etag, "STANDARD")
        # HTTP's dates have whole seconds.
        head = s3.head_object(Bucket=bucket, Key="a")
        assert found["LastModified"].replace(microsecond=0) == head["LastModified"]


def test_keys_that_need_encoding(s3, bucket):
    keys = sorted(["a b", "a+b", "a%20b", "a&b", "<a>", "tab\tkey", "line\nkey", "\x01control", "ü/1", "ü/2", "😀"])
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    # boto3 requests encoding-type=url and decodes the result.
    for ask in (s3.list_objects, s3.list_objects_v2):
        assert keys_of([ask(Bucket=bucket)]) == sorted(keys, key=str.encode)
        page = ask(Bucket=bucket, Delimiter="/", Prefix="ü")
        assert prefixes_of([page]) == ["ü/"]
    page = s3.list_objects_v2(Bucket=bucket, EncodingType="url")
    assert "a+b" not in keys_of([page]) and "a%2Bb" in keys_of([page])
