"""A real Prometheus scrapes the server and evaluates every expression of deploy/."""

import json
import os
import re
import shutil
import socket
import subprocess

import pytest
import requests
import yaml

import sample_images
from tintype import ROOT, SOURCE
from waiting import until

DASHBOARD = ROOT / "deploy/grafana/thumbnail.json"
ALERTS = ROOT / "deploy/prometheus/alerts.yml"


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture
def prometheus(new_server, tmp_path):
    """A Prometheus that scrapes a server with every kind of event; returns a function that queries it."""
    # Where loopback is not trusted it authenticates as in deploy/README.md.
    own = new_server(settings="[listen]\ntrust_loopback = false\n").start()
    access_key, secret = own.credentials
    (tmp_path / "secret").write_text(secret)
    s3 = own.client()
    program = shutil.which("prometheus")
    assert program, 'prometheus is missing: "apt-get install prometheus"'
    port = free_port()
    shutil.copy(ALERTS, tmp_path / "alerts.yml")
    (tmp_path / "prometheus.yml").write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": ["alerts.yml"],
                "scrape_configs": [
                    {
                        "job_name": "tintype",
                        "static_configs": [{"targets": [own.http_url.removeprefix("http://")]}],
                        "basic_auth": {"username": access_key, "password_file": str(tmp_path / "secret")},
                    }
                ],
            }
        )
    )
    log = (tmp_path / "prometheus.log").open("wb")
    process = subprocess.Popen(
        [program, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"]
        + [f"--web.listen-address=127.0.0.1:{port}"],
        stdout=log,
        stderr=log,
    )

    def ask(path, **query):
        answer = requests.get(f"http://127.0.0.1:{port}/api/v1/{path}", params=query, timeout=30).json()
        assert answer["status"] == "success", (query, answer)
        return answer["data"]

    def up():
        try:
            return ask("query", query='up{job="tintype"} == 1')["result"]
        except (requests.ConnectionError, requests.exceptions.JSONDecodeError):
            return False

    try:
        until(up, "prometheus scrapes the server")
        for number in range(12):
            s3.put_object(Bucket=SOURCE, Key=f"{number}.jpg", Body=sample_images.distinct_jpeg(number))
        s3.put_object(Bucket=SOURCE, Key="broken.jpg", Body=sample_images.corrupt_jpeg())
        own.wait_until_idle()
        yield own, ask
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def expressions():
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


def test_every_expression_has_results(prometheus):
    own, ask = prometheus
    # Rates need two samples after the change.
    until(lambda: ask("query", query="sum(increase(AsyncEventsDropped[1m])) > 0")["result"], "the drop is scraped")
    known = set(ask("label/__name__/values"))
    for title, expression in expressions():
        until(lambda: ask("query", query=expression)["result"], f"{title}: {expression} finds something")
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    for rule in rules:
        ask("query", query=rule["expr"])
        names = set(re.findall(r"\b(?:tintype_\w+|[A-Z][A-Za-z]+)(?=[{\[)])", rule["expr"]))
        assert names <= known, f"{rule['alert']} asks for {names - known}, which the server does not have"
    loaded = ask("rules")["groups"][0]["rules"]
    assert {rule["name"] for rule in loaded} == {rule["alert"] for rule in rules}
    assert all(rule["health"] in ("ok", "unknown") for rule in loaded)

    def firing():
        return {alert["labels"]["alertname"] for alert in ask("alerts")["alerts"] if alert["state"] == "firing"}

    until(lambda: "TintypeEventsDropped" in firing(), "the alert for the corrupt image fires")
    assert "TintypeDown" not in firing()


def test_the_rules_about_the_disk_fire_when_they_should():
    """On synthetic series: disks do not fill up within a test."""
    program = shutil.which("promtool")
    assert program, 'promtool is missing: "apt-get install prometheus"'
    tested = subprocess.run([program, "test", "rules", "alerts_test.yml"], cwd=ALERTS.parent, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_values_equal_the_servers(prometheus):
    own, ask = prometheus
    counted, volume = own.metrics(), os.statvfs(own.data)

    def value(expression):
        result = ask("query", query=expression)["result"]
        return float(result[0]["value"][1]) if result else None

    for expression, expected in [
        ("Invocations", counted["Invocations"]),
        ("sum(tintype_outcomes_total{outcome='made'})", 12),
        ("tintype_dead_letters", 1),
        ("tintype_disk_total_bytes", volume.f_blocks * volume.f_frsize),
        ("Duration_count", counted["Duration_count"]),
        ("sum(tintype_requests_total{door='s3', route='PUT object', status='200'})", 13),
    ]:
        until(lambda: value(expression) == expected, f"{expression} is {expected}")
