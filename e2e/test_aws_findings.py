"""deploy/aws/FINDINGS.md has a row for each finding of cfn-lint and checkov, and no other."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from template import FOLDER
from tintype import ROOT

# "scripts/test aws-tools" installs it: its dependencies contradict those of the other tests.
CHECKOV = ROOT / "target/aws-tools/bin/checkov"


def rows(checker):
    """(file, check, resource) of each row of a checker's table; every row has a reason."""
    section = (FOLDER / "FINDINGS.md").read_text().split(f"\n## {checker}\n")[1].split("\n## ")[0]
    found = []
    for line in section.splitlines():
        if line.startswith("| `"):
            file, check, resource, *why = [cell.strip() for cell in line.strip("|").split("|")]
            assert all(why), line
            found.append((file.strip("`"), check, resource.strip("`")))
    assert len(found) == len(set(found))
    return set(found)


def test_cfn_lint(tmp_path):
    switched_off = set()
    for file in FOLDER.glob("*.yaml"):
        text = file.read_text()
        for checks in re.findall(r"ignore_checks: \[([^\]]*)\]", text):
            switched_off |= {(file.name, check.strip()) for check in checks.split(",")}
        (tmp_path / file.name).write_text(re.sub(r"ignore_checks: \[[^\]]*\]", "ignore_checks: []", text))
    program = str(Path(sys.executable).parent / "cfn-lint")
    ended = subprocess.run(
        [program, "--format", "json", *map(str, sorted(tmp_path.glob("*.yaml")))], capture_output=True, text=True
    )
    findings = json.loads(ended.stdout)
    actual = {(Path(one["Filename"]).name, one["Rule"]["Id"], one["Location"]["Path"][1]) for one in findings}
    assert actual == rows("cfn-lint")
    assert {(file, check) for file, check, _ in actual} == switched_off


def test_checkov():
    if not CHECKOV.exists():
        pytest.skip('checkov is not installed: "scripts/test aws-tools" installs it')
    ended = subprocess.run(
        # Without the option it asks its maker's server.
        [str(CHECKOV), "-d", str(FOLDER), "--framework", "cloudformation", "--skip-download", "--compact", "--quiet", "-o", "json"],
        capture_output=True,
        text=True,
    )
    found = json.loads(ended.stdout)
    assert found["summary"]["parsing_errors"] == 0, found["summary"]
    # Those without findings are in it, too.
    assert found["summary"]["resource_count"] > 60
    actual = {
        (Path(one["file_path"]).name, one["check_id"], one["resource"].split(".")[-1]) for one in found["results"]["failed_checks"]
    }
    assert actual == rows("checkov")
