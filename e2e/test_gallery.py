"""The first page in a real browser: images dropped, found, selected, rendered again, copied, downloaded, deleted."""

import json

import requests

import sample_images
from browser import with_objects
from tintype import DESTINATION, SOURCE
from waiting import until

def tile(key, rest=""):
    return f"document.querySelector('[data-key={json.dumps(key)}]{rest}')"


def keys(browser, place="#gallery"):
    return browser.run(f"[...document.querySelectorAll('{place} [data-key]')].map(e => e.dataset.key)")


def select(browser, *names):
    for name in names:
        browser.run(f"document.querySelector('#gallery [data-key={json.dumps(name)}] input').click()")


def do(browser, action):
    browser.run(f"document.querySelector('[data-do={action}]').click()")


def answer(browser, value):
    browser.wait_for("document.querySelector('dialog[open]')", "there is a question")
    browser.run(f"document.querySelector('dialog [data-answer={value}]').click()")


def test_images_dropped_onto_the_page_get_their_thumbnails(new_server, browser, tmp_path):
    own = new_server().start()
    browser.open_live(own.http_url)
    assert "No images yet" in browser.text("[data-empty]")
    photo = tmp_path / "dropped photo.jpg"
    photo.write_bytes(sample_images.jpeg())
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(sample_images.corrupt_jpeg())
    notes = tmp_path / "notes.txt"
    notes.write_text("no image")
    browser.choose_files("[data-pick]", [photo, broken, notes])
    browser.wait_for(tile("dropped photo.jpg", ":not([data-waiting]) img") + ".naturalWidth === 128", "its thumbnail is shown")
    browser.wait_for(tile("broken.jpg", ":not([data-waiting]) .reason") + ".innerText.startsWith('malformed')", "the broken one says why")
    browser.wait_for(tile("notes.txt") + ".innerText.includes('no trigger matches')", "the reason is shown")
    assert own.client().head_object(Bucket=DESTINATION, Key="thumb_dropped photo.jpg")
    # The same by dropping, as far as a script can: by the drop event.
    browser.run(
        """(() => { const data = new DataTransfer();
        const canvas = document.createElement('canvas'); canvas.width = 300; canvas.height = 200;
        canvas.getContext('2d').fillRect(20, 20, 99, 99);
        const bytes = Uint8Array.from(atob(canvas.toDataURL('image/png').split(',')[1]), c => c.charCodeAt(0));
        data.items.add(new File([bytes], 'drawn.png', { type: 'image/png' }));
        dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })); })()"""
    )
    browser.wait_for(tile("drawn.png", ":not([data-waiting]) img") + ".naturalWidth === 128", "shown")
    browser.wait_for("document.querySelector('.strip').innerText.includes('Dead letters\\n1')", "the strip is live")
    assert not browser.requests_elsewhere(own.http_url)
    assert all("422" in problem.get("text", "") for problem in browser.problems), browser.problems


def test_images_are_dropped_under_the_triggers_prefix_or_another(new_server, browser, tmp_path):
    own = new_server(settings='[[trigger]]\nprefix = "raw/"\n[[trigger.rendition]]\n').start()
    browser.open_live(own.http_url)
    assert browser.run("document.querySelector('[data-prefix-field]').value") == "raw/"
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(sample_images.jpeg())
    notes = tmp_path / "notes.txt"
    notes.write_text("no image")
    browser.choose_files("[data-pick]", [photo, notes])
    browser.wait_for(tile("raw/photo.jpg", ":not([data-waiting]) img") + ".naturalWidth === 128", "its thumbnail is shown")
    browser.wait_for(
        tile("raw/notes.txt") + ".innerText.includes('keys begin with \"raw/\" and end with .jpg')", "the accepted keys are shown"
    )
    browser.run("document.querySelector('[data-prefix-field]').value = 'raw/2026'")
    browser.choose_files("[data-pick]", [photo])
    browser.wait_for(tile("raw/2026/photo.jpg", ":not([data-waiting]) img") + ".naturalWidth === 128", "it is below the other prefix")


