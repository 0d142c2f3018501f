"""Repair, scrub, backfill and orphans."""

import contextlib
import json

import botocore.exceptions
import pytest
import requests

import sample_images
from tintype import DESTINATION, SOURCE, run
from waiting import until


def lines(ended):
    return [json.loads(line) for line in ended.stdout.splitlines()]


def check(server, *arguments):
    ended = run("check", "--data", server.data, *arguments, cwd=server.folder)
    return ended.returncode, lines(ended), ended.stdout.decode() + ended.stderr.decode()


def object_file(server, etag):
    """The file of the object with this ETag, found by its head."""
    files = [path for path in (server.data / "objects").rglob("*") if path.is_file()]
    found = [path for path in files if f'"etag":"{etag.strip(chr(34))}"'.encode() in path.read_bytes()[:4096]]
    assert len(found) == 1, found
    return found[0]


def rot(path):
    """Flips a bit near the end of a file."""
    with path.open("r+b") as file:
        file.seek(-3, 2)
        byte = file.read(1)[0]
        file.seek(-3, 2)
        file.write(bytes([byte ^ 1]))


def command(server, *arguments):
    ended = run(*arguments, "--server", server.http_url, "--data", server.data, cwd=server.folder)
    assert ended.returncode == 0, ended.stderr
    return lines(ended)


@pytest.mark.parametrize("harm", ["lost", "noise", "cut"])
def test_a_lost_or_corrupt_ledger(new_server, harm):
    server = new_server().start()
    s3 = server.client()
    etags = {}
    for number in range(12):
        key = f"repair/{number} \u00fc.jpg"
        etags[key] = s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.distinct_jpeg(number))["ETag"]
    for number in range(3):
        s3.delete_object(Bucket=SOURCE, Key=(gone := f"repair/{number} \u00fc.jpg"))
        del etags[gone]
    s3.create_bucket(Bucket="other")
    described = {"ContentType": "text/plain", "Metadata": {"colour": "red"}}
    s3.put_object(Bucket="other", Key="a//b", Body=b"stored", **described)
    assert check(server, "--repair")[0] == 1, "not under a running server"
    server.kill()

    ledger = server.data / "ledger.redb"
    good = ledger.read_bytes()
    match harm:
        case "lost":
            ledger.unlink()
        case "noise":
            ledger.write_bytes(bytes(byte ^ 0x5A for byte in good))
        case "cut":
            ledger.write_bytes(good[: len(good) // 3])
    refused = run("serve", "--data", server.data, "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0", cwd=server.folder)
    assert refused.returncode == 1
    assert b"tintype check --repair" in refused.stderr, refused.stderr

    code, output, text = check(server, "--repair")
    assert code == 1 and "could not be trusted" in text, text
    backups = list(server.data.glob("ledger.redb.before-repair-*"))
    assert len(backups) == (0 if harm == "lost" else 1), text
    assert check(server, "--scrub")[0] == 0

    server.start()
    s3 = server.client()
    for key, etag in etags.items():
        assert s3.head_object(Bucket=SOURCE, Key=key)["ETag"] == etag
        server.thumbnail(f"thumb_{key}", etag, s3)
    assert {found["Key"] for found in s3.list_objects_v2(Bucket=SOURCE)["Contents"]} == set(etags)
    got = s3.get_object(Bucket="other", Key="a//b")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (b"stored", "text/plain", {"colour": "red"})
    assert server.stop() == 0
    code, output, text = check(server, "--repair", "--scrub")
    assert code == 0 and "left as it is" in text, text


def test_a_repair_queues_missing_thumbnails_of_an_intact_ledger(new_server):
    server = new_server().start()
    s3 = server.client()
    etag = s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())["ETag"]
    server.thumbnail("thumb_a.jpg", etag)
    s3.delete_object(Bucket=DESTINATION, Key="thumb_a.jpg")
    assert server.stop() == 0
    code, output, text = check(server, "--repair")
    assert code == 0 and "left as it is" in text and "1 source(s) without a current thumbnail" in text, text
    server.start().thumbnail("thumb_a.jpg", etag)


def test_bit_rot_is_reported_by_reads_and_found_by_scrub(new_server):
    server = new_server().start()
    s3 = server.client()
    good = s3.put_object(Bucket=SOURCE, Key="good.jpg", Body=sample_images.jpeg())["ETag"]
    etag = s3.put_object(Bucket=SOURCE, Key="rotten.jpg", Body=sample_images.distinct_jpeg("rot"))["ETag"]
    server.thumbnail("thumb_rotten.jpg", etag)
    thumbnail = server.thumbnail("thumb_good.jpg", good)["ETag"]
    server.wait_until_idle()
    for corrupt in (object_file(server, etag), object_file(server, thumbnail)):
        rot(corrupt)
    with pytest.raises((botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError)):
        s3.get_object(Bucket=SOURCE, Key="rotten.jpg")["Body"].read()
    answer = requests.get(server.api_url, params={"key": "rotten.jpg", "size": "33x33"}, timeout=60)
    assert answer.status_code >= 500, answer.text

    # With a running server.
    code, output, text = check(server, "--scrub", "--http", server.http_url.removeprefix("http://"))
    assert code == 1, text
    found = {(line["finding"]["what"], line["finding"]["key"]) for line in output if "finding" in line}
    assert found == {("damaged_bytes", "rotten.jpg"), ("damaged_bytes", "thumb_good.jpg")}
    gone = s3.put_object(Bucket=SOURCE, Key="gone.txt", Body=b"gone")["ETag"]
    assert server.stop() == 0
    object_file(server, gone).unlink()
    code, output, text = check(server, "--scrub")
    found |= {("lost", "gone.txt")}
    assert code == 1, text
    assert {(line["finding"]["what"], line["finding"]["key"]) for line in output if "finding" in line} == found

    code, output, text = check(server, "--repair", "--scrub")
    assert code == 1 and len(list((server.data / "quarantine").rglob("*-*"))) == 2, text
    server.start()
    s3 = server.client()
    server.thumbnail("thumb_good.jpg", good, s3)
    with pytest.raises(botocore.exceptions.ClientError) as missing:
        s3.head_object(Bucket=SOURCE, Key="rotten.jpg")
    assert missing.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


@pytest.mark.parametrize("harm", ["rotten", "gone", "cut"])
def test_corrupt_thumbnails_are_rendered_again(new_server, harm):
    server = new_server().start()
    s3 = server.client()
    etag = s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())["ETag"]
    server.thumbnail("thumb_a.jpg", etag)
    now = lambda: s3.get_object(Bucket=DESTINATION, Key="thumb_a.jpg")
    whole, tag = now()["Body"].read(), now()["ETag"]

    def spoil():
        server.wait_until_idle()
        path = object_file(server, tag)
        match harm:
            case "rotten":
                rot(path)
            case "gone":
                path.unlink()
            case "cut":
                path.write_bytes(path.read_bytes()[:20])

    def is_rebuilt():
        """Reads fail until then."""
        with contextlib.suppress(botocore.exceptions.ClientError):
            return now()["Body"].read() == whole

    status = lambda: json.loads(run("status", "a.jpg", "--server", server.http_url).stdout)
    # By each way of finding it.
    spoil()
    answer = requests.get(server.api_url, params={"key": "a.jpg"}, timeout=60)
    assert (answer.status_code, answer.content) == (200, whole)
    spoil()
    with pytest.raises(botocore.exceptions.ClientError) as output:
        server.client().get_object(Bucket=DESTINATION, Key="thumb_a.jpg")
    assert output.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503, output.value
    assert "rendered again" in str(output.value)
    until(is_rebuilt, "the thumbnail is whole")
    spoil()
    assert status()["state"] == "outdated" and "backfill" in status()["advice"]
    assert command(server, "backfill")[-1]["queued"] == 1
    until(is_rebuilt, "the thumbnail is whole")
    spoil()
    posted = requests.post(server.api_url, json={"key": "a.jpg"}, timeout=60)
    assert posted.status_code == 200, posted.text
    until(is_rebuilt, "the thumbnail is whole")
    server.wait_until_idle()
    assert status()["state"] == "made"
    assert server.metrics()["tintype_dead_letters"] == 0


