"""Data folders written by earlier versions: each opens unchanged and continues to work."""

import hashlib
import json

import pytest

import data_folder
import sample_images
from data_folder import DESTINATION, FIXTURES, RENDERED, MIRROR, MIRRORED, OTHER, QUOTA, SOURCE, ServerRun, asked_by_key, at
from recording import RECORDS, same
from waiting import until

pytestmark = pytest.mark.skipif(data_folder.FAKETIME is None, reason="needs Debian's package faketime")


@pytest.fixture(params=sorted(FIXTURES.glob("*.tar.xz")), ids=lambda file: file.name.removesuffix(".tar.xz"))
def fixture(request):
    return request.param


@pytest.fixture
def folder(fixture, tmp_path):
    data_folder.unpack(fixture, tmp_path)
    return tmp_path


@pytest.fixture
def recorded_file(fixture):
    return fixture.with_name(fixture.name.removesuffix(".tar.xz") + ".json")


def recipe(server_run, key):
    status, headers, _ = server_run.s3("HEAD", DESTINATION, key)
    assert status == 200, key
    return headers["x-amz-meta-tintype-recipe"]


def test_everything_in_it_is_as_it_was(folder, recorded_file):
    known = data_folder.seen(folder)
    if RECORDS:
        recorded_file.write_text(data_folder.text(known))
        return
    recorded = json.loads(recorded_file.read_text())
    with ServerRun(folder, at(12)) as server_run:
        server_run.done("PUT", SOURCE, "new.jpg", sample_images.jpeg())
        is_same_recipe = recipe(server_run, "thumb_new.jpg") == recipe(server_run, "thumb_photo.jpg")
    # With a newer recipe thumbnails are stored, but none is current.
    for name in () if is_same_recipe else ("backfill", "orphans", "status"):
        del known[name], recorded[name]
    same(recorded_file.name, data_folder.text(recorded), data_folder.text(known))
    if is_same_recipe:
        assert known["backfill"][-1]["stale"] == 0


def test_it_continues_to_work(folder):
    with ServerRun(folder, at(10)) as server_run:
        head = lambda key, bucket=DESTINATION: server_run.s3("HEAD", bucket, key)
        # Nothing is rendered again.
        thumbnail = lambda key: f"thumb_{key}" + ".png" * key.endswith(".gif")
        before = {key: head(thumbnail(key))[1] for key in RENDERED}
        server_run.done("PUT", SOURCE, "new.jpg", sample_images.jpeg())
        is_same_recipe = recipe(server_run, "thumb_new.jpg") == before["photo.jpg"]["x-amz-meta-tintype-recipe"]
        if is_same_recipe:
            for key, headers in before.items():
                answer = json.loads(server_run.page("/dev1/myimage", "POST", json.dumps({"key": key}), **{"content-type": "application/json"}))
                assert [record["outcome"] for record in answer["records"]] == ["up_to_date"], key
                assert head(thumbnail(key))[1]["last-modified"] == headers["last-modified"]
        # Dead letters are redriven, resolved by a good version, and purged.
        dead_letters = lambda: {one["event"]["key"]: one for one in server_run.command("dead-letters", "list")}
        was = dead_letters()
        server_run.command("dead-letters", "redrive", "--prefix", "broken")
        until(lambda: dead_letters().get("broken.jpg", was["broken.jpg"])["dead_ms"] > was["broken.jpg"]["dead_ms"], "it is a dead letter again")
        server_run.done("PUT", SOURCE, "broken.jpg", sample_images.jpeg())
        assert json.loads(server_run.page("/object?key=broken.jpg"))["state"] == "made"
        if not is_same_recipe:
            server_run.command("backfill")
            server_run.settle()
        assert server_run.command("backfill", "--dry-run")[-1]["stale"] == 0
        server_run.command("dead-letters", "purge", "--all")
        assert dead_letters() == {}
        # The open upload accepts another part and is completed.
        upload = data_folder.found("<Key>open.bin</Key>.*?<UploadId>(.*?)<", server_run.done("GET", OTHER, query={"uploads": ""}))[0]
        server_run.done("PUT", OTHER, "open.bin", bytes(5 << 20), query={"partNumber": "1", "uploadId": upload})
        bodies = {1: bytes(5 << 20), 3: b"part 3"}
        etags = {number: hashlib.md5(body).hexdigest() for number, body in bodies.items()}
        parts = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in etags.items())
        server_run.done("POST", OTHER, "open.bin", f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode(), query={"uploadId": upload})
        assert server_run.done("GET", OTHER, "open.bin")[5 << 20 :] == b"part 3"
        # Its triggers: the settings', and one put by S3.
        server_run.done("PUT", OTHER, "raw/b.photo", sample_images.jpeg())
        assert head("thumb_raw/b.photo")[0] == 200
        server_run.done("DELETE", MIRRORED, "stays.jpg")
        assert head("small/stays.jpg", MIRROR)[0] == head("large/stays.jpg.webp", MIRROR)[0] == 404
        for key in ("a b+c.txt", "\u00fc" * 512, "dir/"):
            server_run.done("DELETE", OTHER, key)
            assert head(key, OTHER)[0] == 404
        server_run.done("DELETE", SOURCE, "photo.jpg")
        server_run.command("orphans", "--delete")
        assert head("thumb_photo.jpg")[0] == head("thumb_gone.jpg")[0] == 404
    data_folder.checked(folder, "--scrub")


def test_the_waiting_event_is_retried_when_it_is_due(folder):
    with ServerRun(folder, at(130), waiting=0) as server_run:
        server_run.settle()
        assert server_run.s3("HEAD", DESTINATION, "thumb_waiting.jpg")[0] == 200
        status = json.loads(server_run.page("/object?key=waiting.jpg"))
        assert (status["state"], status["event"], status["history"][0]["attempt"]) == ("made", None, 2)


def test_a_daily_quota_continues(folder):
    with ServerRun(folder, at(10), (folder / "settings.toml").read_text() + QUOTA) as server_run:
        assert [asked_by_key(server_run) for _ in range(2)] == [404, 429]
