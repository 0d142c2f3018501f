"""The load test of the reference system:

    locust -f test.py --host http://127.0.0.1:8080/dev1/myimage --headless -u 10 -r 2 -t 10s

Images of 50 KB to 5 MB, JPEG and PNG, generated at the start. Nineteen requests in twenty cause a render: an image in the
body, an upload under a new key, or a new size. Their share is printed at the end.
requirements.txt lists the dependencies.
"""

import io
import itertools
import os
import random
import uuid

from locust import HttpUser, between, events, task
from PIL import Image

CHANCE = random.Random(1)


def sample_image(width, height, kind, grain):
    """A gradient with grain: the more of it, the larger the file."""
    base = Image.linear_gradient("L").resize((width, height))
    noise = Image.effect_noise((width, height), grain)
    image = Image.merge("RGB", (base, Image.blend(base, noise, 0.4), noise))
    out = io.BytesIO()
    image.save(out, kind, **({"quality": 88} if kind == "JPEG" else {"compress_level": 1}))
    return out.getvalue()


# Width, height, format, grain, and weight in percent: most images of a shop are small.
KINDS = [
    (640, 480, "JPEG", 12, 40),
    (1000, 750, "JPEG", 30, 30),
    (320, 240, "PNG", 10, 12),
    (1600, 1200, "JPEG", 30, 9),
    (1000, 750, "PNG", 20, 5),
    (4000, 3000, "JPEG", 36, 3),
    (1400, 1050, "PNG", 60, 1),
]
IMAGES, WEIGHTS = [], []
SIZES = itertools.count(1)


@events.test_start.add_listener
def generate_images(environment, **_):
    if IMAGES:
        return
    for width, height, kind, grain, weight in KINDS:
        IMAGES.append((kind.lower(), sample_image(width, height, kind, grain)))
        WEIGHTS.append(weight)
    sizes = sorted(len(body) for _, body in IMAGES)
    print(f"images of {sizes[0] >> 10} to {sizes[-1] >> 10} KiB")


@events.test_stop.add_listener
def print_share_rendered(environment, **_):
    every = environment.stats.total.num_requests
    if every:
        stored = environment.stats.get("GET", "GET").num_requests
        print(f"{every - stored} of {every} requests caused a render, {100 * (every - stored) / every:.0f} %")


class ImageProcessingTestUser(HttpUser):
    """A user of the API."""

    wait_time = between(0.5, 1.5)

    def on_start(self):
        key = os.environ.get("TINTYPE_API_KEY")
        if key:
            self.client.headers["X-Api-Key"] = key
        self.mine = None
        self.upload()

    def choose(self):
        return CHANCE.choices(IMAGES, WEIGHTS)[0]

    @task(12)
    def convert(self):
        """An image in the body, its thumbnail as the response; nothing is stored."""
        kind, body = self.choose()
        with self.client.post("", body, headers={"Content-Type": f"image/{kind}"}, name="POST image", catch_response=True) as answer:
            self.check(answer)

    @task(2)
    def upload(self):
        """An image stored under a new key, with its renditions."""
        kind, body = self.choose()
        key = f"load/{uuid.uuid4()}.{'jpg' if kind == 'jpeg' else 'png'}"
        headers = {"Content-Type": f"image/{kind}"}
        with self.client.post("", body, params={"key": key}, headers=headers, name="POST image with key", catch_response=True) as answer:
            if self.check(answer):
                self.mine = key

    @task(5)
    def fetch_a_size(self):
        """A thumbnail of a new size: rendered for this request."""
        if not self.mine:
            return self.upload()
        number = next(SIZES)
        params = {"key": self.mine, "size": f"{64 + number % 400}x{64 + number // 400 % 400}"}
        with self.client.get("", params=params, name="GET of a size", catch_response=True) as answer:
            self.check(answer)

    @task(1)
    def fetch(self):
        """The stored thumbnail."""
        if not self.mine:
            return self.upload()
        with self.client.get("", params={"key": self.mine}, name="GET", catch_response=True) as answer:
            self.check(answer)

    def check(self, answer):
        """Only an image counts as a success."""
        if answer.status_code not in (200, 202):
            answer.failure(f"{answer.status_code}: {answer.text[:200]}")
            return False
        kind = answer.headers.get("Content-Type", "")
        if not kind.startswith("image/") or not answer.content:
            answer.failure(f"no image but {kind}")
            return False
        answer.success()
        return True
