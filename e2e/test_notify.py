"""`[[notify]]`: bucket events are sent to a webhook, NATS JetStream and SQS, each at least once and those of an object in order."""

import json
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_plus

import pytest
import requests

from moto_server import Moto
from sample_images import distinct_jpeg, opened
from tintype import DESTINATION, REGION, ROOT, SOURCE, environment, run
from waiting import until
from worker import Nats, Worker, free_port, program

GUIDE = ROOT / "docs/guides/events.md"
TOKEN = "token-of-the-cache-0123456789"
FAST = '[function]\nretry_delays = ["1s"]\n'
# The server's own function leaves the usual buckets alone.
ELSEWHERE = '[[trigger]]\nbucket = "elsewhere"\ndestination = "elsewhere-thumbnails"\n'

needs_nats = pytest.mark.skipif(program("nats-server") is None, reason="nats-server is not installed")


class Webhook:
    """Stores what it is sent. `answer` decides about the status, given the event's record."""

    def __init__(self, port=0):
        self.requests, self.answer = [], lambda record: 200
        # Whether the bodies of answers are missing until `may_end`.
        self.breaks_off, self.may_end = False, threading.Event()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = webhook.answer(body["Records"][0])
                if status == 200:
                    webhook.requests.append((self.headers, body))
                self.send_response(status)
                self.send_header("Content-Length", "5" if webhook.breaks_off else "0")
                self.end_headers()
                if webhook.breaks_off:
                    self.wfile.flush()
                    webhook.may_end.wait(120)
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def records(self):
        return [body["Records"][0] for _, body in list(self.requests)]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def webhook():
    webhook = Webhook()
    yield webhook
    webhook.close()


def key_of(record):
    return unquote_plus(record["s3"]["object"]["key"])


def seen(records):
    return [(record["eventName"], record["s3"]["bucket"]["name"], key_of(record)) for record in records]


