"""Time until the console is painted with fifteen days of measurements, and until a live result is shown.

    cargo build --release && cargo run --release -p tintype-bench -- instruments disk FOLDER
    target/venv/bin/python bench/page/measure.py FOLDER

Each range is the first request to a server just started, on a copy of FOLDER/measurements.redb, in a new Chromium
without a cache. Times are the browser's own, from the start of the navigation: until the first byte of the response, until
the first contentful paint, and until the charts are painted (the second frame after they become visible; in separate
browsers). Bytes are those of page and script, as sent and unpacked.

A live result's time is from the end of its attempt to the frame after which its thumbnail is decoded in the list, by the
same machine's clock.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "e2e"))

import sample_images  # noqa: E402
from browser import Browser  # noqa: E402
from tintype import SOURCE, Server  # noqa: E402

DAY = 86400

TIMES = """(async () => {
  const paint = () => performance.getEntriesByName('first-contentful-paint')[0];
  while (!paint()) await new Promise(done => setTimeout(done, 10));
  const page = performance.getEntriesByType('navigation')[0];
  const all = [page, ...performance.getEntriesByType('resource').filter(e => /script/.test(e.name))];
  const sum = (what) => all.reduce((sum, e) => sum + e[what], 0);
  return [page.responseStart, paint().startTime, sum('encodedBodySize'), sum('decodedBodySize'), page.decodedBodySize];
})()"""

CHARTS = """(() => {
  const look = () => {
    const charts = document.querySelector('.graph svg');
    if (!charts?.checkVisibility({ contentVisibilityAuto: true })) return requestAnimationFrame(look);
    requestAnimationFrame(() => requestAnimationFrame(() => { window.charts = performance.now(); }));
  };
  look();
})()"""

WATCH = """window.seen = [];
new MutationObserver((changes) => {
  for (const item of changes.flatMap(c => [...c.addedNodes])) {
    const image = item.querySelector?.('img[alt=thumbnail]');
    if (!image || !item.classList.contains('new')) continue;
    image.loading = 'eager';
    image.decode().then(() => requestAnimationFrame(() => requestAnimationFrame(() =>
      seen.push([item.dataset.key, Date.now()]))));
  }
}).observe(document.querySelector('#list'), { childList: true });
window.ended = {};
new EventSource('/events').addEventListener('result', (event) => {
  const result = JSON.parse(event.data);
  ended[result.key] = result.endedMs;
});"""


def ready(folder, measurements):
    """A server with these measurements, not started."""
    server = Server(folder)
    # The first start creates the data folder.
    server.start().stop()
    shutil.copy(measurements, server.data / "measurements.redb")
    return server


def browser(folder):
    folder.mkdir()
    opened = Browser(folder)
    opened.size(1280, 900)
    opened.call("Network.setCacheDisabled", cacheDisabled=True)
    return opened


def first_paint(folder, measurements, rounds):
    now = int(time.time())
    # Without a name: the first page, the gallery.
    names = [""] + [f"range={name}" for name in ("1h", "3h", "12h", "1d", "3d", "1w")]
    names.append(f"start={now - 15 * DAY + 600}")
    print(f"{'range':>20} {'first byte':>11} {'first paint':>11} {'charts':>9} {'sent':>8} {'unpacked':>9} {'page':>8}")
    server = ready(folder / "server", measurements)
    for name in names:
        shown, charts = [], []
        for number in range(2 * rounds):
            chromium = browser(folder / f"browser-{name}-{number}")
            looks_for_charts = bool(name) and number % 2 == 1
            if looks_for_charts:
                chromium.call("Page.addScriptToEvaluateOnNewDocument", source=CHARTS)
            server.start()
            try:
                chromium.open(f"{server.http_url}/{'metrics/dashboard?' if name else ''}{name}")
                if looks_for_charts:
                    chromium.wait_for("window.charts", "the charts are shown")
                    charts.append(chromium.run("window.charts"))
                else:
                    shown.append(chromium.run(TIMES))
            finally:
                chromium.close()
                server.stop()
        byte, paint, sent, unpacked, page = (list(values) for values in zip(*shown))
        print(
            f"{name or 'gallery':>20} {statistics.median(byte):>8.0f} ms {statistics.median(paint):>8.0f} ms"
            f" {statistics.median(charts or [0]):>6.0f} ms"
            f" {sent[0] / 1e3:>5.0f} KB {unpacked[0] / 1e3:>6.0f} KB {page[0] / 1e3:>5.0f} KB   worst {max(paint):.0f} ms"
        )


def live(folder, measurements, count):
    server = ready(folder / "live-server", measurements).start()
    chromium = browser(folder / "live-browser")
    try:
        chromium.open(server.http_url + "/metrics/dashboard")
        chromium.wait_for("document.querySelector('[data-live]').innerText === 'live'", "the page is live")
        chromium.run(WATCH)
        time.sleep(1)
        client = server.client()
        for number in range(count):
            client.put_object(Bucket=SOURCE, Key=f"live {number}.jpg", Body=sample_images.distinct_jpeg(number))
            time.sleep(0.3)
        chromium.wait_for(f"seen.length === {count}", "all are shown")
        late = sorted(chromium.run("seen.map(([key, at]) => at - ended[key])"))
    finally:
        chromium.close()
        server.kill()
    print(f"live result: median {statistics.median(late)} ms, worst {late[-1]} ms after its attempt ended, {count} uploads")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path, help="where `instruments disk` wrote measurements.redb")
    arguments.add_argument("--rounds", type=int, default=3, help="servers a range")
    arguments.add_argument("--uploads", type=int, default=20, help="live results")
    given = arguments.parse_args()
    measurements = given.folder / "measurements.redb"
    with tempfile.TemporaryDirectory(dir=given.folder) as own:
        first_paint(Path(own), measurements, given.rounds)
        live(Path(own), measurements, given.uploads)


if __name__ == "__main__":
    main()
