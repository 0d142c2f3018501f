"""The console in a real browser: figures, live results, dead letters, an object's page, a login."""

import concurrent.futures
import html
import json
import re
import time

import requests

import sample_images
from browser import with_objects
from tintype import DESTINATION, SOURCE
from waiting import until

DASHBOARD = "/metrics/dashboard"
# High enough to load lazy images.
WINDOW = (1300, 4000)
SCRIPT_NAME = "<script>alert(1)</script>\"'&.jpg"


def figures(browser):
    """The figures above the charts, by their names."""
    return dict(
        browser.run(
            "[...document.querySelectorAll('.figures > div')].map(e => [e.querySelector('dt').innerText,"
            " e.querySelector('dd').innerText])"
        )
    )


def latest(browser, title):
    """The sum of a chart's first line."""
    return browser.run(
        "[...document.querySelectorAll('.graph')].filter(g => g.querySelector('h3').innerText === %s)"
        ".map(g => g.querySelector('[data-values]').dataset.values.split(',').reduce((a, b) => a + +b, 0))[0]"
        % json.dumps(title)
    )


def test_figures_after_uploads_failures_and_throttling(new_server, browser):
    own = new_server(settings="[api]\nrate = 1\nburst = 20\n")
    with_objects(own, [f"{number}.jpg" for number in range(8)], ["broken.jpg"], [SCRIPT_NAME])

    def ask(number):
        return requests.get(own.api_url, params={"key": f"{number % 8}.jpg"}, timeout=30).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(ask, range(60)))
    assert statuses.count(429) > 0
    counted = own.metrics()
    browser.open(own.http_url + DASHBOARD)
    browser.wait_for("document.querySelector('.graph') && document.querySelectorAll('#list > .bad').length === 2", "all is shown")
    seen = figures(browser)
    assert seen["Thumbnails rendered"] == "8"
    assert seen["Failed attempts"] == "2" and seen["Dead letters"] == "2"
    for chart in ("Invocations", "Errors", "Throttles", "AsyncEventsReceived", "AsyncEventsDropped"):
        assert latest(browser, chart) == counted[chart], chart
    assert counted["Throttles"] == statuses.count(429)
    titles = browser.text(".graph h3").splitlines()
    eight = ["Duration", "Throttles", "ConcurrentExecutions", "Invocations", "Errors"]
    assert titles[:8] == eight + ["AsyncEventsReceived", "AsyncEventsDropped", "AsyncEventAge"]

    # File names are escaped, on every page.
    letters = browser.text("#list .bad .name a").splitlines()
    assert SCRIPT_NAME in letters
    for path in ("/dead-letters", f"/object?key={requests.utils.quote(SCRIPT_NAME, safe='')}"):
        browser.open(own.http_url + path)
        assert SCRIPT_NAME in browser.text("main")
    assert not browser.requests_elsewhere(own.http_url)
    assert not browser.problems


def test_an_objects_page_has_its_status_and_advice(new_server, browser):
    own = new_server().start()
    s3 = own.client()

    def verdict(key):
        browser.open(f"{own.http_url}/object?key={key}")
        return browser.run("document.querySelector('.verdict').className"), browser.text(".verdict p")

    s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    own.wait_until_idle()
    colour, words = verdict("a.jpg")
    assert "good" in colour and "Uploaded" in words and "made" in words and "What to do: nothing to do" in words
    # The thumbnail has been deleted since.
    s3.delete_object(Bucket=DESTINATION, Key="thumb_a.jpg")
    colour, words = verdict("a.jpg")
    assert "bad" in colour and "A thumbnail is gone" in words and "tintype backfill" in words
    browser.run("document.querySelector('.verdict form button').click()")
    own.thumbnail("thumb_a.jpg")
    own.wait_until_idle()
    colour, words = verdict("a.jpg")
    assert "good" in colour and words.startswith("Queued again")
    s3.delete_object(Bucket=SOURCE, Key="a.jpg")
    colour, words = verdict("a.jpg")
    assert "calm" in colour and "There is no such object now." in words
    # A key that forms would change.
    odd = "a\tb\u202egpj.jpg"
    s3.put_object(Bucket=SOURCE, Key=odd, Body=sample_images.corrupt_jpeg())
    until(lambda: own.metrics()["AsyncEventsDropped"] == 1, "it is a dead letter")
    colour, words = verdict(requests.utils.quote(odd))
    assert "bad" in colour and "upload another file" in words
    # Another attempt would end the same, so none is offered.
    assert not browser.run("!!document.querySelector('.result form, .verdict form')")
    requests.post(f"{own.http_url}/retry", data={"key": odd}, timeout=30)
    until(lambda: own.metrics()["AsyncEventsDropped"] == 2, "it was retried")