def targets(server):
    answer = requests.get(f"{server.http_url}/notifications", auth=server.credentials, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["targets"]


def waiting(server):
    return sum(target["waiting"] for target in targets(server))


def test_a_webhook_is_sent_events_and_what_to_purge(new_server, webhook, tmp_path):
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN + "\n")
    server = new_server(settings=f"""
        [api]
        public = "presets"
        [[preset]]
        name = "card"
        size = "40x40"
        [[notify]]
        name = "cdn"
        target = "{webhook.url}/purge/secret-path"
        token_file = "{token_file}"
        public_url = "https://images.example"
        [[notify]]
        name = "stale"
        target = "{webhook.url}/stale"
        prefix = "raw/"
        events = ["overwritten", "removed"]
        [[notify]]
        bucket = "{DESTINATION}"
        target = "{webhook.url}/thumbnails"
    """).start()
    s3, key = server.client(), "raw/a b+ü.jpg"
    first = s3.put_object(Bucket=SOURCE, Key=key, Body=distinct_jpeg("first"))
    s3.put_object(Bucket=SOURCE, Key="other.jpg", Body=distinct_jpeg("other"))
    s3.put_object(Bucket=SOURCE, Key=key, Body=distinct_jpeg("second"))
    server.wait_until_idle()
    s3.delete_object(Bucket=SOURCE, Key=key)
    s3.delete_object(Bucket=SOURCE, Key="never-there.jpg")
    until(lambda: waiting(server) == 0, "every event is sent")

    of = {name: [(headers, body) for headers, body in webhook.requests if body["Records"][0]["s3"]["configurationId"] == name]
          for name in ("cdn", "stale", DESTINATION)}
    names = {name: Counter(seen(body["Records"][0] for _, body in found)) for name, found in of.items()}
    created, removed = ("ObjectCreated:Put", SOURCE, key), ("ObjectRemoved:Delete", SOURCE, key)
    assert names["cdn"] == {created: 2, removed: 1, ("ObjectCreated:Put", SOURCE, "other.jpg"): 1}
    assert names["stale"] == {created: 1, removed: 1}
    thumbnails = names[DESTINATION]
    assert set(thumbnails) == {("ObjectCreated:Put", DESTINATION, f"thumb_{name}") for name in (key, "other.jpg")}

    # Those of an object in the order of their commits, and in S3's shape.
    ours = [body["Records"][0] for _, body in of["cdn"] if key_of(body["Records"][0]) == key]
    assert [record["eventName"] for record in ours] == ["ObjectCreated:Put", "ObjectCreated:Put", "ObjectRemoved:Delete"]
    sequencers = [record["s3"]["object"]["sequencer"] for record in ours]
    assert sequencers == sorted(set(sequencers))
    assert ours[0]["s3"]["object"]["eTag"] == first["ETag"].strip('"') and "eTag" not in ours[2]["s3"]["object"]
    assert ours[0]["responseElements"]["x-amz-request-id"] == first["ResponseMetadata"]["RequestId"]

    headers, body = next(one for one in of["cdn"] if key_of(one[1]["Records"][0]) == key)
    assert headers["Authorization"] == f"Bearer {TOKEN}" and headers["Content-Type"] == "application/json"
    path, plain = "/dev1/myimage/card/raw/a%20b%2B%C3%BC.jpg", "/dev1/myimage?key=raw%2Fa%20b%2B%C3%BC.jpg"
    by_query = f"{plain}&preset=card"
    assert body["purge"] == [f"https://images.example{url}" for url in
                             (plain, path, f"{path}?dpr=2", by_query, f"{by_query}&dpr=2")]
    assert of["stale"][0][1]["purge"][1] == path and "Authorization" not in of["stale"][0][0]
    assert "purge" not in of[DESTINATION][0][1], "its objects are no images of the API"
    # They are the URLs that a page has.
    printed = run("url", key, "--preset", "card", "--unsigned", "--config", server.config).stdout.decode().strip()
    assert printed == path

    samples = server.metrics()
    assert samples['tintype_notifications_total{result="sent"}'] == len(webhook.requests)
    assert samples["tintype_notifications_waiting"] == samples["tintype_notifications_dropped_total"] == 0
    assert [target["sent"] for target in targets(server)] == [len(found) for found in of.values()]

    # Presets that are read again count at once.
    server.config.write_text(server.config.read_text().replace('name = "card"', 'name = "poster"'))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: "were re-read" in server.log_text(), "the settings are re-read")
    s3.put_object(Bucket=SOURCE, Key="other.jpg", Body=distinct_jpeg("another"))
    until(lambda: any("https://images.example/dev1/myimage/poster/other.jpg" in body.get("purge", []) for _, body in webhook.requests),
          "the URL by the new preset is purged")
    assert server.stop() == 0
    assert TOKEN not in server.log_text() and "secret-path" not in server.log_text()


def test_what_a_target_does_not_take_is_sent_again_in_order(new_server, webhook):
    refused = {"times": 2}

    def answer(record):
        # One object's event is refused for what it is; the others go on.
        if key_of(record) == "refused.jpg" and refused["times"]:
            refused["times"] -= 1
            return 422
        return 200

    webhook.answer = answer
    server = new_server(settings=f'{FAST}[[notify]]\ntarget = "{webhook.url}/"\n').start()
    s3 = server.client()
    for body in (b"1", b"22"):
        s3.put_object(Bucket=SOURCE, Key="refused.jpg", Body=body)
    s3.put_object(Bucket=SOURCE, Key="other.jpg", Body=b"3")
    until(lambda: waiting(server) == 0, "every event is sent")
    sizes = [(key_of(record), record["s3"]["object"]["size"]) for record in webhook.records()]
    assert sizes == [("other.jpg", 1), ("refused.jpg", 1), ("refused.jpg", 2)]
    samples = server.metrics()
    assert samples['tintype_notifications_total{result="failed"}'] == 2

    # A target that takes nothing is tried again, also after a restart.
    webhook.answer = lambda record: 503
    s3.put_object(Bucket=SOURCE, Key="later.jpg", Body=b"4444")
    (target,) = until(lambda: [one for one in targets(server) if one.get("last_error")], "it fails")
    assert "503" in target["last_error"] and target["waiting"] == 1 and target["failing_since_ms"] > 0
    assert server.stop() == 0
    assert "an event could not be sent" in server.log_text()
    checked = run("check", "--config", server.config, "--data", server.data)
    assert b"1 event(s) wait to be sent" in checked.stdout, checked.stdout
    webhook.answer = lambda record: 200
    # Another target of the same name gets what waits.
    server.config.write_text(server.config.read_text().replace(f'"{webhook.url}/"', f'"{webhook.url}/moved"'))
    server.start()
    until(lambda: waiting(server) == 0, "it is sent")
    assert seen(webhook.records())[-1] == ("ObjectCreated:Put", SOURCE, "later.jpg")


