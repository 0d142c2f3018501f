"""Object status and dead letters, by the commands against a running server."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

import sample_images
from tintype import DESTINATION, SOURCE, run
from waiting import until


@pytest.fixture
def ask(server):
    """Runs a command against the shared server; returns exit code, JSON lines and standard error."""

    def ask(*arguments):
        ended = run(*arguments, "--server", server.http_url)
        return ended.returncode, [json.loads(line) for line in ended.stdout.decode().splitlines()], ended.stderr.decode()

    return ask


@pytest.fixture
def failed_keys(s3, ask):
    """Three objects that became dead letters."""
    keys = [f"operating/{name}.jpg" for name in ("text", "cut", "raw/cut")]
    s3.put_object(Bucket=SOURCE, Key=keys[0], Body=b"no image")
    for key in keys[1:]:
        s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.corrupt_jpeg())
    dead_letters = until(lambda: all_there(ask("dead-letters", "list", "--prefix", "operating/")[1], keys), "dead letters")
    yield dead_letters
    ask("dead-letters", "purge", "--prefix", "operating/")


def all_there(dead_letters, keys):
    found = {dead_letter["event"]["key"]: dead_letter for dead_letter in dead_letters}
    return found if set(found) == set(keys) else None


def test_status_reports_the_outcome(server, s3, ask, failed_keys):
    etag = s3.put_object(Bucket=SOURCE, Key="operating/good.jpg", Body=sample_images.jpeg())["ETag"]
    server.thumbnail("thumb_operating/good.jpg", etag)
    code, [status], _ = until(lambda: is_rendered(ask("status", "operating/good.jpg")), "made")
    assert code == 0
    assert [thumbnail["key"] for thumbnail in status["thumbnails"]] == ["thumb_operating/good.jpg"]
    assert status["history"][0]["outcome"] == "made"

    code, [status], _ = ask("status", "operating/text.jpg")
    assert (code, status["state"], status["deadLetter"]["reason"]) == (4, "failed", "unsupported")
    assert status["advice"]

    s3.put_object(Bucket=SOURCE, Key="operating/notes.txt", Body=b"notes")
    code, [status], _ = ask("status", "operating/notes.txt")
    assert (code, status["state"]) == (0, "ignored")

    for nowhere in (["operating/nothing.jpg"], ["a.jpg", "--bucket", "no-such-bucket"]):
        code, [status], _ = ask("status", *nowhere)
        assert (code, status["state"], status["object"]) == (5, "unknown", None)


def test_status_reports_the_current_state(server, s3, ask):
    key, body = "operating/again.jpg", sample_images.distinct_jpeg("status")
    etag = s3.put_object(Bucket=SOURCE, Key=key, Body=body)["ETag"]
    server.thumbnail(f"thumb_{key}", etag)
    until(lambda: is_rendered(ask("status", key)), "made")
    s3.delete_object(Bucket=DESTINATION, Key=f"thumb_{key}")
    code, [status], _ = ask("status", key)
    assert (code, status["state"], status["thumbnails"]) == (5, "outdated", [])
    assert "backfill" in status["advice"]
    # Rendered by a synchronous request, which leaves no result.
    assert requests.post(server.api_url, json={"key": key}, timeout=60).status_code == 200
    code, [status], _ = ask("status", key)
    assert (code, status["state"]) == (0, "made")
    assert [thumbnail["key"] for thumbnail in status["thumbnails"]] == [f"thumb_{key}"]


def is_rendered(answer):
    return answer if answer[1][0]["state"] == "made" and answer[1][0]["history"] else None


def test_dead_letters_are_listed_shown_and_exported(ask, failed_keys, tmp_path):
    text = failed_keys["operating/text.jpg"]
    code, shown, _ = ask("dead-letters", "show", str(text["event"]["id"]))
    assert (code, shown) == (0, [text])
    assert "text" in text["message"]
    code, listed, _ = ask("dead-letters", "list", "--prefix", "operating/", "--reason", "malformed")
    assert {dead_letter["event"]["key"] for dead_letter in listed} == {"operating/cut.jpg", "operating/raw/cut.jpg"}
    file = tmp_path / "dead.jsonl"
    assert ask("dead-letters", "export", "--prefix", "operating/", "-o", file)[0] == 0
    exported = [json.loads(line) for line in file.read_text().splitlines()]
    assert {dead_letter["event"]["key"] for dead_letter in exported} == set(failed_keys)
    code, _, complaint = ask("dead-letters", "show", "1")
    assert code == 1 and "no such dead letter" in complaint
    code, shown, complaint = ask("dead-letters", "show", "1", str(text["event"]["id"]))
    assert (code, shown) == (1, [text]) and "of these ids 1 name(s) no dead letter" in complaint


def test_redriven_dead_letters_are_retried_and_purged_ones_are_gone(s3, ask, failed_keys):
    before = failed_keys["operating/raw/cut.jpg"]["dead_ms"]
    code, [result], _ = ask("dead-letters", "redrive", "--prefix", "operating/raw/")
    assert (code, result) == (0, {"action": "redrive", "count": 1})

    def again():
        dead_letters = ask("dead-letters", "list", "--prefix", "operating/raw/")[1]
        return dead_letters and dead_letters[0]["dead_ms"] > before

    until(again, "dead letters again")
    # An empty shell variable does not mean all.
    for option in ("--reason", "--prefix"):
        assert ask("dead-letters", "purge", option, "")[0] == 2
    assert ask("dead-letters", "purge", str(failed_keys["operating/text.jpg"]["event"]["id"]))[0] == 0
    assert "operating/text.jpg" not in {
        dead_letter["event"]["key"] for dead_letter in ask("dead-letters", "list", "--prefix", "operating/")[1]
    }


def test_a_selection_is_required(ask, failed_keys):
    for action in ("redrive", "purge"):
        code, _, complaint = ask("dead-letters", action)
        assert code == 2 and "--all" in complaint
    assert len(ask("dead-letters", "list", "--prefix", "operating/")[1]) == 3


def test_an_unknown_reason_is_refused_with_the_nearest(server, ask, failed_keys):
    for action in ("list", "export", "redrive", "purge"):
        code, _, complaint = ask("dead-letters", action, "--reason", "malfromed")
        assert code == 1 and 'did you mean "malformed"?' in complaint, action
    assert len(ask("dead-letters", "list", "--prefix", "operating/", "--reason", "Malformed")[1]) == 2
    answer = requests.get(f"{server.http_url}/dead-letters", params={"reason": "malfromed"}, timeout=30)
    assert answer.status_code == 400 and "malformed" in answer.text
    assert len(ask("dead-letters", "list", "--prefix", "operating/")[1]) == 3


def test_a_failed_export_leaves_the_file_unchanged(ask, failed_keys, tmp_path):
    file = tmp_path / "exported"
    file.write_text("kept\n")
    assert ask("dead-letters", "export", "--reason", "malfromed", "-o", file)[0] == 1
    assert file.read_text() == "kept\n" and list(tmp_path.iterdir()) == [file]


def test_an_export_writes_to_no_other_file(ask, failed_keys, tmp_path):
    other, file = tmp_path / "other", tmp_path / "exported"
    other.write_text("other\n")
    os.link(other, tmp_path / "exported.partial")
    assert ask("dead-letters", "export", "--prefix", "operating/", "-o", file)[0] == 0
    assert other.read_text() == "other\n" and len(file.read_text().splitlines()) == len(failed_keys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported", "exported.partial", "other"]


def test_an_ambiguous_selection_is_refused(server, ask, failed_keys):
    """Naming one dead letter must not purge all."""
    [number, *_] = (dead_letter["event"]["id"] for dead_letter in failed_keys.values())
    url, as_json = f"{server.http_url}/dead-letters", {"Accept": "application/json"}
    for form, words in [
        ({"id": number, "all": "1"}, "not both"),
        ({"all": "1", "before": number}, '"before" is not known'),
        ({"all": "0"}, "only all=1"),
    ]:
        answer = requests.post(url, {"action": "purge", **form}, headers=as_json, timeout=30)
        assert answer.status_code == 400 and words in answer.json()["message"], answer.text
    # The page's box "all" is not combined with ids.
    shown = requests.get(url, params={"id": number}, headers={"Accept": "text/html"}, timeout=30)
    assert shown.status_code == 400 and "application/json" in shown.text
    assert len(ask("dead-letters", "list", "--prefix", "operating/")[1]) == 3


def test_dead_letters_are_paged_and_the_command_follows(new_server):
    server = new_server().start()
    client, count = server.client(), 620
    with ThreadPoolExecutor(8) as pool:
        put = lambda number: client.put_object(Bucket=SOURCE, Key=f"many/{number}.jpg", Body=b"no image")
        list(pool.map(put, range(count)))
    until(lambda: server.metrics()["tintype_dead_letters"] == count, "all are dead letters")
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


def test_a_good_version_resolves_a_dead_letter_of_an_earlier_one(server, s3, ask, failed_keys):
    etag = s3.put_object(Bucket=SOURCE, Key="operating/cut.jpg", Body=sample_images.jpeg())["ETag"]
    server.thumbnail("thumb_operating/cut.jpg", etag)
    code, [status], _ = until(lambda: is_rendered(ask("status", "operating/cut.jpg")), "made")
    assert (code, status["deadLetter"]) == (0, None)


def test_the_page_acts_only_on_what_it_shows(server, failed_keys):
    shown = requests.get(f"{server.http_url}/dead-letters", params={"prefix": "operating/raw/"}, timeout=30).text
    # The form repeats the filter.
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


def test_a_request_that_is_not_understood_is_refused_by_its_name(server):
    as_json = {"Accept": "application/json"}
    for method, path, fields, name in [
        ("POST", "/backfill", {"delete": "true"}, "delete"),
        ("POST", "/orphans", {"dry_run": "true"}, "dry_run"),
        ("POST", "/backfill", {"dry_run": "maybe"}, "dry_run"),
        ("POST", "/retry", {"key": "a.jpg", "buckets": "b"}, "buckets"),
        ("POST", "/dead-letters", {"action": "drop", "all": "1"}, "action"),
        ("GET", "/object", {"key": "a.jpg", "version": "1"}, "version"),
        ("GET", "/dead-letters", {"before": "x"}, "before"),
        ("GET", "/results", {"only": "made"}, "only"),
        ("GET", "/logs", {"lines": "1"}, "lines"),
        ("GET", "/events", {"key": "a.jpg"}, "key"),
    ]:
        sent = {"params": fields} if method == "GET" else {"data": fields}
        answer = requests.request(method, server.http_url + path, headers=as_json, timeout=30, **sent)
        assert (answer.status_code, name in answer.json()["message"]) == (400, True), (path, answer.text)
    answer = requests.post(f"{server.http_url}/backfill", data="{}", headers={"Content-Type": "application/json"}, timeout=30)
    assert (answer.status_code, '"{}" is not known' in answer.json()["message"]) == (400, True)


def test_the_names_of_earlier_versions_are_served_beside_todays(server, s3, failed_keys):
    ask = lambda path, **query: requests.get(server.http_url + path, params=query, headers={"Accept": "application/json"}, timeout=30).json()
    known = ask("/object", key="operating/cut.jpg")
    assert known["dead_letter"] == known["deadLetter"] and known["dead_letter"]["reason"] == "malformed"
    assert known["object"]["modified_ms"] == known["object"]["modifiedMs"] and known["object"]["content_type"] == known["object"]["contentType"]
    assert (known["status"], known["state"]) == ("failed", "failed")
    page = ask("/dead-letters", prefix="operating/")
    assert page["dead_letters"] == page["deadLetters"] and len(page["dead_letters"]) == len(failed_keys)
    page = requests.post(f"{server.http_url}/backfill", {"dry_run": "true", "prefix": "operating/"}, timeout=30).json()
    assert page["dead_lettered"] == page["givenUp"] == len(failed_keys)
    # The same path is a page for people.
    results = ask("/results", only="failed", text="operating/")["results"]
    assert {one["outcome"] for one in results} == {"failed"} and {one["key"] for one in results} >= set(failed_keys)
    assert requests.get(f"{server.http_url}/results", timeout=30).headers["content-type"] == "text/html; charset=utf-8"
