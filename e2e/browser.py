"""A headless Chromium, driven by the Chrome DevTools Protocol."""

import base64
import json
import shutil
import subprocess
import urllib.request

import websocket

import sample_images
from tintype import SOURCE
from waiting import until

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
START_SECONDS = 30
ANSWER_SECONDS = 30


def with_objects(server, images=(), corrupt=(), others=()):
    """Starts a server and uploads distinct images, corrupt ones and other files; its S3 client, once all were handled."""
    s3 = server.start().client()
    for key in images:
        s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.distinct_jpeg(key))
    for key in corrupt:
        s3.put_object(Bucket=SOURCE, Key=key, Body=sample_images.corrupt_jpeg())
    for key in others:
        s3.put_object(Bucket=SOURCE, Key=key, Body=b"no image")
    server.wait_until_idle()
    return s3


class Browser:
    """One browser with one page."""

    def __init__(self, folder):
        self.folder = folder
        try:
            port = self.start(folder / "profile")
        except AssertionError:
            # Rarely it hangs at its start; a second one does not.
            self.process.kill()
            self.process.wait()
            port = self.start(folder / "second-profile")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=ANSWER_SECONDS) as answer:
            page = next(page for page in json.load(answer) if page["type"] == "page")
        self.socket = websocket.create_connection(
            page["webSocketDebuggerUrl"], timeout=ANSWER_SECONDS, suppress_origin=True
        )
        self.number = 0
        self.requests, self.problems = [], []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def start(self, profile):
        """Starts the program; its port for the protocol."""
        command = [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        command += ["--disable-dev-shm-usage", "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port_file = profile / "DevToolsActivePort"
        until(lambda: port_file.exists() and port_file.read_text().count("\n"), "the browser listens", START_SECONDS)
        return port_file.read_text().split()[0]

    def call(self, method, **parameters):
        """Sends a command and waits for its response; other messages are recorded."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self._note(message)

    def _note(self, message):
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(message["params"]["exceptionDetails"])
        elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.problems.append(message["params"]["entry"])
        elif message.get("method") == "Page.javascriptDialogOpening":
            self.problems.append(message["params"])

    def open(self, url):
        self.call("Page.navigate", url=url)
        until(lambda: self.run("location.href !== 'about:blank' && document.readyState") == "complete", f"{url} is there")

    def open_live(self, url):
        """Opens a page that follows the results, and waits until it does."""
        self.open(url)
        self.wait_for("document.querySelector('[data-live]').innerText.toLowerCase() === 'live'", "the page is live")

    def requests_elsewhere(self, url):
        """The requests to other hosts than that of a URL."""
        return [each for each in self.requests if not each.startswith((url, "data:", "about:", "blob:"))]

    def run(self, script):
        """The value of a script; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector):
        return self.run(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.innerText || e.textContent.trim()).join('\\n')")

    def wait_for(self, script, what):
        """Waits until a script returns a true value; exceptions while a page changes count as false."""
        return until(lambda: self.run(f"(() => {{ try {{ return !!({script}) }} catch {{ return false }} }})()"), what)

    def size(self, width, height, phone=False):
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone
        )

    def theme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def key(self, name, code):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def choose_files(self, selector, paths):
        """Sets the files of a file field, as a user's choice does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        field = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=field, files=[str(path) for path in paths])

    def screenshot(self, path, whole=False):
        capture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(capture["data"]))

    def close(self):
        try:
            self.socket.send(json.dumps({"id": 0, "method": "Browser.close"}))
            self.process.wait(10)
        except (OSError, websocket.WebSocketException, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait(10)
