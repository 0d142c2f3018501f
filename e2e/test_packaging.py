"""What is distributed: built from the program under test, installed, upgraded and removed in a folder of its own."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml

import sample_images
from tintype import DESTINATION, PROGRAM, ROOT, SOURCE, Server, run
from worker import Nats, Worker, client_of, program

NAMES = tomllib.loads((ROOT / "packaging/names.toml").read_text())
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
# Later by Debian's order.
NEXT = f"{VERSION}+next"
EPOCH = "1796000000"

pytestmark = [
    pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is not there"),
    # Packing compresses the program each time.
    pytest.mark.timeout(600),
]


def dist(out, *parts, more=()):
    ended = subprocess.run(
        [ROOT / "scripts/dist", *parts, "--program", PROGRAM, "--out", out, *more],
        env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return out


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return dist(tmp_path_factory.mktemp("dist"), "tarball", "deb")


def deb_of(folder):
    [file] = folder.glob("*.deb")
    return file


def test_the_same_program_gives_the_same_bytes(built, tmp_path):
    again = dist(tmp_path / "again", "tarball", "deb")
    sums = (built / "SHA256SUMS").read_text()
    assert sums == (again / "SHA256SUMS").read_text()
    listed = dict(reversed(line.split("  ")) for line in sums.splitlines())
    assert sorted(listed) == sorted(path.name for path in built.iterdir() if path.name != "SHA256SUMS")
    for name, digest in listed.items():
        assert hashlib.sha256((built / name).read_bytes()).hexdigest() == digest


def test_the_tarball_holds_the_program_with_what_belongs_to_it(built, tmp_path):
    [file] = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        assert {(member.uid, member.gid, member.uname, int(member.mtime)) for member in archive} == {(0, 0, "root", int(EPOCH))}
        archive.extractall(tmp_path, filter="data")
    [folder] = tmp_path.iterdir()
    shown = subprocess.run([folder / "tintype", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"tintype {VERSION}\n"
    assert (folder / "LICENSE-MIT").read_bytes() == (ROOT / "LICENSE-MIT").read_bytes()
    assert {path.name for path in (folder / "completions").iterdir()} == {"tintype.bash", "_tintype", "tintype.fish"}
    pages = {path.stem for path in (folder / "man/man1").iterdir()}
    assert {"tintype", "tintype-serve", "tintype-keys-add"} <= pages
    # Every command has its page, and none is without a name or a synopsis.
    commands = run("--help").stdout.decode().partition("\nCommands:\n")[2].partition("\n\n")[0]
    assert {f"tintype-{name}" for name in re.findall(r"^  (\S+)  ", commands, re.MULTILINE) if name != "help"} <= pages
    for page in (folder / "man/man1").iterdir():
        text = page.read_text()
        assert re.search(r"^\.SH NAME\n\S+ \\- \S", text, re.MULTILINE) and ".SH SYNOPSIS\n" in text, page.name


def test_the_bill_of_materials_has_what_the_lock_file_has(built):
    [file] = built.glob("*.cdx.json")
    bill = json.loads(file.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    locked = {(one["name"], one["version"]) for one in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    listed = {(one["name"], one["version"]) for one in bill["components"]}
    assert listed <= locked
    names = {name for name, _ in listed}
    assert {"redb", "rustls", "tintype-engine", "libwebp-sys"} <= names
    # What only tests use is not in the program.
    assert not {"proptest", "tempfile", "tintype-faulty-disk"} & names
    references = {one["bom-ref"] for one in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert {one["ref"] for one in bill["dependencies"]} == references
    assert all(set(one["dependsOn"]) <= references for one in bill["dependencies"])
    assert [one["name"] for one in bill["components"] if not one.get("licenses")] == []


class Machine:
    """A folder with a package database of its own; maintainer scripts run outside of it, with DPKG_ROOT."""

    def __init__(self, root):
        self.root = root
        for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log", "etc"):
            (root / folder).mkdir(parents=True)
        for file in ("var/lib/dpkg/status", "var/lib/dpkg/available", "etc/passwd", "etc/group"):
            (root / file).touch()

    def dpkg(self, *arguments):
        command = ["dpkg", f"--root={self.root}", "--force-script-chrootless", "--force-depends", "--force-confold", *map(str, arguments)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def status(self):
        command = ["dpkg-query", f"--admindir={self.root}/var/lib/dpkg", "-W", "-f", "${Status} ${Version}", "tintype"]
        return subprocess.run(command, capture_output=True, text=True).stdout

    def mode(self, path):
        return oct((self.root / path).stat().st_mode & 0o7777)


@pytest.fixture
def machine(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root installs packages")
    return Machine(tmp_path / "machine")


def test_the_package_is_installed_upgraded_and_removed(built, machine, tmp_path, monkeypatch):
    said = machine.dpkg("--install", deb_of(built))
    assert "systemctl enable --now tintype" in said
    assert machine.status() == f"install ok installed {VERSION}"
    # Whatever the package brought is there with its rights.
    assert machine.mode("usr/bin/tintype") == "0o755"
    user = re.search(r"^tintype:x:(\d+):(\d+):Tintype server:/var/lib/tintype:", (machine.root / "etc/passwd").read_text(), re.MULTILINE)
    settings = machine.root / "etc/tintype/tintype.toml"
    assert (settings.stat().st_uid, settings.stat().st_gid) == (0, int(user[2]))
    assert (machine.mode("etc/tintype"), machine.mode("etc/tintype/tintype.toml")) == ("0o750", "0o640")
    assert not (machine.root / "var/lib/tintype").exists()

    # The program of the package runs with its settings; an operator changes them.
    monkeypatch.setattr("tintype.PROGRAM", str(machine.root / "usr/bin/tintype"))
    settings.write_text(settings.read_text() + "\n[function]\nretries = 1\n")
    data = machine.root / "var/lib"
    server = Server(tmp_path / "run", settings.read_text())
    server.data = data / "tintype"
    server.start()
    body = sample_images.jpeg(320, 240)
    etag = server.client().put_object(Bucket=SOURCE, Key="photo.jpg", Body=body)["ETag"]
    server.thumbnail("thumb_photo.jpg", etag)
    assert server.stop() == 0

    newer = dist(tmp_path / "newer", "deb", more=["--version", NEXT])
    said = machine.dpkg("--install", deb_of(newer))
    assert "enable --now" not in said
    assert machine.status() == f"install ok installed {NEXT}"
    # Changed settings stay, with their owner and rights; images stay, and the server continues with them.
    assert settings.read_text().endswith("retries = 1\n")
    assert (settings.stat().st_gid, machine.mode("etc/tintype/tintype.toml")) == (int(user[2]), "0o640")
    server.start()
    assert server.client().get_object(Bucket=SOURCE, Key="photo.jpg")["Body"].read() == body
    server.thumbnail("thumb_photo.jpg", etag)
    assert server.stop() == 0
    Server.shown.remove(server)

    machine.dpkg("--remove", "tintype")
    assert machine.status() == f"deinstall ok config-files {NEXT}"
    assert not (machine.root / "usr/bin/tintype").exists()
    assert settings.exists()
    said = machine.dpkg("--purge", "tintype")
    assert "holds your images and stays" in said
    assert not settings.exists()
    # Neither images nor the owner of their files are the package's.
    assert (data / "tintype/ledger.redb").exists()
    assert "tintype:" in (machine.root / "etc/passwd").read_text()
    left = [path for path in machine.root.rglob("*tintype*") if not path.is_relative_to(data)]
    assert left == []


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not there")
def test_the_unit_is_understood_and_hardened(built, tmp_path):
    root = tmp_path / "root"
    subprocess.run(["dpkg-deb", "-x", deb_of(built), root], check=True)
    for target in ("network-online", "multi-user", "sysinit", "basic", "shutdown", "sockets", "timers", "paths", "slices", "local-fs", "swap"):
        (root / f"usr/lib/systemd/system/{target}.target").write_text("[Unit]\n")
    (root / "bin").mkdir()
    shutil.copy("/bin/kill", root / "bin/kill")
    verified = subprocess.run(
        ["systemd-analyze", f"--root={root}", "--man=no", "verify", "tintype.service"], capture_output=True, text=True, timeout=60
    )
    said = [line for line in verified.stderr.splitlines() if "tintype.service" in line]
    assert (verified.returncode, said) == (0, []), verified.stderr
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", root / "usr/lib/systemd/system/tintype.service"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    # 1.5 of 10.
    assert rated.returncode == 0, rated.stdout


def is_read(settings, folder):
    file = folder / "settings.toml"
    file.write_text(settings)
    ended = run("check", "--config", file, "--data", folder / "none", "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0", cwd=folder)
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    return [line["ok"] for line in found if line["check"] == "settings"] == [True]


def test_settings_of_the_packages_are_read(tmp_path):
    assert is_read((ROOT / "packaging/tintype.toml").read_text(), tmp_path)
    maps = [one["data"]["tintype.toml"] for one in manifests() if one["kind"] == "ConfigMap"]
    assert len(maps) == 2 and all(is_read(settings, tmp_path) for settings in maps)
    for service in programs():
        # Compose puts the key there, and refuses to start without one.
        settings, keys = re.subn(r"\$\{TINTYPE_API_KEY:\?[^}]+\}", "k" * 20, service["environment"]["TINTYPE_CONFIG"])
        assert keys == 1 and is_read(settings, tmp_path)


def compose(file="compose.yaml"):
    return yaml.safe_load((ROOT / "packaging/container" / file).read_text())["services"]


def programs():
    """The services that run the program."""
    workers = compose("workers.yaml")
    return [compose()["tintype"], workers["store"], workers["worker"]]


def toml_of(service):
    return tomllib.loads(re.sub(r"\$\{\w+:\?[^}]+\}", "x" * 20, service["environment"]["TINTYPE_CONFIG"]))


def test_the_workers_of_the_compose_file_reach_what_is_beside_them():
    services = compose("workers.yaml")
    store, worker = toml_of(services["store"]), toml_of(services["worker"])
    assert worker["store"]["endpoint"] == f"http://store:{store['listen']['s3'].rpartition(':')[2]}"
    assert worker["worker"]["source"] == "nats://nats:4222"
    [notify], [trigger] = store["notify"], store["trigger"]
    # The worker's subject and buckets are the defaults.
    assert notify["target"] == "nats://nats:4222/tintype.events"
    assert notify["bucket"] == trigger["bucket"] == SOURCE and trigger["destination"] == DESTINATION
    assert "--jetstream" in services["nats"]["command"]
    assert services["worker"]["deploy"]["replicas"] > 1
    assert set(services["worker"]["depends_on"]) == {"nats", "store"}
    assert services["nats"]["healthcheck"]["test"], "compose waits for it"


def test_workers_are_scaled_by_metrics_that_they_have():
    known = (ROOT / "docs/reference/metrics.md").read_text()
    [deployment] = [one for one in manifests() if one["kind"] == "Deployment"]
    [scaler] = [one for one in manifests() if one["kind"] == "HorizontalPodAutoscaler"]
    names = [metric["external"]["metric"]["name"] for metric in scaler["spec"]["metrics"]]
    assert all(f"`{name}` | gauge |" in known for name in names), names
    assert scaler["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"]}
    [keda] = yaml.safe_load_all((ROOT / "packaging/kubernetes/keda/workers.yaml").read_text())
    assert (keda["apiVersion"], keda["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
    assert keda["spec"]["scaleTargetRef"] == {"name": deployment["metadata"]["name"]}
    nats, prometheus = (trigger["metadata"] for trigger in keda["spec"]["triggers"])
    # KEDA's metadata are strings; stream and consumer are the defaults.
    assert all(isinstance(value, str) for value in (nats | prometheus).values())
    example = tomllib.loads((ROOT / "tintype.example.toml").read_text())["worker"]
    assert (nats["stream"], nats["consumer"]) == (example["stream"], example["consumer"])
    assert f"`{re.search(r'tintype_[a-z_]+', prometheus['query'])[0]}` | gauge |" in known


@pytest.mark.skipif(not program("nats-server"), reason="nats-server is not there")
def test_the_services_of_the_compose_file_make_thumbnails(tmp_path):
    """As composed, on this machine: other addresses alone."""
    services = compose("workers.yaml")
    nats = Nats(tmp_path)
    secret = "secret-of-the-store-0123456789"

    def adapted(name, env):
        service = services[name]
        text = service["environment"]["TINTYPE_CONFIG"].replace("nats://nats:4222", nats.url)
        text = re.sub(r"\[listen\]\n(?:\w+ = .*\n)+", "", text)
        env |= {key: value for key, value in service["environment"].items() if key != "TINTYPE_CONFIG" and "$" not in value}
        return re.sub(r"\$\{\w+:\?[^}]+\}", "x" * 20, text), env

    settings, env = adapted("store", {"TINTYPE_SECRET_ACCESS_KEY": secret})
    store = Server(tmp_path / "store", settings, env=env)
    workers = []
    try:
        store.start()
        settings, env = adapted("worker", {"AWS_SECRET_ACCESS_KEY": secret})
        credentials = env["AWS_ACCESS_KEY_ID"], secret
        for number in range(2):
            workers.append(Worker(tmp_path / f"worker-{number}", nats.url, store.s3_url, credentials, settings))
            workers[-1].start()
        client = client_of(store.s3_url, credentials)
        for number in range(8):
            etag = client.put_object(Bucket=SOURCE, Key=f"{number}.jpg", Body=sample_images.distinct_jpeg(f"composed {number}"))["ETag"]
            store.thumbnail(f"thumb_{number}.jpg", etag, client=client)
    finally:
        for server in (*workers, store):
            server.kill()
            Server.shown.remove(server)
        nats.kill()


def manifests():
    files = sorted((ROOT / "packaging/kubernetes").glob("*.yaml"))
    return [one for file in files for one in yaml.safe_load_all(file.read_text())]


def workloads():
    return [one for one in manifests() if one["kind"] in ("StatefulSet", "Deployment")]


def test_manifests_are_what_kubernetes_knows():
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for one in manifests():
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


def test_the_environment_of_the_manifest_is_read(tmp_path):
    [server] = [one for one in manifests() if one["kind"] == "StatefulSet"]
    [container] = server["spec"]["template"]["spec"]["containers"]
    # As Kubernetes expands it, with the secret's keys.
    environment = {}
    for one in container["env"]:
        value = one.get("value", f"secret-of-{one['name'].lower()}-0123456789")
        environment[one["name"]] = re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], value)
    ended = run("check", "--data", tmp_path / "none", "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0", cwd=tmp_path, env=environment)
    assert ended.returncode == 0, ended.stderr
    unknown = run("check", "--data", tmp_path / "none", cwd=tmp_path, env=environment | {"TINTYPE_API_KEY": "x"})
    assert unknown.returncode == 2, "a variable of another name is noticed"


def commands_of(words):
    """The command of a list of arguments of the program."""
    return next(word for word in words if not word.startswith("-") and not word.startswith("/"))


def test_commands_of_the_packages_are_known():
    container = (ROOT / "packaging/container/Containerfile").read_text()
    health = json.loads(re.search(r"HEALTHCHECK .* CMD (\[.*\])", container)[1])
    command = json.loads(re.search(r"^CMD (\[.*\])", container, re.MULTILINE)[1])
    containers = [container for one in workloads() for container in one["spec"]["template"]["spec"]["containers"]]
    composed = [service["command"] for service in programs() if "command" in service]
    composed += [service["healthcheck"]["test"][1:] for service in programs() if "healthcheck" in service]
    unit = re.search(r"^ExecStart=(.*)$", (ROOT / "packaging/systemd/tintype.service").read_text(), re.MULTILINE)[1].split()
    for words in (health, command, unit, *(container["args"] for container in containers), *composed):
        shown = run(commands_of(words), "--help")
        assert shown.returncode == 0, words
        for option in (word for word in words if word.startswith("--")):
            assert f"{option} " in shown.stdout.decode(), words


def test_images_have_one_name_and_this_version():
    images = [container["image"] for one in workloads() for container in one["spec"]["template"]["spec"]["containers"]]
    images += [service["image"] for service in programs()]
    assert set(images) == {f"{NAMES['image']}:{VERSION}"} and len(images) == 5
    [server] = [one for one in manifests() if one["kind"] == "StatefulSet"]
    # One owner of a data folder.
    assert server["spec"]["replicas"] == 1


def test_the_containerfile_has_no_findings():
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=ROOT / "target/venv/bin")
    if not hadolint:
        pytest.skip("hadolint is not there")
    ended = subprocess.run([hadolint, ROOT / "packaging/container/Containerfile"], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_nothing_but_one_file_names_where_it_comes_from():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = [
        path
        for path in filter(None, tracked.split("\0"))
        if (ROOT / path).is_file() and b"example.invalid" in (ROOT / path).read_bytes() and path != "e2e/test_packaging.py"
    ]
    assert named == ["packaging/names.toml"]