def test_an_event_that_the_target_fails_at_holds_up_no_other(new_server, webhook):
    webhook.answer = lambda record: 500 if key_of(record) == "poison.bin" else 200
    server = new_server(settings=f'{FAST}[[notify]]\nname = "hook"\ntarget = "{webhook.url}/"\n').start()
    s3 = server.client()
    for key in ("poison.bin", "a.bin", "b.bin", "poison.bin"):
        s3.put_object(Bucket=SOURCE, Key=key, Body=b"x")
    until(lambda: waiting(server) == 2, "the others are sent")
    assert {key_of(record) for record in webhook.records()} == {"a.bin", "b.bin"}
    webhook.answer = lambda record: 200
    until(lambda: waiting(server) == 0, "every event is sent")
    assert [key_of(record) for record in webhook.records()][2:] == ["poison.bin"] * 2


def test_a_status_counts_though_its_body_does_not_end(new_server, webhook):
    webhook.breaks_off = True
    server = new_server(settings=f'{FAST}[[notify]]\nname = "hook"\ntarget = "{webhook.url}/"\n').start()
    server.client().put_object(Bucket=SOURCE, Key="a.bin", Body=b"x")
    try:
        until(lambda: waiting(server) == 0, "it is sent")
        assert targets(server)[0]["sent"] == len(webhook.requests) == 1
    finally:
        webhook.may_end.set()


def test_every_event_arrives_through_kills_of_server_and_webhook(new_server):
    """Each acknowledged change is sent at least once, and those of an object first come in order."""
    port = free_port()
    webhook = Webhook(port)
    server = new_server(settings=f'{FAST}[[notify]]\nname = "hook"\ntarget = "http://127.0.0.1:{port}/"\n').start()
    chance, acknowledged, records = random.Random(3), [], []

    def change(s3, number):
        key = f"{chance.randrange(6)}.bin"
        try:
            if chance.random() < 0.2 and any(known == key for known, _ in acknowledged):
                s3.delete_object(Bucket=SOURCE, Key=key)
                return
            body = b"x" * (number + 1)
            s3.put_object(Bucket=SOURCE, Key=key, Body=body)
            acknowledged.append((key, len(body)))
        except Exception:
            # Nobody knows whether it was done: it may be sent.
            until(lambda: server.process.poll() is not None, "it was killed")

    number = 0
    for round_of in range(6):
        s3 = server.client()
        killer = threading.Timer(chance.uniform(0.05, 0.6), server.process.kill)
        killer.start()
        while server.process.poll() is None:
            change(s3, number)
            number += 1
        killer.join()
        server.kill()
        if round_of % 2:
            records += webhook.records()
            webhook.close()
        server.start()
        if round_of % 2:
            webhook = Webhook(port)
    until(lambda: waiting(server) == 0, "every event is sent", 120)
    records += webhook.records()
    webhook.close()
    sent = [(key_of(record), record["s3"]["object"].get("size"), record["s3"]["object"]["sequencer"]) for record in records]
    missing = set(acknowledged) - {(key, size) for key, size, _ in sent}
    assert len(acknowledged) > 30 and not missing, missing
    for key in {key for key, _ in acknowledged}:
        first = list(dict.fromkeys(sequencer for known, _, sequencer in sent if known == key))
        assert first == sorted(first), key
        sizes = list(dict.fromkeys(size for known, size, _ in sent if known == key and size))
        written = [size for known, size in acknowledged if known == key]
        assert [size for size in sizes if size in written] == written, key