def test_a_large_corrupt_thumbnail_is_rendered_again(new_server):
    """One that is streamed, not read completely before the response."""
    server = new_server(settings='[[trigger]]\n[[trigger.rendition]]\nsize = "800x800"\n').start()
    s3 = server.client()
    etag = s3.put_object(Bucket=SOURCE, Key="a.png", Body=sample_images.noise(1000, 900))["ETag"]
    thumbnail = server.thumbnail("thumb_a.png", etag)
    assert 256 << 10 < len(thumbnail["Bytes"]) < 4 << 20
    server.wait_until_idle()
    rot(object_file(server, thumbnail["ETag"]))
    now = lambda: s3.get_object(Bucket=DESTINATION, Key="thumb_a.png")["Body"].read()
    broken = (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError)
    with pytest.raises(broken):
        now()

    def is_rebuilt():
        with contextlib.suppress(*broken):
            return now() == thumbnail["Bytes"]

    until(is_rebuilt, "the thumbnail is whole")


def test_a_corrupt_thumbnail_without_source_is_not_removed(new_server):
    server = new_server().start()
    s3 = server.client()
    etag = s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())["ETag"]
    thumbnail = server.thumbnail("thumb_a.jpg", etag)["ETag"]
    s3.copy_object(Bucket=DESTINATION, Key="copy.jpg", CopySource={"Bucket": DESTINATION, "Key": "thumb_a.jpg"})
    server.wait_until_idle()
    for path in (server.data / "objects").rglob("*"):
        if path.is_file() and b'"copy.jpg"' in path.read_bytes()[:4096]:
            rot(path)
    rotten = lambda key: server.client().get_object(Bucket=DESTINATION, Key=key)
    for _ in range(2):
        # A copy that is not rendered again.
        with pytest.raises(botocore.exceptions.ClientError) as output:
            rotten("copy.jpg")
        assert output.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    s3.delete_object(Bucket=DESTINATION, Key="copy.jpg")
    s3.delete_object(Bucket=SOURCE, Key="a.jpg")
    rot(object_file(server, thumbnail))
    for _ in range(2):
        with pytest.raises(botocore.exceptions.ClientError) as output:
            rotten("thumb_a.jpg")
        assert output.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_status_reports_a_corrupt_source(new_server):
    server = new_server().start()
    s3 = server.client()
    etag = s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())["ETag"]
    server.thumbnail("thumb_a.jpg", etag)
    rot(object_file(server, etag))
    status = json.loads(run("status", "a.jpg", "--server", server.http_url).stdout)
    assert "checksum" in status["object"]["damage"] and "upload it again" in status["advice"]


