"""The console's page of operations, and dead letters that are redriven while somebody watches."""

import requests

import sample_images
from browser import with_objects
from tintype import DESTINATION, SOURCE
from waiting import until

WINDOW = (1300, 1600)


def test_a_backfill_is_begun_watched_and_ended(new_server, browser):
    own = new_server()
    s3 = with_objects(own, [f"{number}.jpg" for number in range(5)])
    for number in range(3):
        s3.delete_object(Bucket=DESTINATION, Key=f"thumb_{number}.jpg")
    browser.open(f"{own.http_url}/operations")
    assert "None was begun" in browser.text("[aria-labelledby=backfill]")
    browser.run("document.querySelector('.start button').click()")
    browser.wait_for("document.querySelector('[aria-labelledby=backfill] .badge').innerText === 'done'", "it is done")
    assert "5 sources looked at: 3 queued, 2 current" in browser.text("[aria-labelledby=backfill]")
    for number in range(3):
        own.thumbnail(f"thumb_{number}.jpg")
    browser.wait_for("document.querySelector('[aria-labelledby=backfill]').innerText.includes('Of those queued: 3 rendered, 0 not.')", "its outcome")
    # What has ended cannot be paused, resumed or cancelled; another one can begin.
    url = f"{own.http_url}/backfills"
    for action in ("pause", "resume", "cancel"):
        assert requests.post(url, data={"action": action}, headers={"accept": "application/json"}, timeout=30).status_code == 409
    begun = requests.post(url, data={"action": "start", "prefix": "4"}, headers={"accept": "application/json"}, timeout=30)
    assert begun.json()["backfill"]["prefix"] == "4"

    def last():
        return requests.get(url, timeout=30).json()["backfill"]

    until(lambda: last()["state"] == "done", "the second one is done")
    assert last()["looked_at"] == 1 and last()["current"] == 1


def test_what_is_in_force_is_shown_and_no_secret(new_server, browser):
    key = "a-key-of-the-shop-0123456789"
    own = new_server(settings=f'[function]\ntimeout_s = 7\n[[api.key]]\nname = "shop"\nkey = "{key}"\n').start()
    shown = requests.get(f"{own.http_url}/operations", auth=own.credentials, timeout=30).text
    assert "function.timeout_s" in shown and "settings.toml" in shown and "flag --s3" in shown
    assert "api.key[0].key" in shown and key not in shown and own.credentials[1] not in shown
    assert "Only the root key" in shown
    answer = requests.get(f"{own.http_url}/operations", auth=own.credentials, headers={"accept": "application/json"}, timeout=30).json()
    assert {"name": "function.timeout_s", "value": "7"}.items() <= next(
        one for one in answer["settings"] if one["name"] == "function.timeout_s"
    ).items()


def test_dead_letters_that_are_redriven_stay_in_sight_with_their_outcome(new_server, browser):
    own = new_server()
    with_objects(own, corrupt=["a.jpg", "b.jpg"])
    browser.open(f"{own.http_url}/dead-letters")
    offered = "[...document.querySelectorAll('.actions button')].some(b => b.checkVisibility())"
    assert not browser.run(offered), "nothing is offered while nothing is selected"
    browser.run("document.querySelector('input[name=all]').click()")
    assert browser.run(offered)
    browser.run("document.querySelector('button[value=redrive]').click()")
    browser.wait_for(
        "document.querySelector('[data-redriven]').innerText === '2 redriven: 0 rendered, 2 failed again, 0 waiting'", "what became of them"
    )
    assert browser.text(".dead-letter .badge") == "failed again\nfailed again"


def test_a_dead_letter_closes_when_its_object_is_replaced_or_removed(new_server):
    own = new_server()
    s3 = with_objects(own, corrupt=["a.jpg", "b.jpg"])
    assert own.metrics()["tintype_dead_letters"] == 2
    s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    own.thumbnail("thumb_a.jpg")
    assert own.metrics()["tintype_dead_letters"] == 1
    s3.delete_object(Bucket=SOURCE, Key="b.jpg")
    assert own.metrics()["tintype_dead_letters"] == 0