def test_an_object_is_replaced_only_when_that_is_chosen(new_server, browser, tmp_path):
    own = new_server().start()
    s3 = own.client()
    old = s3.put_object(Bucket=SOURCE, Key="photo.jpg", Body=sample_images.jpeg())["ETag"]
    own.wait_until_idle()
    browser.open(own.http_url)
    photo, other = tmp_path / "photo.jpg", tmp_path / "other.jpg"
    photo.write_bytes(sample_images.jpeg(colour=sample_images.BLUE))
    other.write_bytes(sample_images.jpeg(colour=sample_images.GREEN))
    etag = lambda key: s3.head_object(Bucket=SOURCE, Key=key)["ETag"]  # noqa: E731
    browser.choose_files("[data-pick]", [photo, other])
    browser.wait_for("document.querySelector('dialog h2').innerText === '1 of 2 exist already'", "it is asked")
    assert "photo.jpg" in browser.text("dialog li")
    answer(browser, "skip")
    browser.wait_for(tile("other.jpg", ":not([data-waiting]) img") + ".naturalWidth === 128", "the other one is uploaded")
    assert etag("photo.jpg") == old
    browser.choose_files("[data-pick]", [photo])
    answer(browser, "replace")
    until(lambda: etag("photo.jpg") != old, "it is replaced")
    # Without the page: what came there meanwhile is spared.
    spared = requests.post(
        f"{own.http_url}/upload", params={"key": "photo.jpg"}, data=b"x", headers={"if-none-match": "*"}, timeout=30
    )
    assert spared.status_code == 412 and "exists already" in spared.json()["message"]


def test_images_are_found_by_folder_text_and_status(new_server, browser):
    own = new_server()
    with_objects(own, ["cat.jpg", "Dog.jpg", "2026/cat two.jpg", "2026/05/bird.jpg"], ["broken.jpg"], ["scan.psd"])
    browser.open_live(own.http_url)
    assert keys(browser) == ["Dog.jpg", "broken.jpg", "cat.jpg", "scan.psd"]
    assert set(keys(browser, "#latest")) >= {"2026/05/bird.jpg", "broken.jpg"}, "the latest, of every folder"
    assert browser.text("#gallery [data-key='scan.psd'] .reason") == "no trigger takes .psd"
    browser.run("document.querySelector('.folders a').click()")
    browser.wait_for("document.querySelector('#gallery [data-key=\"2026/cat two.jpg\"]')", "the folder is open")
    assert browser.text(".folders a") == "05" and browser.run("location.search.includes('prefix=2026')")
    assert browser.text("[data-crumbs] a") == "All\n2026"
    browser.run("document.querySelector('[data-crumbs] a').click()")
    browser.wait_for("document.querySelector('#gallery [data-key=\"cat.jpg\"]')", "back")

    def shown(script, expected):
        browser.run(script)
        until(lambda: keys(browser) == expected, f"{script}: {expected}")

    field = "const field = document.querySelector('[name=text]'); field.value = '%s'; field.dispatchEvent(new Event('input', { bubbles: true }))"
    shown(f"(() => {{ {field % 'CAT'} }})()", ["2026/cat two.jpg", "cat.jpg"])
    shown(f"(() => {{ {field % ''} }})()", ["Dog.jpg", "broken.jpg", "cat.jpg", "scan.psd"])
    shown("document.querySelector('[name=only][value=failed]').click()", ["broken.jpg"])
    assert browser.text("#gallery .reason").startswith("malformed")
    shown("document.querySelector('[name=only][value=ignored]').click()", ["scan.psd"])
    shown("document.querySelector('[name=only][value=rendered]').click()", ["2026/05/bird.jpg", "2026/cat two.jpg", "Dog.jpg", "cat.jpg"])
    # The address leads to the same, with or without a script.
    address = browser.run("location.href")
    browser.open(address)
    assert keys(browser) == ["2026/05/bird.jpg", "2026/cat two.jpg", "Dog.jpg", "cat.jpg"]