def test_an_objects_page_has_the_addresses_of_its_thumbnails(new_server):
    signing = '[[api.signing_key]]\nname = "test"\nsecret = "write-16-characters-or-more"\n'
    own = new_server(settings=f'[api]\npublic = "signed"\n{signing}[[preset]]\nname = "card"\nsize = "64x64"\n')
    with_objects(own, ["a b.jpg"])

    def addresses(**how):
        page = requests.get(f"{own.http_url}/object", params={"key": "a b.jpg"}, headers={"accept": "text/html"}, timeout=30, **how)
        return re.findall(r'<code id="address-\d" data-address>(.*?)</code> <button.*?</td><td>(.*?)</td>', page.text)

    [(signed, access), (preset, of_anybody)] = addresses(auth=own.credentials)
    assert (access, of_anybody) == ("signed for 7 days", "public")
    # The script puts before them how the browser reaches the server.
    signed, preset = own.http_url + html.unescape(signed), own.http_url + html.unescape(preset)
    # For anybody who was sent them, as they are.
    strange = {"via": "1.1 proxy"}
    assert [requests.get(url, headers=strange, timeout=30).status_code for url in (signed, preset)] == [200, 200]
    assert requests.get(signed.replace("a%20b", "c"), headers=strange, timeout=30).status_code == 403


def test_it_is_readable_without_a_script(new_server, browser):
    own = new_server()
    with_objects(own, ["a.jpg"])
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.call("Page.navigate", url=own.http_url + DASHBOARD)
    until(lambda: "a.jpg" in browser.text("#list .name a"), "the result is there")
    assert figures(browser)["Thumbnails rendered"] == "1"
    assert browser.run("document.querySelectorAll('.graph svg').length") == 16
    browser.call("Page.navigate", url=own.http_url)
    until(lambda: "a.jpg" in browser.text("#gallery .tile .name"), "the image is there")
    assert browser.run("document.querySelector('[data-drop]').checkVisibility()") is False


def test_charts_are_updated_while_one_is_focused(new_server, browser):
    own = new_server().start()
    browser.open_live(own.http_url + DASHBOARD)
    browser.wait_for("getComputedStyle(document.querySelector('.graphs')).contentVisibility === 'visible'", "charts are drawn")
    browser.run("document.querySelector('.graph').focus()")
    browser.key("ArrowLeft", 37)
    at = browser.run("document.querySelector('.graph').dataset.at")
    as_of = browser.text(".asof time")
    own.client().put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    browser.wait_for(f"document.querySelector('.asof time').innerText !== {json.dumps(as_of)}", "it was renewed")
    browser.wait_for("document.querySelector('.figures dd').innerText === '1'", "the thumbnail is counted")
    assert browser.run("document.activeElement.classList.contains('graph')"), "the focus is where it was"
    assert browser.run("document.querySelector('.graph').dataset.at") == at


def test_a_dead_letter_is_redriven_and_purged_from_the_page(new_server, browser):
    own = new_server()
    s3 = with_objects(own, corrupt=["a.jpg", "b.jpg", "c.jpg"])
    browser.open(own.http_url + "/dead-letters?text=a.jp")
    assert browser.text(".dead-letter .name a") == "a.jpg"
    assert "all 1 that pass the filter" in browser.text(".actions")
    browser.open(own.http_url + "/dead-letters?text=nothing")
    assert browser.text(".empty") == "None of them passes the filter."
    browser.open(own.http_url + "/dead-letters?text=a.jp")
    browser.run("document.querySelector('.dead-letter input').click(); document.querySelector('button[value=redrive]').click()")
    until(lambda: own.metrics()["AsyncEventsDropped"] == 4, "it was retried and is a dead letter again")

    browser.open(own.http_url + "/dead-letters")
    browser.run("window.confirm = () => true; document.querySelector('input[name=all]').click()")
    browser.run("document.querySelector('button[value=purge]').click()")
    browser.wait_for("document.body.innerText.includes('Every event was handled')", "none is left")
    assert own.metrics()["tintype_dead_letters"] == 0

    # Queued again by its page's route.
    s3.put_object(Bucket=SOURCE, Key="d.jpg", Body=sample_images.corrupt_jpeg())
    until(lambda: own.metrics()["tintype_dead_letters"] == 1, "it is a dead letter")
    requests.post(f"{own.http_url}/retry", data={"key": "d.jpg"}, timeout=30)
    until(lambda: own.metrics()["AsyncEventsDropped"] == 6, "it was retried")
    browser.open(own.http_url + "/object?key=d.jpg")
    verdict = browser.text(".verdict p")
    assert re.match(r"Queued again 20\d\d-\d\d-\d\d [\d:.]+ UTC, tried once, dead letter: malformed: ", verdict), verdict


