"""What operators do by commands: find a server, wait for a backfill, tidy up, read the log."""

import json
import os
import subprocess
import time

import pytest
import requests

import sample_images
from browser import with_objects
from tintype import DESTINATION, PROGRAM, SOURCE, environment, run
from waiting import until


def lines(ended):
    assert ended.returncode == 0, ended.stderr.decode()
    return [json.loads(line) for line in ended.stdout.decode().splitlines()]


def test_commands_find_the_server_of_the_data_folder(new_server, tmp_path):
    own = new_server().start()
    etag = own.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())["ETag"]
    own.thumbnail("thumb_a.jpg", etag)
    own.wait_until_idle()
    [status] = lines(run("status", "a.jpg", "--data", own.data))
    assert status["status"] == "current"
    assert lines(run("health", "--data", own.data))[0]["ok"]
    announced = json.loads((own.data / "server.json").read_text())
    assert announced == {"http": own.http_url}
    # What is named goes first.
    other = run("health", "--data", own.data, "--http", "127.0.0.1:1")
    assert other.returncode == 1 and b"127.0.0.1:1/readyz" in other.stderr
    assert own.stop() == 0
    assert not (own.data / "server.json").exists()


def test_one_that_has_a_certificate_of_its_own(new_server, certificate):
    own = new_server(settings=certificate.settings)
    own.ready = own.ready.replace("http:", "https:")
    own.start()
    address = own.http_url.removeprefix("https://")
    for how in (["--data", own.data], ["--config", own.config, "--server", own.http_url], ["--config", own.config, "--server", address]):
        assert lines(run("health", *how))[0]["ok"], how
    # Without its settings and its folder nobody vouches for it.
    assert run("health", "--server", own.http_url, cwd=own.folder.parent).returncode == 1


@pytest.fixture
def certificate(tmp_path):
    class Certificate:
        settings = f'[listen]\ntls_certificate = "{tmp_path}/cert.pem"\ntls_key = "{tmp_path}/key.pem"\n'

    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tintype", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return Certificate


@pytest.mark.parametrize("form", ["localhost:{}", ":{}", "{}"])
def test_an_address_without_a_host_is_of_this_machine(new_server, form):
    own = new_server().start()
    port = own.http_url.rsplit(":", 1)[1]
    assert lines(run("health", "--http", form.format(port)))[0]["url"].startswith(f"http://127.0.0.1:{port}/")
    assert lines(run("health", "--server", form.format(port)))[0]["ok"]


def test_who_stops_reading_completions_ends_them_quietly():
    reader, writer = os.pipe()
    process = subprocess.Popen([PROGRAM, "completions", "bash"], stdout=writer, stderr=subprocess.PIPE, env=environment())
    os.close(writer)
    os.read(reader, 10)
    os.close(reader)
    assert process.stderr.read() == b"" and process.wait(30) in (0, 1)


def test_lines_of_text_have_their_date(new_server):
    own = new_server(settings='[logs]\nformat = "text"\n').start()
    own.client().put_object(Bucket=SOURCE, Key="notes.txt", Body=b"text")
    line = until(lambda: [line for line in own.log_text().splitlines() if "upload ignored" in line], "a line")[0]
    stamp, level, words = line.split(maxsplit=2)
    assert time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S") and stamp.endswith("Z")
    assert (level, words.startswith("upload ignored: no trigger takes .txt  bucket: ")) == ("INFO", True)


def test_a_backfill_can_be_waited_for(new_server):
    own = new_server().start()
    s3 = own.client()
    for number in range(12):
        s3.put_object(Bucket=SOURCE, Key=f"{number}.jpg", Body=sample_images.distinct_jpeg(number))
    own.wait_until_idle()
    for number in range(10):
        s3.delete_object(Bucket=DESTINATION, Key=f"thumb_{number}.jpg")
    [waited] = lines(run("backfill", "--wait", "--data", own.data))
    counts = {"queued": 10, "stale": 10, "rendered": 10, "failed": 0, "current": 2, "waiting": 0, "dead_lettered": 0}
    assert counts.items() <= waited.items()
    there = {found["Key"] for found in s3.list_objects_v2(Bucket=DESTINATION)["Contents"]}
    assert there == {f"thumb_{number}.jpg" for number in range(12)}
    # What cannot be rendered is told by the exit code.
    s3.put_object(Bucket=SOURCE, Key="broken.jpg", Body=sample_images.corrupt_jpeg())
    own.wait_until_idle()
    run("dead-letters", "purge", "--all", "--data", own.data)
    ended = run("backfill", "--wait", "--data", own.data)
    assert ended.returncode == 1 and json.loads(ended.stdout)["failed"] == 1
    assert run("backfill", "--wait", "--dry-run", "--data", own.data).returncode == 2


