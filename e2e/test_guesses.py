"""Guesses of keys are limited by address and overall, also in parallel; what is valid is never refused for them."""

import concurrent.futures
import http.client
import time
import uuid
from urllib.parse import urlencode, urlsplit

import pytest
import requests
from requests.auth import _basic_auth_str

from tintype import SOURCE

KEY = "0123456789abcdef0123"
SETTINGS = f'[listen]\ntrust_loopback = false\n\n[[api.key]]\nname = "shop"\nkey = "{KEY}"\n'
# Guesses of one address at once, and what may have been added during a slow test.
BURST, ADDED = 10, 10
ATTACKER, OTHER, THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3"


def send(server, method, path, body=None, headers=None, source=ATTACKER):
    connection = http.client.HTTPConnection(urlsplit(server.http_url).netloc, timeout=60, source_address=(source, 0))
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


def log_in(server, secret=None, source=ATTACKER, more=None):
    access_key, right = server.credentials
    form = urlencode({"access_key_id": access_key, "secret_access_key": secret or right})
    headers = {"Content-Type": "application/x-www-form-urlencoded"} | (more or {})
    return send(server, "POST", "/login", form, headers, source)


def by_basic(server, secret=None, source=ATTACKER, path="/metrics", more=None):
    access_key, right = server.credentials
    headers = {"Authorization": _basic_auth_str(access_key, secret or right)} | (more or {})
    return send(server, "GET", path, headers=headers, source=source)


def guess():
    return f"wrong-{uuid.uuid4()}"


def statuses(attempt, count=200, at_once=64):
    """What so many guesses, at once on 64 connections, are answered."""
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        answers = list(pool.map(attempt, range(count)))
    for answer in answers:
        assert answer.status != 429 or int(answer.getheader("Retry-After")) >= 1
    return [answer.status for answer in answers]


@pytest.fixture
def closed(new_server):
    return new_server(settings=SETTINGS).start()


def test_parallel_guesses_are_refused_and_a_session_is_not(closed):
    server = closed
    session = {"Cookie": log_in(server).getheader("Set-Cookie").split(";")[0]}
    attempts = [
        lambda number: log_in(server, guess()),
        lambda number: by_basic(server, guess()),
        lambda number: by_basic(server, guess(), path="/openapi.json"),
    ]
    found = statuses(lambda number: attempts[number % 3](number))
    assert set(found) == {401, 403, 429}
    compared = len(found) - found.count(429)
    assert BURST <= compared <= BURST + ADDED
    assert server.log_text().count("a wrong access key was refused") == compared
    # Not even the right key is looked at: the answer would show that it is.
    assert (log_in(server).status, by_basic(server).status) == (429, 429)
    # What is valid is.
    assert send(server, "GET", "/metrics", headers=session).status == 200
    assert by_basic(server, guess(), more=session).status == 200
    assert send(server, "GET", "/openapi.json", headers={"X-Api-Key": KEY}).status == 200
    assert by_basic(server, guess(), path="/openapi.json", more={"X-Api-Key": KEY}).status == 200
    server.client().put_object(Bucket=SOURCE, Key="a.txt", Body=b"a")
    # Another address has its own limit.
    assert (log_in(server, source=OTHER).status, by_basic(server, source=THIRD).status) == (303, 200)


def test_guesses_of_api_keys_are_refused_and_the_right_one_is_not(closed):
    server = closed

    def attempt(number):
        return send(server, "GET", "/openapi.json", headers={"X-Api-Key": guess()})

    found = statuses(attempt)
    assert set(found) == {403, 429} and BURST <= found.count(403) <= BURST + ADDED
    assert send(server, "GET", "/openapi.json", headers={"X-Api-Key": KEY}).status == 200
    assert by_basic(server).status == 200
    assert send(server, "GET", "/openapi.json").status == 403


def test_all_addresses_together_are_limited_but_for_those_that_were_right(closed):
    server = closed
    assert by_basic(server, source=OTHER).status == 200

    def attempt(number):
        return by_basic(server, guess(), f"127.0.1.{number % 200}")

    begun = time.monotonic()
    found = statuses(attempt, 1600)
    # 500 at once, and ten a second.
    most = 500 + 10 * (time.monotonic() - begun + 1)
    assert set(found) == {401, 429} and 500 <= found.count(401) <= most
    assert by_basic(server, source=OTHER).status == 200


def test_behind_a_trusted_proxy_the_forwarded_address_counts(new_server):
    server = new_server(settings='[listen]\ntrusted_proxies = ["127.0.0.1"]\n').start()

    def attempt(number):
        # What the sender wrote itself does not count.
        return by_basic(server, guess(), more={"X-Forwarded-For": f"198.51.100.{number}, 2001:db8::{number:x}"})

    found = statuses(attempt, 100)
    assert set(found) == {401, 429} and found.count(401) <= BURST + ADDED
    assert by_basic(server, more={"X-Forwarded-For": "2001:db8::ffff"}).status == 429
    assert by_basic(server, more={"X-Forwarded-For": "2001:db8:1::1"}).status == 200


def test_whom_no_proxy_is_trusted_for_cannot_choose_an_address(closed):
    def attempt(number):
        return by_basic(closed, guess(), more={"X-Forwarded-For": f"198.51.100.{number}"})

    found = statuses(attempt, 100)
    assert found.count(401) <= BURST + ADDED


def test_people_are_shown_when_to_try_again(closed):
    statuses(lambda number: log_in(closed, guess()), 30)
    page = requests.post(f"{closed.http_url}/login", {"access_key_id": "a", "secret_access_key": "b"}, timeout=30)
    assert page.status_code == 429 and "try again in" in page.text and "Log in" in page.text


@pytest.mark.parametrize("place", ["environment", "file"])
def test_short_secrets_are_refused_at_the_start(new_server, place):
    server = new_server()
    if place == "environment":
        server.env = {"TINTYPE_ACCESS_KEY_ID": "admin", "TINTYPE_SECRET_ACCESS_KEY": "only-15-letters"}
        name = "TINTYPE_SECRET_ACCESS_KEY has 15 characters"
    else:
        server.start()
        assert server.stop() == 0
        (server.data / "credentials").write_text("aws_access_key_id = admin\naws_secret_access_key = only-15-letters\n")
        name = "aws_secret_access_key in .*credentials has 15 characters"
    with pytest.raises(AssertionError, match=f"{name}; write at least 16") as refused:
        server.start()
    assert "only-15-letters" not in str(refused.value)
