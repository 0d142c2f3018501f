"""What became of an image, and what was given up, by the commands that ask a running server."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

import pictures
from tintype import DESTINATION, SOURCE, run
from waiting import until


@pytest.fixture
def ask(server):
    """Runs a command against the shared server; answers exit code, JSON lines and what it complained of."""

    def ask(*arguments):
        ended = run(*arguments, "--server", server.http_url)
        return ended.returncode, [json.loads(line) for line in ended.stdout.decode().splitlines()], ended.stderr.decode()

    return ask


@pytest.fixture
def given_up(s3, ask):
    """Three objects that became dead letters."""
    keys = [f"operating/{name}.jpg" for name in ("text", "cut", "raw/cut")]
    s3.put_object(Bucket=SOURCE, Key=keys[0], Body=b"no picture")
    for key in keys[1:]:
        s3.put_object(Bucket=SOURCE, Key=key, Body=pictures.damaged_jpeg())
    letters = until(lambda: all_there(ask("dead-letters", "list", "--prefix", "operating/")[1], keys), "dead letters")
    yield letters
    ask("dead-letters", "purge", "--prefix", "operating/")


def all_there(letters, keys):
    found = {letter["event"]["key"]: letter for letter in letters}
    return found if set(found) == set(keys) else None


def test_status_tells_what_became_of_it(server, s3, ask, given_up):
    etag = s3.put_object(Bucket=SOURCE, Key="operating/good.jpg", Body=pictures.jpeg())["ETag"]
    server.thumbnail("thumb_operating/good.jpg", etag)
    code, [story], _ = until(lambda: made(ask("status", "operating/good.jpg")), "made")
    assert code == 0
    assert [thumbnail["key"] for thumbnail in story["thumbnails"]] == ["thumb_operating/good.jpg"]
    assert story["history"][0]["outcome"] == "made"

    code, [story], _ = ask("status", "operating/text.jpg")
    assert (code, story["state"], story["deadLetter"]["reason"]) == (4, "failed", "unsupported")
    assert story["advice"]

    s3.put_object(Bucket=SOURCE, Key="operating/notes.txt", Body=b"notes")
    code, [story], _ = ask("status", "operating/notes.txt")
    assert (code, story["state"]) == (0, "ignored")

    for nowhere in (["operating/nothing.jpg"], ["a.jpg", "--bucket", "no-such-bucket"]):
        code, [story], _ = ask("status", *nowhere)
        assert (code, story["state"], story["object"]) == (5, "unknown", None)


def test_status_says_what_is_there_now(server, s3, ask):
    key, body = "operating/again.jpg", pictures.distinct_jpeg("status")
    etag = s3.put_object(Bucket=SOURCE, Key=key, Body=body)["ETag"]
    server.thumbnail(f"thumb_{key}", etag)
    until(lambda: made(ask("status", key)), "made")
    s3.delete_object(Bucket=DESTINATION, Key=f"thumb_{key}")
    code, [story], _ = ask("status", key)
    assert (code, story["state"], story["thumbnails"]) == (5, "outdated", [])
    assert "backfill" in story["advice"]
    # Made by a request that waits for it, which leaves no result behind.
    assert requests.post(server.api_url, json={"key": key}, timeout=60).status_code == 200
    code, [story], _ = ask("status", key)
    assert (code, story["state"]) == (0, "made")
    assert [thumbnail["key"] for thumbnail in story["thumbnails"]] == [f"thumb_{key}"]


def made(answer):
    return answer if answer[1][0]["state"] == "made" and answer[1][0]["history"] else None


def test_dead_letters_are_listed_shown_and_exported(ask, given_up, tmp_path):
    text = given_up["operating/text.jpg"]
    code, shown, _ = ask("dead-letters", "show", str(text["event"]["id"]))
    assert (code, shown) == (0, [text])
    assert "text" in text["message"]
    code, listed, _ = ask("dead-letters", "list", "--prefix", "operating/", "--reason", "malformed")
    assert {letter["event"]["key"] for letter in listed} == {"operating/cut.jpg", "operating/raw/cut.jpg"}
    file = tmp_path / "dead.jsonl"
    assert ask("dead-letters", "export", "--prefix", "operating/", "-o", file)[0] == 0
    exported = [json.loads(line) for line in file.read_text().splitlines()]
    assert {letter["event"]["key"] for letter in exported} == set(given_up)
    code, _, complaint = ask("dead-letters", "show", "1")
    assert code == 1 and "no such dead letter" in complaint
    code, shown, complaint = ask("dead-letters", "show", "1", str(text["event"]["id"]))
    assert (code, shown) == (1, [text]) and "of these ids 1 name(s) no dead letter" in complaint


def test_a_redriven_one_is_tried_again_and_a_purged_one_is_gone(s3, ask, given_up):
    before = given_up["operating/raw/cut.jpg"]["dead_ms"]
    code, [told], _ = ask("dead-letters", "redrive", "--prefix", "operating/raw/")
    assert (code, told) == (0, {"action": "redrive", "count": 1})

    def again():
        letters = ask("dead-letters", "list", "--prefix", "operating/raw/")[1]
        return letters and letters[0]["dead_ms"] > before

    until(again, "given up again")
    assert ask("dead-letters", "purge", str(given_up["operating/text.jpg"]["event"]["id"]))[0] == 0
    assert "operating/text.jpg" not in {
        letter["event"]["key"] for letter in ask("dead-letters", "list", "--prefix", "operating/")[1]
    }


def test_what_is_meant_must_be_said(ask, given_up):
    for action in ("redrive", "purge"):
        code, _, complaint = ask("dead-letters", action)
        assert code == 2 and "--all" in complaint
    assert len(ask("dead-letters", "list", "--prefix", "operating/")[1]) == 3


def test_an_unknown_reason_is_refused_with_the_nearest(server, ask, given_up):
    for action in ("list", "export", "redrive", "purge"):
        code, _, complaint = ask("dead-letters", action, "--reason", "malfromed")
        assert code == 1 and 'did you mean "malformed"?' in complaint, action
    assert len(ask("dead-letters", "list", "--prefix", "operating/", "--reason", "Malformed")[1]) == 2
    answer = requests.get(f"{server.http_url}/dead-letters", params={"reason": "malfromed"}, timeout=30)
    assert answer.status_code == 400 and "malformed" in answer.text
    assert len(ask("dead-letters", "list", "--prefix", "operating/")[1]) == 3


def test_an_export_that_fails_leaves_the_file_as_it_was(ask, given_up, tmp_path):
    file = tmp_path / "exported"
    file.write_text("kept\n")
    assert ask("dead-letters", "export", "--reason", "malfromed", "-o", file)[0] == 1
    assert file.read_text() == "kept\n" and list(tmp_path.iterdir()) == [file]


def test_an_export_writes_to_no_other_file(ask, given_up, tmp_path):
    other, file = tmp_path / "other", tmp_path / "exported"
    other.write_text("other\n")
    os.link(other, tmp_path / "exported.partial")
    assert ask("dead-letters", "export", "--prefix", "operating/", "-o", file)[0] == 0
    assert other.read_text() == "other\n" and len(file.read_text().splitlines()) == len(given_up)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported", "exported.partial", "other"]


def test_what_could_mean_all_is_refused(server, ask, given_up):
    """Nobody who names one is to throw all away."""
    [number, *_] = (letter["event"]["id"] for letter in given_up.values())
    url, as_json = f"{server.http_url}/dead-letters", {"Accept": "application/json"}
    for form, words in [
        ({"id": number, "all": "1"}, "not both"),
        ({"all": "1", "before": number}, "before is for reading"),
        ({"all": "0"}, "only all=1"),
    ]:
        answer = requests.post(url, {"action": "purge", **form}, headers=as_json, timeout=30)
        assert answer.status_code == 400 and words in answer.json()["message"], answer.text
    # The page's box "all" does not know of ids.
    shown = requests.get(url, params={"id": number}, headers={"Accept": "text/html"}, timeout=30)
    assert shown.status_code == 400 and "application/json" in shown.text
    assert len(ask("dead-letters", "list", "--prefix", "operating/")[1]) == 3


def test_dead_letters_are_answered_bounded_and_the_command_goes_on(new_server):
    server = new_server().start()
    client, count = server.client(), 620
    with ThreadPoolExecutor(8) as pool:
        put = lambda number: client.put_object(Bucket=SOURCE, Key=f"many/{number}.jpg", Body=b"no picture")
        list(pool.map(put, range(count)))
    until(lambda: server.metrics()["tintype_dead_letters"] == count, "all are given up")
    ask = lambda **query: requests.get(
        f"{server.http_url}/dead-letters", params=query, headers={"Accept": "application/json"}, timeout=30
    ).json()
    first = ask(prefix="many/")
    rest = ask(prefix="many/", before=first["next"])
    assert (len(first["deadLetters"]), len(rest["deadLetters"]), rest["next"]) == (500, count - 500, None)
    listed = run("dead-letters", "list", "--server", server.http_url)
    keys = {json.loads(line)["event"]["key"] for line in listed.stdout.decode().splitlines()}
    assert keys == {f"many/{number}.jpg" for number in range(count)}


def test_a_server_that_is_not_there():
    ended = run("status", "a.jpg", "--server", "http://127.0.0.1:1")
    assert ended.returncode == 1
    assert "is it running" in ended.stderr.decode()


def test_a_good_version_makes_up_for_a_dead_letter_of_an_earlier_one(server, s3, ask, given_up):
    etag = s3.put_object(Bucket=SOURCE, Key="operating/cut.jpg", Body=pictures.jpeg())["ETag"]
    server.thumbnail("thumb_operating/cut.jpg", etag)
    code, [story], _ = until(lambda: made(ask("status", "operating/cut.jpg")), "made")
    assert (code, story["deadLetter"]) == (0, None)


def test_the_page_acts_only_on_what_it_shows(server, given_up):
    shown = requests.get(f"{server.http_url}/dead-letters", params={"prefix": "operating/raw/"}, timeout=30).text
    # The form says it again, and so does the filter.
    assert shown.count('name="prefix" value="operating/raw/"') == 2


def test_no_page_of_another_origin_acts_even_if_the_api_is_open_to_all(new_server):
    server = new_server(settings='[api]\ncors_origins = ["*"]\n').start()
    form = {"action": "purge", "all": "1"}
    foreign = {"Origin": "https://elsewhere.example"}
    for path in ("/dead-letters", "/retry", "/upload"):
        answer = requests.post(server.http_url + path, data=form, headers=foreign, timeout=30)
        assert (answer.status_code, "another origin" in answer.json()["message"]) == (403, True), path
    own = {"Origin": server.http_url, "Accept": "application/json"}
    answer = requests.post(f"{server.http_url}/dead-letters", data=form, headers=own, timeout=30)
    assert answer.json() == {"action": "purge", "count": 0}