def test_what_is_selected_is_rendered_again_copied_downloaded_and_deleted(new_server, browser, tmp_path):
    own = new_server()
    s3 = with_objects(own, ["a.jpg", "b c.jpg", "d.jpg"])
    browser.open_live(own.http_url)
    assert browser.run("document.querySelector('[data-selection]').hidden")
    select(browser, "a.jpg", "b c.jpg")
    assert browser.text("[data-count]") == "2 selected"
    s3.delete_object(Bucket=DESTINATION, Key="thumb_a.jpg")
    do(browser, "retry")
    own.thumbnail("thumb_a.jpg")
    copied = "navigator.clipboard.writeText = async (text) => { window.copied = text; }"
    browser.run(f"(() => {{ {copied} }})()")
    for action, words in (
        ("s3", f"s3://{SOURCE}/a.jpg\ns3://{SOURCE}/b c.jpg"),
        ("url", f"{own.api_url}?bucket={SOURCE}&key=a.jpg\n{own.api_url}?bucket={SOURCE}&key=b+c.jpg"),
    ):
        do(browser, action)
        browser.wait_for(f"window.copied === {json.dumps(words)}", action)
    address = words.splitlines()[1]
    assert requests.get(address, timeout=30).headers["content-type"] == "image/jpeg"
    do(browser, "img")
    browser.wait_for("window.copied.includes('<img ') && window.copied.includes('alt=\"b c\"')", "as HTML")
    downloads = tmp_path / "downloads"
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
    do(browser, "download")
    until(lambda: (downloads / "b c.jpg").exists() and (downloads / "a.jpg").exists(), "both are there")
    until(lambda: (downloads / "b c.jpg").read_bytes() == sample_images.distinct_jpeg("b c.jpg"), "it is the original")
    do(browser, "delete")
    answer(browser, "no")
    browser.wait_for("!document.querySelector('dialog')", "nothing is asked any more")
    assert s3.head_object(Bucket=SOURCE, Key="a.jpg")
    do(browser, "delete")
    answer(browser, "yes")
    until(lambda: keys(browser) == ["d.jpg"], "they are gone")
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=SOURCE)["Contents"]] == ["d.jpg"]
    # Escape clears what is selected.
    select(browser, "d.jpg")
    browser.key("Escape", 27)
    browser.wait_for("document.querySelector('[data-selection]').hidden", "nothing is selected")


def test_a_gallery_goes_on_where_it_is_scrolled_to(new_server, browser):
    own = new_server(settings="[function]\nconcurrency = 2\n")
    with_objects(own, others=[f"{number:04}.txt" for number in range(150)])
    browser.open(own.http_url)
    assert 60 <= len(keys(browser)) <= 120, "what is near is there, and no more"
    scroll = "document.querySelector('.more')?.scrollIntoView(), document.querySelectorAll('#gallery .tile').length"
    until(lambda: browser.run(scroll) == 150, "all are there")
    assert keys(browser) == [f"{number:04}.txt" for number in range(150)]
    assert not browser.run("!!document.querySelector('.more')")


def test_only_who_may_delete_and_nothing_from_elsewhere(new_server):
    own = new_server()
    with_objects(own, ["a.jpg"])
    url = f"{own.http_url}/delete"
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert requests.post(url, data={"key": "a.jpg"}, headers=headers, timeout=30).status_code == 403
    for form, words in (({}, "name 1 to 1000"), ({"key": ""}, "key"), ({"keys": "a.jpg"}, "not known")):
        refused = requests.post(url, data=form, timeout=30)
        assert refused.status_code == 400 and words in refused.json()["message"], refused.text
    answered = requests.post(url, data=[("key", "a.jpg"), ("key", "none.jpg")], timeout=30)
    assert answered.json() == {"deleted": 1}
