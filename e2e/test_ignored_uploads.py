"""Uploads that no trigger takes: counted, logged and listed, each with the reason."""

import json

import pytest
import requests

import sample_images
from tintype import DESTINATION, SOURCE
from waiting import until

SETTINGS = """
[[trigger]]
prefix = "raw/"
suffixes = [".jpg", ".png"]
[[trigger.rendition]]
"""
IGNORED = [
    (SOURCE, "raw/scan.tiff", "suffix", "no trigger takes .tiff"),
    (SOURCE, "raw/README", "suffix", "no trigger takes names without an extension"),
    (SOURCE, "a.jpg", "prefix", "triggers take keys below raw/ only"),
    (DESTINATION, "logo.jpg", "destination", "this bucket is where thumbnails are written; no trigger watches it"),
    ("archive", "raw/a.jpg", "bucket", "no trigger watches this bucket"),
]


@pytest.fixture
def own(new_server):
    own = new_server(settings=SETTINGS).start()
    own.client().create_bucket(Bucket="archive")
    return own


def logged(own):
    lines = [json.loads(line) for line in own.log_text().splitlines() if '"upload ignored' in line]
    return [(line["bucket"], line["key"], line["message"], line["level"]) for line in lines]


def ignored(own):
    samples = own.metrics().items()
    return {name.split('"')[1]: count for name, count in samples if name.startswith("tintype_uploads_ignored_total{")}


def test_each_has_its_reason_in_log_metric_and_gallery(own):
    s3 = own.client()
    for bucket, key, *_ in IGNORED:
        s3.put_object(Bucket=bucket, Key=key, Body=sample_images.jpeg())
    assert logged(own) == [(bucket, key, f"upload ignored: {why}", "INFO") for bucket, key, _, why in IGNORED]
    assert ignored(own) == {"bucket": 1, "destination": 1, "prefix": 1, "suffix": 2, "event_type": 0}
    as_json = {"Accept": "application/json"}
    for bucket, key, _, why in IGNORED:
        page = requests.get(f"{own.http_url}/gallery", params={"bucket": bucket, "only": "ignored"}, headers=as_json, timeout=30).json()
        assert why in [image["why"] for image in page["images"] if image["key"] == key], page
        known = requests.get(f"{own.http_url}/object", params={"bucket": bucket, "key": key}, headers=as_json, timeout=30).json()
        assert (known["status"], known["ignored"], known["wanted"]) == ("ignored", why, False)
        assert why in known["advice"]


def test_what_is_no_upload_or_is_taken_is_not_counted(own):
    s3 = own.client()
    s3.put_object(Bucket=SOURCE, Key="raw/a.jpg", Body=sample_images.jpeg())
    s3.put_object(Bucket=SOURCE, Key="folder/", Body=b"")
    thumbnail = own.thumbnail("thumb_raw/a.jpg")
    s3.delete_object(Bucket=DESTINATION, Key="thumb_raw/a.jpg")
    own.wait_until_idle()
    assert thumbnail["Bytes"] and logged(own) == [] and not any(ignored(own).values())
    # A trigger for uploads of one type does not take others.
    events = {"LambdaFunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:Thumbnails", "Events": ["s3:ObjectCreated:Put"]}
    s3.put_bucket_notification_configuration(
        Bucket="archive", NotificationConfiguration={"LambdaFunctionConfigurations": [events]}
    )
    s3.put_object(Bucket="archive", Key="a.jpg", Body=sample_images.jpeg())
    s3.copy_object(Bucket="archive", Key="b.jpg", CopySource={"Bucket": "archive", "Key": "a.jpg"})
    assert ignored(own)["event_type"] == 1
    assert logged(own)[-1][2] == "upload ignored: no trigger that takes this key is called for ObjectCreated:Copy"


def test_the_gallery_shows_them_with_the_reason(own, browser):
    own.client().put_object(Bucket=SOURCE, Key="raw/scan.tiff", Body=b"anything")
    browser.open(f"{own.http_url}/?only=ignored")
    browser.wait_for("document.querySelector('[data-key=\"raw/scan.tiff\"] .reason').innerText === 'no trigger takes .tiff'", "it is listed")
    browser.open(f"{own.http_url}/object?key=raw/scan.tiff")
    assert "ignored: no trigger takes .tiff" in browser.text(".verdict")
    assert not browser.run("!!document.querySelector('.verdict form')"), "rendering again cannot help"
    browser.open(f"{own.http_url}/metrics/dashboard")
    until(lambda: "Ignored uploads" in browser.text(".graph h3"), "there is a chart of them")
