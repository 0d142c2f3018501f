"""A page of another origin, in a real browser: refused by default, allowed once its origin is configured."""

import base64
import json
import queue
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import sample_images
from tintype import SOURCE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = 60

# Uploads an image through a form of the API, shows its thumbnail, and reports the result to its own server.
PAGE = """<!doctype html><title>Shop</title><img id="thumbnail" alt=""><script type="module">
const api = %(api)s;
const result = {};
try {
  const response = await fetch(api + "/uploads", {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({key: "shop/photo.jpg", content_type: "image/jpeg"}),
  });
  result.form = response.status;
  const form = await response.json();
  const data = new FormData();
  for (const [name, value] of Object.entries(form.fields)) data.append(name, value);
  const bytes = Uint8Array.from(atob(%(image)s), (c) => c.charCodeAt(0));
  data.append(form.file_field, new Blob([bytes], {type: "image/jpeg"}), "photo.jpg");
  result.upload = (await fetch(form.url, {method: form.method, body: data})).status;
  const image = document.querySelector("#thumbnail");
  image.crossOrigin = "anonymous";
  image.src = api + "?key=shop/photo.jpg";
  await image.decode();
  result.width = image.naturalWidth;
  result.height = image.naturalHeight;
} catch (error) {
  result.error = String(error);
}
await fetch("/result", {method: "POST", body: JSON.stringify(result)});
</script>"""


class Shop:
    """A server of another origin with one page."""

    def __init__(self):
        self.page, self.result = "", queue.Queue()
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = shop.page.encode() if self.path == "/" else b""
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                shop.result.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.origin = f"http://127.0.0.1:{self.server.server_port}"

    def visited(self, api, image, profile):
        """The result that the page reports once a browser has opened it."""
        self.page = PAGE % {"api": json.dumps(api), "image": json.dumps(base64.b64encode(image).decode())}
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        command += ["--no-first-run", f"--user-data-dir={profile}", "--remote-debugging-port=0", self.origin]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return self.result.get(timeout=SECONDS)
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
    result = shop.visited(server.api_url, sample_images.jpeg(), tmp_path / "profile")
    assert "Failed to fetch" in result["error"]
    assert "form" not in result
    assert "Contents" not in server.client().list_objects_v2(Bucket=SOURCE)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_a_configured_origin_uploads_and_shows_the_thumbnail(new_server, shop, tmp_path):
    server = new_server(settings=f'[api]\ncors_origins = ["{shop.origin}"]\n').start()
    rule = {"AllowedOrigins": [shop.origin], "AllowedMethods": ["POST"]}
    server.client().put_bucket_cors(Bucket=SOURCE, CORSConfiguration={"CORSRules": [rule]})
    result = shop.visited(server.api_url, sample_images.jpeg(), tmp_path / "profile")
    assert result == {"form": 200, "upload": 201, "width": 128, "height": 96}
