"""The console for everybody: by keyboard, by screen reader, on a phone, in light and dark; and nothing from elsewhere."""

import pytest

import axe
from browser import with_objects
from waiting import until

PAGES = ["/", "/?only=failed", "/metrics/dashboard", "/operations", "/dead-letters", "/object?key=a.jpg", "/object?key=broken.jpg", "/object?key=none.jpg"]


@pytest.fixture
def filled(new_server):
    own = new_server()
    with_objects(own, ["a.jpg", "b.jpg", "2026/c.jpg"], ["broken.jpg"], ["scan.tiff"])
    return own


def shown(browser, url):
    browser.open(url)
    browser.wait_for("[...document.querySelectorAll('.graphs')].every(g => getComputedStyle(g).contentVisibility === 'visible')", "it is painted")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 360])
def test_axe_finds_no_violation(filled, browser, theme, width):
    browser.size(width, 900, phone=width == 360)
    browser.theme(theme)
    for path in PAGES:
        shown(browser, filled.http_url + path)
        assert axe.violations(browser) == [], path
        assert browser.run("document.documentElement.scrollWidth") <= width, f"{path} fits {width} pixels"
    shown(browser, filled.http_url)
    browser.run("document.querySelector('#gallery .tile input').click()")
    assert axe.violations(browser) == [], "with a selection"
    browser.run("document.querySelector('[data-do=delete]').click()")
    browser.wait_for("document.querySelector('dialog[open]')", "it is asked")
    assert axe.violations(browser) == [], "with a question"
    assert not browser.requests_elsewhere(filled.http_url)


def test_the_first_page_is_used_by_keyboard_alone(filled, browser):
    browser.size(1300, 900)
    shown(browser, filled.http_url)
    browser.key("Tab", 9)
    assert browser.run("document.activeElement.className") == "skip"
    # Arrow keys go from image to image.
    browser.run("document.querySelector('#gallery .tile a').focus()")
    focused = "document.activeElement.closest('.tile')?.dataset.key"
    assert browser.run(focused) == "a.jpg"
    browser.key("ArrowRight", 39)
    assert browser.run(focused) == "b.jpg"
    browser.key("ArrowLeft", 37)
    browser.run("document.activeElement.closest('.tile').querySelector('input').focus()")
    browser.run("document.activeElement.click()")
    browser.wait_for("document.querySelector('[data-count]').innerText === '1 selected'", "it is selected")
    browser.run("document.querySelector('[data-do=delete]').focus(); document.activeElement.click()")
    browser.wait_for("document.querySelector('dialog[open]')?.contains(document.activeElement)", "the focus is in the question")
    browser.key("Escape", 27)
    browser.wait_for("!document.querySelector('dialog')", "Escape answers no")
    until(lambda: browser.run("document.querySelector('[data-count]').innerText") == "1 selected", "and leaves the selection")
