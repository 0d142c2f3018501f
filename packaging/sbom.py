"""The bill of materials of the program, in CycloneDX's JSON, and the licences of what is in it, both from cargo's metadata."""

import datetime
import json
import re
import subprocess
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"
LICENCE_FILE = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)


def metadata():
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)


def linked(known, root="tintype"):
    """The packages that the program is built from, tests apart, by their id; and what each depends on."""
    nodes = {node["id"]: node for node in known["resolve"]["nodes"]}
    packages = {package["id"]: package for package in known["packages"]}
    [first] = [id for id in known["workspace_members"] if packages[id]["name"] == root]
    edges, todo = {}, [first]
    while todo:
        id = todo.pop()
        if id in edges:
            continue
        kinds = ((other["pkg"], {kind["kind"] for kind in other["dep_kinds"]}) for other in nodes[id]["deps"])
        edges[id] = sorted(other for other, kind in kinds if kind - {"dev"})
        todo += edges[id]
    return first, packages, edges


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, kind="library"):
    found = {"type": kind, "bom-ref": purl(package), "name": package["name"], "version": package["version"]}
    if package["license"]:
        # Crates of some years ago write "MIT/Apache-2.0".
        found["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}]
    found["purl"] = purl(package)
    return found


def document(version, epoch):
    """The bill of materials. The same sources and time give the same bytes."""
    first, packages, edges = linked(metadata())
    own = component(packages[first] | {"version": version}, "application")
    known = {id: own["bom-ref"] if id == first else purl(packages[id]) for id in edges}
    libraries = sorted((component(packages[id]) for id in edges if id != first), key=lambda one: one["bom-ref"])
    time = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    names = "\n".join([own["bom-ref"], *(one["bom-ref"] for one in libraries)])
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, names)}",
        "version": 1,
        "metadata": {"timestamp": time, "component": own},
        "components": libraries,
        "dependencies": sorted(
            ({"ref": known[id], "dependsOn": sorted(known[other] for other in others)} for id, others in edges.items()),
            key=lambda one: one["ref"],
        ),
    }


def licences():
    """The licence texts of all crates that are linked, each text once with the crates that have it."""
    first, packages, edges = linked(metadata())
    texts, without = {}, []
    for package in sorted((packages[id] for id in edges if packages[id]["source"]), key=lambda one: (one["name"], one["version"])):
        folder = Path(package["manifest_path"]).parent
        files = sorted(file for file in folder.rglob("*") if file.is_file() and LICENCE_FILE.match(file.name) and file.suffix != ".rs")
        if not files:
            without.append(f"{package['name']} {package['version']}: {package['license']}")
        for file in files:
            text = file.read_text(errors="replace").replace("\r\n", "\n").strip()
            texts.setdefault(text, []).append(f"{package['name']} {package['version']} ({file.relative_to(folder)})")
    # What lies in the sources and is of others, such as a font.
    for file in sorted((ROOT / "crates").rglob("LICENSE*")):
        text = file.read_text().strip()
        texts.setdefault(text, []).append(f"{file.parent.relative_to(ROOT)}: {(file.parent / 'README.md').read_text().splitlines()[0]}")
    parts = ["Tintype holds and is linked with what is named below, under these licences.\n"]
    for text, names in sorted(texts.items(), key=lambda one: one[1]):
        parts.append(f"{'=' * 100}\n" + "\n".join(names) + f"\n{'-' * 100}\n{text}\n")
    if without:
        parts.append(f"{'=' * 100}\nWithout a licence text in their package:\n" + "\n".join(without) + "\n")
    return "\n".join(parts)