def test_it_can_be_used_by_keyboard_on_a_phone_in_the_dark(new_server, browser):
    own = new_server()
    with_objects(own, ["a.jpg"])
    browser.size(360, 740, phone=True)
    browser.theme("dark")
    for path in ("/", DASHBOARD, "/dead-letters", "/object?key=a.jpg"):
        browser.open(own.http_url + path)
        if path == DASHBOARD:
            browser.wait_for("document.querySelector('.graph') && document.querySelector('#list [data-key]')", "all is shown")
        assert browser.run("document.documentElement.scrollWidth") == 360, f"{path} fits 360 pixels"
        unnamed = "[...document.querySelectorAll('button, a, input:not([type=hidden]), select')].filter(e => !e.textContent"
        unnamed += " && !e.getAttribute('aria-label') && !e.labels?.length && !e.querySelector('img[alt]:not([alt=\"\"])')).map(e => e.outerHTML)"
        assert browser.run(unnamed) == [], f"everything on {path} has a name"
        assert browser.run("[...document.images].every(i => i.hasAttribute('alt'))")
    browser.open(own.http_url + DASHBOARD)
    dark = browser.run("getComputedStyle(document.documentElement).backgroundColor")
    browser.run("document.querySelector('[data-theme-switch]').click()")
    assert browser.run("getComputedStyle(document.documentElement).backgroundColor") != dark
    browser.key("Tab", 9)
    assert browser.run("document.activeElement.className") == "skip"
    browser.wait_for("getComputedStyle(document.querySelector('.graphs')).contentVisibility === 'visible'", "charts are drawn")
    browser.run("document.querySelector('.graph').focus()")
    browser.key("ArrowLeft", 37)
    assert "p50" in browser.text("[data-status]")
    labels = browser.run("[...document.querySelectorAll('.graph svg')].map(g => g.getAttribute('aria-label'))")
    assert all(re.search(r"(over the range|nothing measured)", label) for label in labels)
    browser.run("document.querySelector('[data-zone]').click()")
    assert browser.text("[data-zone]") == "Local"


def test_queries_return_values_or_errors(server):
    url = f"{server.http_url}/metrics/query"
    now = int(time.time())
    for query, words in [
        ({"metric": "Latency"}, "metric \"Latency\" is not known; did you mean \"S3Latency\"? There are Invocations"),
        ({}, "which metric?"),
        ({"metric": "Errors", "statistic": "p95"}, "has no percentiles"),
        ({"metric": "Errors", "statistic": "Median"}, "ask for Average"),
        ({"metric": "Errors", "start": now + 3600, "end": now + 7200}, "future"),
        ({"metric": "Errors", "start": now - 60, "end": now - 120}, "after start"),
        ({"metric": "Errors", "start": now - 86400, "period": 10}, "multiple of 60 s"),
        ({"metric": "Errors", "period": "fine"}, "period \"fine\""),
        ({"metric": "Errors", "start": "yesterday"}, "is no time"),
        ({"metric": "Errors", "colour": "red"}, "\"colour\" is not known"),
    ]:
        answer = requests.get(url, params=query, timeout=30)
        assert answer.status_code == 400 and words in answer.json()["message"], (query, answer.text)
    server.client().put_object(Bucket=SOURCE, Key="queried.jpg", Body=sample_images.jpeg())
    server.wait_until_idle()
    answer = requests.get(url, params={"metric": "Duration", "statistic": "p95", "period": 10}, timeout=30).json()
    assert answer["unit"] == "Milliseconds" and answer["values"] and len(answer["values"]) == len(answer["timestamps"])
    series = requests.get(url, params={"metric": "Made", "statistic": "Sum"}, timeout=30).json()
    assert sum(series["values"]) == server.metrics()['tintype_outcomes_total{outcome="made"}']


