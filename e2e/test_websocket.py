"""Live results by WebSocket: the messages of the server-sent events, for those who may have these."""

import json

import pytest
import requests
import websocket

import sample_images
from access_keys import Key, keys
from tintype import SOURCE
from waiting import until

SECONDS = 60


def connect(own, path="/ws", **how):
    return websocket.create_connection(own.http_url.replace("http:", "ws:") + path, timeout=SECONDS, **how)


def basic(pair):
    return {"header": [f"Authorization: {requests.auth._basic_auth_str(*pair)}"]}


def status(own, **how):
    """The status that a connection is refused with."""
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        connect(own, **how)
    return refused.value.status_code


def test_its_messages_are_those_of_the_events(new_server):
    own = new_server().start()
    with requests.get(f"{own.http_url}/events", stream=True, timeout=SECONDS) as stream:
        stream.encoding = "utf-8"
        events = (line for line in stream.iter_lines(decode_unicode=True) if line.startswith("data:"))
        every, failed = connect(own), connect(own, "/ws?only=failed")
        own.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
        own.client().put_object(Bucket=SOURCE, Key="broken.jpg", Body=sample_images.corrupt_jpeg())
        sent = [json.loads(every.recv()) for _ in range(2)]
        assert sent == [json.loads(next(events).removeprefix("data:")) for _ in range(2)]
        assert {one["key"]: one["outcome"] for one in sent} == {"a.jpg": "made", "broken.jpg": "failed"}
        assert json.loads(failed.recv())["key"] == "broken.jpg"
    # The server closes it as it shuts down, and does not wait for it.
    own.terminate()
    assert every.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE
    assert own.wait() == 0


def test_pages_of_other_origins_are_refused(new_server):
    own = new_server(settings='[api]\ncors_origins = ["*"]\n').start()
    assert status(own, origin="https://elsewhere.example") == 403
    assert status(own, suppress_origin=True, header=["Sec-Fetch-Site: cross-site"]) == 403
    connect(own, origin=own.http_url).close()
    connect(own, suppress_origin=True).close()
    # Not a WebSocket's request.
    answer = requests.get(f"{own.http_url}/ws", timeout=30)
    assert answer.status_code in (400, 426) and "/events" in answer.json()["message"]
    assert requests.get(f"{own.http_url}/ws?key=a", headers={"Upgrade": "websocket"}, timeout=30).status_code == 400


def test_it_is_for_who_may_read_and_for_as_long(new_server):
    own = new_server(settings="[listen]\ntrust_loopback = false\n").start()
    assert status(own) == 401
    operator = Key(own, "operator", "--preset", "operator")
    followed = connect(own, **basic(operator.basic))
    # A person who is logged in may not be followed to it by a page from elsewhere.
    person = requests.Session()
    login = {"access_key_id": own.credentials[0], "secret_access_key": own.credentials[1]}
    person.post(f"{own.http_url}/login", data=login, timeout=30)
    cookie = "; ".join(f"{name}={value}" for name, value in person.cookies.items())
    connect(own, cookie=cookie, origin=own.http_url).close()
    assert status(own, cookie=cookie, origin="https://elsewhere.example") == 403
    own.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    assert json.loads(followed.recv())["key"] == "a.jpg"
    keys(own, "remove", "operator")
    assert followed.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE


def test_a_connection_counts_for_as_long_as_it_is_there(new_server):
    own = new_server(settings="[listen]\nconnections_per_address = 5\n").start()
    followed = [connect(own) for _ in range(4)]
    # No room is made by closing one of them.
    assert requests.get(f"{own.http_url}/healthz", headers={"Connection": "close"}, timeout=30).status_code == 200
    followed.append(connect(own))
    with pytest.raises((websocket.WebSocketException, OSError)):
        connect(own)
    own.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    for one in followed:
        assert json.loads(one.recv())["key"] == "a.jpg"
        one.close()
    until(lambda: requests.get(f"{own.http_url}/healthz", timeout=30).status_code == 200, "their places are free")
