"""Backup and restore by the command line, while a server runs and without one."""

import json
import threading

import sample_images
from tintype import DESTINATION, SOURCE, Server, run
from waiting import until


def lines(ended):
    return [json.loads(line) for line in ended.stdout.decode().splitlines()]


def backup(server, to):
    where = ["--config", server.config, "--data", server.data]
    if server.process and server.process.poll() is None:
        where += ["--server", server.http_url]
    return run("backup", *where, to)


def checked(folder, config):
    return run("check", "--scrub", "--config", config, "--data", folder, "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0")


class Load:
    """A client that puts, overwrites and deletes, and knows what was acknowledged."""

    def __init__(self, server):
        self.client, self.stop = server.client(), threading.Event()
        # Numbers that rise: the version of the key that is overwritten, and of keys that are put once.
        self.overwritten = self.put = 0
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.is_set():
            number = self.put + 1
            self.client.put_object(Bucket=SOURCE, Key=f"load/{number}.jpg", Body=sample_images.distinct_jpeg(str(number)))
            self.put = number
            self.client.put_object(Bucket=SOURCE, Key="hot.txt", Body=b"%d" % number)
            self.overwritten = number
            self.client.delete_object(Bucket=SOURCE, Key=f"load/{number - 20}.jpg")

    def __enter__(self):
        self.thread.start()
        until(lambda: self.overwritten >= 30, "there is load")
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(60)


def test_a_backup_of_a_server_under_load_is_restored(new_server, tmp_path):
    server = new_server().start()
    client = server.client()
    body = sample_images.jpeg(320, 240)
    etag = client.put_object(Bucket=SOURCE, Key="photo.jpg", Body=body, Metadata={"colour": "red"})["ETag"]
    server.thumbnail("thumb_photo.jpg", etag)
    added = run("keys", "add", "camera", "--allow", f"write:{SOURCE}", "--config", server.config, "--data", server.data, "--server", server.http_url)
    [key] = lines(added)
    with Load(server) as load:
        put, overwritten = load.put, load.overwritten
        ended = backup(server, tmp_path / "backup")
        client.delete_object(Bucket=SOURCE, Key="photo.jpg")
    assert ended.returncode == 0, ended.stderr
    [report] = lines(ended)
    assert (report["ok"], report["missing"], report["corrupt"], report["unchanged"]) == (True, 0, 0, 0)

    # A second one copies what is new, and the server has given the space back that the first had held.
    again = backup(server, tmp_path / "backup")
    [report] = lines(again)
    assert again.returncode == 0 and report["unchanged"] > 0 and report["removed"] > 0
    third = backup(server, tmp_path / "first")
    assert third.returncode == 0
    server.wait_until_idle()
    assert server.stop() == 0

    refused = run("serve", "--data", tmp_path / "backup", "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0")
    assert refused.returncode == 1 and b"tintype restore" in refused.stderr

    restored = Server(tmp_path / "restored")
    ended = run("restore", "--config", restored.config, "--data", restored.data, tmp_path / "first")
    assert ended.returncode == 0, ended.stderr
    found = lines(checked(restored.data, restored.config))
    assert [line for line in found if not line.get("ok")] == []
    repaired = run("check", "--repair", "--config", restored.config, "--data", restored.data)
    assert repaired.returncode == 0, repaired.stdout
    restored.start()
    assert restored.credentials == server.credentials
    client = restored.client()
    assert int(client.get_object(Bucket=SOURCE, Key="hot.txt")["Body"].read()) >= overwritten
    keys = {one["Key"] for page in client.get_paginator("list_objects_v2").paginate(Bucket=SOURCE) for one in page["Contents"]}
    assert max(int(key[5:-4]) for key in keys if key.startswith("load/")) >= put
    restored.wait_until_idle()
    thumbnails = {one["Key"] for page in client.get_paginator("list_objects_v2").paginate(Bucket=DESTINATION) for one in page["Contents"]}
    assert {f"thumb_{key}" for key in keys if key.endswith(".jpg")} <= thumbnails
    names = [one["name"] for one in lines(run("keys", "list", "--config", restored.config, "--data", restored.data, "--server", restored.http_url))]
    assert names == ["camera"] and key["access_key_id"]
    assert restored.stop() == 0
    Server.shown.remove(restored)


def test_a_backup_without_a_server(new_server, tmp_path):
    server = new_server().start()
    etag = server.client().put_object(Bucket=SOURCE, Key="photo.jpg", Body=sample_images.jpeg())["ETag"]
    server.thumbnail("thumb_photo.jpg", etag)
    assert server.stop() == 0
    ended = backup(server, tmp_path / "backup")
    assert ended.returncode == 0, ended.stderr
    [report] = lines(ended)
    assert report["objects"] == 2
    assert checked(tmp_path / "backup", server.config).returncode == 0
    # The source of everything is as it was, and goes on.
    server.start()
    server.thumbnail("thumb_photo.jpg", etag)


def test_wrong_folders_are_refused_with_advice(new_server, tmp_path):
    server = new_server().start()
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("mine")
    for to, words in [(other, b"not tintype's"), (server.data / "backup", b"lie in each other"), (tmp_path, b"lie in each other")]:
        ended = backup(server, to)
        assert (ended.returncode, words in ended.stderr) == (1, True), ended.stderr
    missing = run("backup", "--data", tmp_path / "none", tmp_path / "backup")
    assert missing.returncode == 1 and b"there is no data folder" in missing.stderr
    assert backup(server, tmp_path / "backup").returncode == 0
    used = run("restore", "--data", server.data, tmp_path / "backup")
    assert used.returncode == 1 and b"in use" in used.stderr
    assert server.stop() == 0
    full = run("restore", "--data", server.data, tmp_path / "backup")
    assert full.returncode == 1 and b"holds data already" in full.stderr
    assert (other / "letter.txt").read_text() == "mine"


def test_health_is_that_of_the_server(new_server):
    server = new_server().start()
    for more in ([], ["--alive"]):
        ended = run("health", *more, "--server", server.http_url, "--config", server.config, "--data", server.data)
        assert (ended.returncode, lines(ended)[0]["ok"]) == (0, True)
    assert server.stop() == 0
    assert run("health", "--server", server.http_url, "--config", server.config, "--data", server.data).returncode == 1
