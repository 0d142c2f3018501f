"""A page of another origin, in a real browser: refused by default, welcome once its origin is configured."""

import base64
import json
import queue
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import pictures
from tintype import SOURCE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = 60

# Uploads a picture through a form that the API gives, shows its thumbnail, and tells its own server how that went.
PAGE = """<!doctype html><title>Shop</title><img id="thumbnail" alt=""><script type="module">
const api = %(api)s;
const told = {};
try {
  const asked = await fetch(api + "/uploads", {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({key: "shop/photo.jpg", content_type: "image/jpeg"}),
  });
  told.form = asked.status;
  const form = await asked.json();
  const data = new FormData();
  for (const [name, value] of Object.entries(form.fields)) data.append(name, value);
  const bytes = Uint8Array.from(atob(%(picture)s), (c) => c.charCodeAt(0));
  data.append(form.file_field, new Blob([bytes], {type: "image/jpeg"}), "photo.jpg");
  told.upload = (await fetch(form.url, {method: form.method, body: data})).status;
  const image = document.querySelector("#thumbnail");
  image.crossOrigin = "anonymous";
  image.src = api + "?key=shop/photo.jpg";
  await image.decode();
  told.width = image.naturalWidth;
  told.height = image.naturalHeight;
} catch (error) {
  told.error = String(error);
}
await fetch("/told", {method: "POST", body: JSON.stringify(told)});
</script>"""


class Shop:
    """A server of another origin with one page."""

    def __init__(self):
        self.page, self.told = "", queue.Queue()
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = shop.page.encode() if self.path == "/" else b""
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                shop.told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.origin = f"http://127.0.0.1:{self.server.server_port}"

    def visited(self, api, picture, profile):
        """What the page tells once a browser has opened it."""
        self.page = PAGE % {"api": json.dumps(api), "picture": json.dumps(base64.b64encode(picture).decode())}
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        command += ["--no-first-run", f"--user-data-dir={profile}", "--remote-debugging-port=0", self.origin]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return self.told.get(timeout=SECONDS)
        finally:
            browser.kill()
            browser.wait()


@pytest.fixture
def shop():
    shop = Shop()
    yield shop
    shop.server.shutdown()
    shop.server.server_close()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_by_default_a_page_of_another_origin_gets_nothing(new_server, shop, tmp_path):
    server = new_server().start()
    told = shop.visited(server.api_url, pictures.jpeg(), tmp_path / "profile")
    assert "Failed to fetch" in told["error"]
    assert "form" not in told
    assert "Contents" not in server.client().list_objects_v2(Bucket=SOURCE)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_a_configured_origin_uploads_and_shows_the_thumbnail(new_server, shop, tmp_path):
    server = new_server(settings=f'[api]\ncors_origins = ["{shop.origin}"]\n').start()
    rule = {"AllowedOrigins": [shop.origin], "AllowedMethods": ["POST"]}
    server.client().put_bucket_cors(Bucket=SOURCE, CORSConfiguration={"CORSRules": [rule]})
    told = shop.visited(server.api_url, pictures.jpeg(), tmp_path / "profile")
    assert told == {"form": 200, "upload": 201, "width": 128, "height": 96}