def test_a_backup_has_what_waits(new_server, webhook, tmp_path):
    webhook.answer = lambda record: 503
    settings = f'{FAST}[[notify]]\nname = "hook"\ntarget = "{webhook.url}/"\n'
    server = new_server(settings=settings).start()
    server.client().put_object(Bucket=SOURCE, Key="a.bin", Body=b"x")
    kept = run("backup", "--config", server.config, "--data", server.data, "--server", server.http_url, tmp_path / "backup")
    assert kept.returncode == 0, kept.stderr
    server.kill()
    webhook.answer = lambda record: 200
    restored = new_server("restored", settings=settings)
    ended = run("restore", "--config", restored.config, "--data", restored.data, tmp_path / "backup")
    assert ended.returncode == 0, ended.stderr
    restored.start()
    until(lambda: waiting(restored) == 0, "it is sent")
    assert seen(webhook.records()) == [("ObjectCreated:Put", SOURCE, "a.bin")]


def test_the_oldest_are_dropped_with_an_error_where_too_many_wait(new_server, webhook):
    webhook.answer = lambda record: 503
    server = new_server(settings=f'{FAST}[[notify]]\nname = "hook"\nmax_waiting = 5\ntarget = "{webhook.url}/"\n').start()
    s3 = server.client()
    for number in range(12):
        s3.put_object(Bucket=SOURCE, Key=f"{number}.bin", Body=b"x")
    until(lambda: waiting(server) == 5, "the oldest are dropped")
    assert server.metrics()["tintype_notifications_dropped_total"] == 7
    assert re.search(r"oldest were dropped", server.log_text())
    webhook.answer = lambda record: 200
    until(lambda: waiting(server) == 0, "the others are sent")
    # One that was under way when it was dropped may have arrived.
    assert {f"{number}.bin" for number in range(7, 12)} <= {key_of(record) for record in webhook.records()}
    assert server.stop() == 0
    # What waits for a target that the settings have no more is dropped, too.
    webhook.answer = lambda record: 503
    server.start()
    server.client().put_object(Bucket=SOURCE, Key="x.bin", Body=b"x")
    server.kill()
    server.config.write_text("")
    server.start()
    until(lambda: server.metrics()["tintype_notifications_dropped_total"] == 1, "it is dropped")
    assert server.metrics()["tintype_notifications_waiting"] == 0


@needs_nats
def test_nats_feeds_a_worker(new_server, tmp_path):
    """The worker creates the stream; what waits until then is sent. The broker is killed meanwhile."""
    nats = Nats(tmp_path)
    settings = f'{ELSEWHERE}{FAST}[[notify]]\nbucket = "{SOURCE}"\nevents = ["created"]\ntarget = "{nats.url}/images.events"\n'
    server = new_server(settings=settings).start()
    s3 = server.client()
    for bucket in (SOURCE, DESTINATION):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=SOURCE, Key="early.jpg", Body=distinct_jpeg("early"))
    until(lambda: targets(server)[0].get("last_error"), "no stream takes it")
    assert targets(server)[0]["waiting"] == 1
    of_worker = f'{FAST}[worker]\nstream = "images"\nsubject = "images.events"\ndead_letters = "images.dead"\n'
    worker = Worker(tmp_path / "worker", nats.url, server.s3_url, server.credentials, settings=of_worker)
    try:
        worker.start().wait_until_ready()
        for number in range(10):
            s3.put_object(Bucket=SOURCE, Key=f"{number}.jpg", Body=distinct_jpeg(f"{number}"))
            if number == 4:
                nats.kill()
            if number == 7:
                nats.start()
        for key in ["early.jpg", *(f"{number}.jpg" for number in range(10))]:
            thumbnail = server.thumbnail(f"thumb_{key}")
            assert max(opened(thumbnail["Bytes"]).size) == 128
        until(lambda: waiting(server) == 0, "every event is sent")
    finally:
        worker.kill()
        Worker.shown.remove(worker)
        nats.kill()


