"""The newest version wins on Lambda, too: two workers, events of one key in any order, and a store whose conditions are
true (moto looks and writes in two steps; this server does in one)."""

import random
import threading

import sample_images
from lambda_runtime import Function
from tintype import BOOTSTRAP

SOURCE, DESTINATION = "versions-in", "versions-out"
VERSIONS = 24


def event(etag):
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": SOURCE}, "object": {"key": "a.jpg", "eTag": etag.strip('"')}},
            }
        ]
    }


def test_two_workers_and_reordered_events_on_one_key(new_server, tmp_path):
    server = new_server().start()
    s3 = server.client()
    for bucket in (SOURCE, DESTINATION):
        s3.create_bucket(Bucket=bucket)
    access_key, secret = server.credentials
    env = {
        "AWS_ENDPOINT_URL_S3": server.s3_url,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "SOURCE_BUCKET": SOURCE,
        "DESTINATION_BUCKET": DESTINATION,
    }
    order = random.Random(5)
    pending, lock, done = [], threading.Lock(), threading.Event()
    outcomes = []

    def work(function):
        """Handles events in random order, some of them twice, while new versions are written."""
        while True:
            with lock:
                if not pending and done.is_set():
                    return
                one = pending.pop(order.randrange(len(pending))) if pending else None
                if one and order.random() < 0.3:
                    pending.append(one)
            if one:
                answer = function.invoke(event(one))
                if answer.kind == "error" and answer.payload["errorType"] == "Tintype.contended":
                    # Lambda would retry it.
                    with lock:
                        pending.append(one)
                else:
                    outcomes.append(answer.payload["records"][0]["outcome"] if answer.kind == "response" else answer)
            else:
                done.wait(0.01)

    with Function([BOOTSTRAP], env, tmp_path, name="first") as first, Function([BOOTSTRAP], env, tmp_path, name="second") as second:
        workers = [threading.Thread(target=work, args=(one.start(),)) for one in (first, second)]
        for worker in workers:
            worker.start()
        for number in range(VERSIONS):
            last = s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.distinct_jpeg(number, 800, 600))["ETag"]
            with lock:
                pending.append(last)
        done.set()
        for worker in workers:
            worker.join(120)
            assert not worker.is_alive()
    assert len(outcomes) >= VERSIONS and set(outcomes) <= {"made", "up_to_date"} and "made" in outcomes
    found = s3.head_object(Bucket=DESTINATION, Key="thumb_a.jpg")["Metadata"]
    assert found["tintype-source-etag"] == last.strip('"')
