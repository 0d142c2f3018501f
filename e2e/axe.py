"""axe-core, which finds what assistive technology stumbles over. It is installed below target/, for tests alone."""

import shutil
import subprocess
from pathlib import Path

VERSION = "4.14.1"
FOLDER = Path(__file__).resolve().parent.parent / "target/axe"
INSTALL_SECONDS = 120


def script():
    """The text of axe-core."""
    file = FOLDER / VERSION / "node_modules/axe-core/axe.min.js"
    if not file.exists():
        npm = shutil.which("npm")
        assert npm, 'npm is missing: "apt-get install npm"'
        command = [npm, "install", "--no-save", "--no-audit", "--no-fund", "--prefix", FOLDER / VERSION, f"axe-core@{VERSION}"]
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    return file.read_text()


def violations(browser):
    """What is wrong with the page that is open: a line a rule, with the elements."""
    # Evaluated by the debugger: the page's policy lets no other script in.
    browser.run(f"(() => {{ {script()} }})()")
    found = browser.run(
        "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.map(v => v.id + ': ' + v.help + ' '"
        " + v.nodes.slice(0, 5).map(n => n.html.slice(0, 160) + ' ' + n.any.concat(n.all).map(c => c.message).join('; ')).join(' | ')))"
    )
    return found