def test_results_come_as_events_and_logs(new_server):
    own = new_server().start()
    with requests.get(f"{own.http_url}/events", stream=True, timeout=30) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        lines = stream.iter_lines(decode_unicode=True)
        assert next(lines).startswith((":", "retry"))
        put = own.client().put_object(Bucket=SOURCE, Key="live.jpg", Body=sample_images.jpeg())
        result = next(json.loads(line[5:]) for line in lines if line.startswith("data:"))
        assert (result["key"], result["outcome"]) == ("live.jpg", "made")
        request_id = put["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"]
        assert request_id in result["html"], "the upload's id is the result's"
    logged = requests.get(f"{own.http_url}/logs", params={"key": "live.jpg"}, timeout=30).text.splitlines()
    record = json.loads(logged[-1])
    assert record["type"] == "platform.report" and record["record"]["requestId"] == request_id
    metrics = record["record"]["metrics"]
    assert {"durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB"} <= metrics.keys()
    assert 1 < metrics["maxMemoryUsedMB"] < metrics["memorySizeMB"]
    # The server's log has start and end, with the response's request id.
    lines = [json.loads(line) for line in own.log_text().splitlines()]
    kinds = [line["type"] for line in lines if line.get("record", {}).get("requestId") == request_id]
    assert kinds == ["platform.start", "platform.report"]
    api_response = requests.get(own.api_url, params={"key": "live.jpg"}, timeout=30)
    api_id = api_response.headers["x-amzn-requestid"]

    def called(request_id):
        reports = [json.loads(line) for line in own.log_text().splitlines() if '"platform.report"' in line]
        return [one["record"] for one in reports if one["record"]["requestId"] == request_id]

    until(lambda: called(api_id), "the API request's call is in the log")
    # A thumbnail that is not stored has its line, too.
    sized = requests.get(own.api_url, params={"key": "live.jpg", "size": "50"}, timeout=30)
    until(lambda: called(sized.headers["x-amzn-requestid"]), "a render is in the log")
    refused = requests.post(own.api_url, b"no image", headers={"content-type": "image/jpeg"}, timeout=30)
    [line] = until(lambda: called(refused.headers["x-amzn-requestid"]), "and so is a refused one")
    assert (line["outcome"], line["errorType"], line["event"]) == ("failed", "unsupported", "Render")
    # A shutdown ends streams instead of waiting for them.
    with requests.get(f"{own.http_url}/events", stream=True, timeout=30):
        assert own.stop() == 0


def test_no_secret_is_ever_logged_or_shown(new_server):
    own = new_server(settings='[logs]\nlevel = "debug"\n').start()
    access_key, secret = own.credentials
    s3 = own.client()
    s3.put_object(Bucket=SOURCE, Key="a.jpg", Body=sample_images.jpeg())
    url = s3.generate_presigned_url("get_object", {"Bucket": SOURCE, "Key": "a.jpg"})
    requests.get(url, timeout=30)
    requests.get(own.http_url, auth=(access_key, secret), timeout=30)
    requests.post(f"{own.http_url}/login", data={"access_key_id": access_key, "secret_access_key": secret}, timeout=30)
    own.wait_until_idle()
    signature = re.search(r"X-Amz-Signature=(\w+)", url)[1]
    pages = [requests.get(own.http_url + path, timeout=30).text for path in ("/", DASHBOARD, "/metrics", "/logs", "/object?key=a.jpg")]
    own.stop()
    for text in [own.log_text(), *pages]:
        assert secret not in text and signature not in text


def test_beyond_loopback_a_login_is_required(tmp_path, new_server):
    own = new_server()
    own.http_listen = "0.0.0.0:0"
    own.more = ["--anyone-may-use-the-http-api"]
    own.start()
    access_key, secret = own.credentials
    base = re.sub(r"//[^:]+:", "//127.0.0.1:", own.http_url)
    for path in ("/", "/metrics", "/events", "/logs", "/dead-letters", "/object?key=a", "/metrics/query?metric=Errors"):
        assert requests.get(base + path, timeout=30).status_code == 401, path
    led = requests.get(base, headers={"accept": "text/html"}, allow_redirects=False, timeout=30)
    assert (led.status_code, led.headers["location"]) == (303, "/login")
    assert requests.get(f"{base}/metrics", auth=(access_key, secret), timeout=30).status_code == 200
    assert requests.get(f"{base}/metrics", auth=(access_key, secret + "x"), timeout=30).status_code == 401
    person = requests.Session()
    form = {"access_key_id": access_key, "secret_access_key": "wrong"}
    assert person.post(f"{base}/login", data=form, timeout=30).status_code == 403
    form["secret_access_key"] = secret
    answer = person.post(f"{base}/login", data=form, allow_redirects=False, timeout=30)
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 303 and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert person.get(base, timeout=30).status_code == 200
    foreign = person.post(f"{base}/dead-letters", data={"action": "purge", "all": "1"}, headers={"origin": "http://evil.example"}, timeout=30)
    assert foreign.status_code == 403
    person.post(f"{base}/logout", timeout=30)
    assert person.get(base, timeout=30).status_code == 401