def test_what_comes_and_goes_during_a_backfill_is_not_counted(new_server):
    own = new_server(settings="[function]\nconcurrency = 1\n")
    s3 = with_objects(own, [f"{number:02}.jpg" for number in range(40)])
    for number in range(40):
        s3.delete_object(Bucket=DESTINATION, Key=f"thumb_{number:02}.jpg")
    # Uploads go before what a backfill queues: these are handled first, and are dead letters among the keys looked at.
    command = [PROGRAM, "backfill", "--wait", "--data", own.data]
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    until(lambda: requests.get(f"{own.http_url}/backfills", timeout=30).json()["backfill"], "it has begun")
    for number in range(8):
        s3.put_object(Bucket=SOURCE, Key=f"{number:02}-broken.jpg", Body=sample_images.corrupt_jpeg())
        s3.put_object(Bucket=SOURCE, Key=f"{number:02}-more.jpg", Body=sample_images.distinct_jpeg(number))
    output, errors = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, errors.decode()
    counts = json.loads(output)
    assert (counts["queued"], counts["rendered"], counts["failed"], counts["superseded"]) == (40, 40, 0, 0), counts
    record = requests.get(f"{own.http_url}/backfills", timeout=30).json()["backfill"]
    assert record["is_settled"] and record["rendered"] == 40


def test_thumbnails_of_renditions_that_are_gone_are_found_and_deleted(new_server):
    def settings(*keys):
        return "[[trigger]]\n" + "".join(f'[[trigger.rendition]]\nkey = "{key}"\n' for key in keys)

    own = new_server(settings=settings("thumb_{key}", "small/{key}")).start()
    own.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    own.thumbnail("small/a.jpg")
    own.wait_until_idle()
    own.stop()
    own.config.write_text(settings("thumb_{key}", "s/{dir}{stem}.{format}"))
    own.start()
    assert [line for line in lines(run("orphans", "--data", own.data)) if line.get("orphan") == "thumbnail"] == []
    found = lines(run("orphans", "--stale", "--delete", "--data", own.data))
    assert found[0] == {"orphan": "thumbnail", "bucket": DESTINATION, "key": "small/a.jpg", "source": {"bucket": SOURCE, "key": "a.jpg"}, "stale": True}
    assert found[-1] == {"thumbnails": 0, "removed": 1, "sources": 1, "stale": 1}
    [waited] = lines(run("backfill", "--wait", "--data", own.data))
    assert waited["rendered"] == 1
    there = [each["Key"] for each in own.client().list_objects_v2(Bucket=DESTINATION)["Contents"]]
    assert there == ["s/a.jpg", "thumb_a.jpg"]


def test_each_call_has_one_start_and_one_end_in_the_log(new_server):
    own = new_server().start()
    own.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    own.thumbnail("thumb_a.jpg")
    image = {"Content-Type": "image/jpeg"}
    calls = [requests.get(own.api_url, params={"key": "a.jpg", "size": "50"}, timeout=30)]
    for body, query in ((sample_images.jpeg(), {"key": "b.jpg"}), (b"no image", {"key": "c.jpg"}), (sample_images.jpeg(), {})):
        calls.append(requests.post(own.api_url, body, params=query, headers=image, timeout=30))
    ids = [call.headers["x-amzn-requestid"] for call in calls]
    own.wait_until_idle()

    def kinds(request_id):
        found = [json.loads(line) for line in own.log_text().splitlines() if request_id in line]
        return [line["type"] for line in found if "type" in line]

    for request_id in ids:
        assert until(lambda: "platform.report" in kinds(request_id) and kinds(request_id), "its end") == ["platform.start", "platform.report"]