@pytest.mark.parametrize("is_fifo", [False, True])
def test_sqs_is_sent_events(new_server, tmp_path, is_fifo):
    moto = Moto(tmp_path)
    try:
        sqs = moto.client("sqs")
        name, attributes = ("events.fifo", {"FifoQueue": "true"}) if is_fifo else ("events", {})
        queue = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION}
        settings = f'{FAST}[[notify]]\ntarget = "sqs:{queue}"\n'
        server = new_server(settings=settings, env=keys | {"AWS_EC2_METADATA_DISABLED": "true"}).start()
        s3 = server.client()
        for number in range(3):
            s3.put_object(Bucket=SOURCE, Key="a.bin", Body=b"x" * (number + 1))
        s3.delete_object(Bucket=SOURCE, Key="a.bin")
        until(lambda: waiting(server) == 0, "every event is sent")
        found = []

        def receive():
            for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
                found.append(json.loads(message["Body"])["Records"][0])
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            return len(found) >= 4

        until(receive, "four messages")
        assert sorted(record["s3"]["object"].get("size", 0) for record in found) == [0, 1, 2, 3]
        if is_fifo:
            assert [record["s3"]["object"].get("size", 0) for record in found] == [1, 2, 3, 0]
    finally:
        moto.stop()


def test_the_section_is_checked(new_server, tmp_path):
    missing = tmp_path / "missing"
    settings = f'[[notify]]\nname = "hook"\ntarget = "https://cdn.example/secret-path"\ntoken_file = "{missing}"\n'
    server = new_server(settings=settings)
    checked = run("check", "--config", server.config, "--data", server.data)
    assert checked.returncode == 1 and f"{missing} cannot be read".encode() in checked.stdout, checked.stdout
    server.spawn()
    assert server.process.wait(60) == 1 and f"{missing} cannot be read" in server.log_text()
    server.process.stdout.close()
    server.config.write_text('[[notify]]\ntarget = "https://cdn.example"\ntoken = "secret token"\n')
    checked = run("check", "--config", server.config)
    assert checked.returncode == 2 and b"notify.token" in checked.stderr and b"secret token" not in checked.stderr


def test_the_program_of_the_guide_purges(new_server, tmp_path):
    source = re.search(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)[1]
    (tmp_path / "purge.py").write_text(source)
    purged, port = [], free_port()

    class Cache(BaseHTTPRequestHandler):
        def do_PURGE(self):
            purged.append((self.headers["Host"], self.path))
            self.send_response(404 if len(purged) == 1 else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    cache = ThreadingHTTPServer(("127.0.0.1", 0), Cache)
    threading.Thread(target=cache.serve_forever, daemon=True).start()
    known = environment(TOKEN=TOKEN, PORT=str(port), CACHE=f"127.0.0.1:{cache.server_port}")
    program = subprocess.Popen([sys.executable, tmp_path / "purge.py"], env=known)
    try:
        settings = f'''{FAST}
            [[preset]]
            name = "card"
            size = "40x40"
            [[notify]]
            name = "cdn"
            events = ["overwritten", "removed"]
            target = "http://127.0.0.1:{port}/"
            token = "{TOKEN}"
            public_url = "https://images.example"
        '''
        server = new_server(settings=settings).start()
        for body in (b"1", b"22"):
            server.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=body)
        until(lambda: waiting(server) == 0 and targets(server)[0]["sent"] == 1, "it is purged")
        plain, card = "/dev1/myimage?key=a.jpg", "/dev1/myimage/card/a.jpg"
        urls = (plain, card, f"{card}?dpr=2", f"{plain}&preset=card", f"{plain}&preset=card&dpr=2")
        assert purged == [("images.example", url) for url in urls]
    finally:
        program.kill()
        program.wait(30)
        cache.shutdown()
        cache.server_close()