def test_corrupt_heads_are_reported_with_their_objects_and_a_lost_format_file_is_repaired(new_server):
    server = new_server().start()
    s3 = server.client()
    etag = s3.put_object(Bucket=SOURCE, Key="note.txt", Body=b"note")["ETag"]
    path = object_file(server, etag)
    assert server.stop() == 0
    path.write_bytes(path.read_bytes()[:20])
    code, output, text = check(server, "--scrub")
    assert code == 1
    found = [line["finding"] for line in output if "finding" in line]
    assert [(one["what"], one["bucket"], one["key"]) for one in found] == [("damaged_head", SOURCE, "note.txt")], text

    # Also without the ledger's entry.
    ledger = server.data / "ledger.redb"
    ledger.rename(aside := server.data / "aside")
    code, output, text = check(server, "--scrub")
    assert [line["finding"]["what"] for line in output if "finding" in line] == ["damaged_head"], text
    aside.rename(ledger)

    (server.data / "format").write_text("")
    code, output, text = check(server)
    assert code == 1 and "tintype check --repair" in text, text
    code, output, text = check(server, "--repair")
    assert "rewritten" in text and "1 file(s) moved there, 1 object(s) forgotten" in text, text
    server.start()


def test_an_event_with_retries_left_is_pending(new_server):
    server = new_server(settings='[function]\nretry_delays = ["1h"]\n').start()
    s3 = server.client()
    etag = s3.put_object(Bucket=SOURCE, Key="rotten.jpg", Body=sample_images.jpeg())["ETag"]
    server.thumbnail("thumb_rotten.jpg", etag)
    server.wait_until_idle()
    rot(object_file(server, etag))
    s3.delete_object(Bucket=DESTINATION, Key="thumb_rotten.jpg")
    assert command(server, "backfill")

    def status():
        ended = run("status", "rotten.jpg", "--server", server.http_url)
        status = json.loads(ended.stdout)
        return (ended.returncode, status) if status["event"] and status["event"]["failed"] else None

    code, status = until(status, "it failed once")
    assert (code, status["state"]) == (3, "pending")
    assert "checksum" in status["event"]["last_error"] and status["event"]["due_ms"] > status["event"]["queued_ms"]


def test_backfill_and_orphans(new_server):
    server = new_server().start()
    s3 = server.client()
    for number in range(3):
        etag = s3.put_object(Bucket=SOURCE, Key=f"raw/{number}.jpg", Body=sample_images.distinct_jpeg(number))["ETag"]
        server.thumbnail(f"thumb_raw/{number}.jpg", etag)
    s3.put_object(Bucket=SOURCE, Key="raw/bad.jpg", Body=b"no image")
    server.wait_until_idle()
    assert command(server, "backfill")[-1] == {"queued": 0, "stale": 0, "current": 3, "waiting": 0, "dead_lettered": 1, "given_up": 1}

    s3.delete_object(Bucket=DESTINATION, Key="thumb_raw/1.jpg")
    s3.delete_object(Bucket=SOURCE, Key="raw/2.jpg")
    rehearsed = command(server, "backfill", "--dry-run", "--prefix", "raw/")
    assert rehearsed[0] == {"bucket": SOURCE, "key": "raw/1.jpg"}
    assert (rehearsed[-1]["queued"], rehearsed[-1]["stale"]) == (0, 1)
    assert command(server, "backfill", "--prefix", "elsewhere/")[-1]["stale"] == 0

    output = command(server, "orphans", "--delete")
    assert {(line["orphan"], line["key"]) for line in output[:-1]} == {
        ("thumbnail", "thumb_raw/2.jpg"),
        ("source", "raw/1.jpg"),
    }
    assert output[-1] == {"thumbnails": 1, "removed": 1, "sources": 1}
    assert command(server, "backfill")[-1]["queued"] == 1
    server.thumbnail("thumb_raw/1.jpg")
    keys = lambda: {found["Key"] for found in s3.list_objects_v2(Bucket=DESTINATION).get("Contents", [])}
    until(lambda: keys() == {"thumb_raw/0.jpg", "thumb_raw/1.jpg"}, "orphans are gone and missing thumbnails are there")
