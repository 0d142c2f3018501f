"""The changelog has the form of Keep a Changelog, and its first section is this version's."""

import datetime
import re
import tomllib

from tintype import ROOT

TEXT = (ROOT / "CHANGELOG.md").read_text()
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
SECTION = re.compile(r"^## (?P<version>\S+) \((?P<date>unreleased|\d{4}-\d\d-\d\d)\)$")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def sections():
    return [SECTION.match(line) or line for line in TEXT.splitlines() if line.startswith("## ")]


def test_each_version_has_one_section_with_its_date():
    assert TEXT.startswith("# Changelog\n")
    found = sections()
    assert [one for one in found if isinstance(one, str)] == []
    versions = [tuple(map(int, one["version"].split("."))) for one in found]
    assert all(len(version) == 3 for version in versions)
    # The newest first, each once.
    assert versions == sorted(set(versions), reverse=True)
    dates = [one["date"] for one in found]
    assert "unreleased" not in dates[1:]
    for date in dates:
        assert date == "unreleased" or datetime.date.fromisoformat(date)


def test_the_first_section_is_of_the_version_that_is_built():
    assert sections()[0]["version"] == VERSION
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    own = {one["version"] for one in locked if one["name"].startswith("tintype") and one["name"] != "tintype-faulty-disk"}
    assert own == {VERSION}


def test_changes_stand_under_kinds_that_are_known():
    parts = re.split(r"^(## .*)$", TEXT, flags=re.MULTILINE)[1:]
    for heading, section in zip(parts[::2], parts[1::2], strict=True):
        kinds = re.findall(r"^### (.+)$", section, re.MULTILINE)
        assert kinds and len(kinds) == len(set(kinds)), heading
        # What is not released yet may be sorted later.
        assert "(unreleased)" in heading or set(kinds) <= KINDS, (heading, kinds)
        # Every kind has items, and no item is without a kind.
        before, *lists = re.split(r"^### .+$", section, flags=re.MULTILINE)
        assert not re.search("^- ", before, re.MULTILINE), heading
        assert all(re.search("^- ", items, re.MULTILINE) for items in lists), heading
