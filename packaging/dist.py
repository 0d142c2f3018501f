"""Packs a program into what is distributed: tarball, Debian package, context of the container image, checksums.

The same program, sources and time give the same bytes: times are SOURCE_DATE_EPOCH, owners root, orders by name.
scripts/dist calls this; see its help.
"""

import argparse
import datetime
import email.utils
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from pathlib import Path

import man_pages
import sbom

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "packaging"
NAMES = tomllib.loads((HERE / "names.toml").read_text())
PACKAGE = NAMES["package"]
COMPLETIONS = {"bash": "tintype.bash", "zsh": "_tintype", "fish": "tintype.fish"}
# Debian's name of an architecture, by the first bytes of the program: its ELF machine.
MACHINES = {62: ("x86_64", "amd64"), 183: ("aarch64", "arm64")}


def version():
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def machine(program):
    head = program.read_bytes()[:20]
    number = int.from_bytes(head[18:20], "little")
    if head[:4] != b"\x7fELF" or number not in MACHINES:
        raise SystemExit(f"dist: {program} is no program for Linux on {' or '.join(name for name, _ in MACHINES.values())}")
    return MACHINES[number]


def is_static(program):
    """Whether it needs no dynamic linker."""
    data = program.read_bytes()
    offset, size, count = (int.from_bytes(data[at : at + length], "little") for at, length in ((32, 8), (54, 2), (56, 2)))
    kinds = (int.from_bytes(data[offset + number * size :][:4], "little") for number in range(count))
    return 3 not in kinds


class Dist:
    """The files of a release, by what they are."""

    def __init__(self, program, version, epoch):
        self.program, self.version, self.epoch = program, version, epoch
        self.architecture, self.debian = machine(program)
        date = subprocess.run(["date", "-u", "-d", f"@{epoch}", "+%Y-%m-%d"], capture_output=True, text=True, check=True)
        self.date = date.stdout.strip()
        self.completions = {
            name: subprocess.run([program, "completions", shell], capture_output=True, check=True).stdout
            for shell, name in COMPLETIONS.items()
        }
        self.man = {name: text.encode() for name, text in man_pages.pages(program, self.date, version)}
        self.sbom = (json.dumps(sbom.document(version, epoch), indent=1) + "\n").encode()
        self.licences = sbom.licences().encode()

    def packed(self, data):
        """Compressed by gzip, without name and time."""
        out = io.BytesIO()
        with gzip.GzipFile(fileobj=out, mode="wb", mtime=0, compresslevel=6) as file:
            file.write(data)
        return out.getvalue()

    def tarball(self, out):
        name = f"{PACKAGE}-{self.version}-{self.architecture}-linux"
        files = {
            "tintype": (0o755, self.program.read_bytes()),
            "THIRD-PARTY-LICENSES.txt": (0o644, self.licences),
            "tintype.cdx.json": (0o644, self.sbom),
        }
        for path in ("LICENSE-APACHE", "LICENSE-MIT", "README.md", "CHANGELOG.md", "tintype.example.toml"):
            files[path] = (0o644, (ROOT / path).read_bytes())
        for path in ("systemd/tintype.service", "systemd/tintype.sysusers", "tintype.toml"):
            files[path] = (0o644, (HERE / path).read_bytes())
        files |= {f"completions/{file}": (0o644, text) for file, text in self.completions.items()}
        files |= {f"man/man1/{file}": (0o644, text) for file, text in self.man.items()}
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path, (mode, data) in sorted(files.items()):
                member = tarfile.TarInfo(f"{name}/{path}")
                member.mode, member.mtime, member.size = mode, self.epoch, len(data)
                member.uname = member.gname = "root"
                tar.addfile(member, io.BytesIO(data))
        file = out / f"{name}.tar.gz"
        file.write_bytes(self.packed(archive.getvalue()))
        return file

    def deb(self, out):
        file = out / f"{PACKAGE}_{self.version}_{self.debian}.deb"
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary) / "root"
            self.debian_files(root)
            self.debian_control(root)
            for path in [root, *root.rglob("*")]:
                os.utime(path, (self.epoch, self.epoch))
            environment = os.environ | {"SOURCE_DATE_EPOCH": str(self.epoch)}
            command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(root), str(file)]
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        return file

    def debian_files(self, root):
        documents = f"usr/share/doc/{PACKAGE}"
        files = {
            "usr/bin/tintype": self.program.read_bytes(),
            "usr/lib/systemd/system/tintype.service": (HERE / "systemd/tintype.service").read_bytes(),
            "usr/lib/sysusers.d/tintype.conf": (HERE / "systemd/tintype.sysusers").read_bytes(),
            "etc/tintype/tintype.toml": (HERE / "tintype.toml").read_bytes(),
            f"{documents}/copyright": self.copyright(),
            f"{documents}/THIRD-PARTY-LICENSES.txt.gz": self.packed(self.licences),
            f"{documents}/tintype.cdx.json": self.sbom,
            f"{documents}/changelog.gz": self.packed(self.debian_changelog()),
            f"{documents}/CHANGELOG.md.gz": self.packed((ROOT / "CHANGELOG.md").read_bytes()),
            f"{documents}/tintype.example.toml": (ROOT / "tintype.example.toml").read_bytes(),
            "usr/share/bash-completion/completions/tintype": self.completions["tintype.bash"],
            "usr/share/zsh/vendor-completions/_tintype": self.completions["_tintype"],
            "usr/share/fish/vendor_completions.d/tintype.fish": self.completions["tintype.fish"],
        }
        files |= {f"usr/share/man/man1/{file}.gz": self.packed(text) for file, text in self.man.items()}
        for path, data in files.items():
            written(root / path, data, 0o755 if path.startswith("usr/bin/") else 0o644)

    def debian_changelog(self):
        """In Debian's form, which has one section for each package of the archive."""
        date = email.utils.format_datetime(datetime.datetime.fromtimestamp(self.epoch, datetime.timezone.utc))
        lines = [f"{PACKAGE} ({self.version}) unstable; urgency=medium", "", "  * See CHANGELOG.md.gz.", "", f" -- {NAMES['maintainer']}  {date}"]
        return "\n".join([*lines, ""]).encode()

    def copyright(self):
        head = (
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
            f"Upstream-Name: {PACKAGE}\nSource: {NAMES['homepage']}\n"
            "Comment: The licences of the crates that are linked in are in THIRD-PARTY-LICENSES.txt.gz.\n\n"
            "Files: *\nCopyright: the authors of Tintype\nLicense: MIT or Apache-2.0\n\n"
        )
        text = (ROOT / "LICENSE-MIT").read_text().strip()
        mit = "\n".join(f" {line}" if line.strip() else " ." for line in text.splitlines())
        apache = " On Debian the text is in /usr/share/common-licenses/Apache-2.0."
        return f"{head}License: MIT\n{mit}\n\nLicense: Apache-2.0\n{apache}\n".encode()

    def debian_control(self, root):
        # In KiB, as dpkg counts it.
        size = sum(-(-path.stat().st_size // 1024) for path in root.rglob("*") if path.is_file())
        # A static program needs no library.
        libraries = "" if is_static(self.program) else ", libc6 (>= 2.36), libgcc-s1"
        control = {
            "Package": PACKAGE,
            "Version": self.version,
            "Architecture": self.debian,
            "Section": "net",
            "Priority": "optional",
            "Installed-Size": str(size),
            "Depends": f"systemd | systemd-standalone-sysusers{libraries}",
            "Recommends": "ca-certificates",
            "Maintainer": NAMES["maintainer"],
            "Homepage": NAMES["homepage"],
            "Description": f"{NAMES['summary']}\n"
            " An S3 endpoint, a durable queue, the function that renders thumbnails, an\n"
            " HTTP API and a console in one program. The service listens on this machine\n"
            " only, and is not started by the installation.",
        }
        folder = root / "DEBIAN"
        written(folder / "control", "".join(f"{name}: {value}\n" for name, value in control.items()).encode(), 0o644)
        written(folder / "conffiles", b"/etc/tintype/tintype.toml\n", 0o644)
        for script in ("postinst", "prerm", "postrm"):
            written(folder / script, (HERE / "debian" / script).read_bytes(), 0o755)
        files = sorted(path for path in root.rglob("*") if path.is_file() and folder not in path.parents)
        sums = (f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in files)
        written(folder / "md5sums", "".join(sums).encode(), 0o644)

    def image_context(self, out):
        """A folder to build the image from, with its Containerfile."""
        if not is_static(self.program):
            raise SystemExit(f"dist: {self.program} is not static, and an image FROM scratch has no libraries")
        folder = out / "image"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "data").mkdir(parents=True)
        shutil.copy(HERE / "container/Containerfile", folder)
        written(folder / "tintype", self.program.read_bytes(), 0o755)
        return folder


def written(path, data, mode):
    """Writes a file; its folders get the usual rights, whatever the umask is."""
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir()
            folder.chmod(0o755)
    path.write_bytes(data)
    path.chmod(mode)


def checksums(out):
    """The SHA-256 of each file of a release, as sha256sum reads them."""
    files = sorted(path for path in out.iterdir() if path.is_file() and re.search(r"\.(tar\.gz|deb|cdx\.json)$", path.name))
    lines = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (out / "SHA256SUMS").write_text("".join(lines))


def main():
    parser = argparse.ArgumentParser(prog="scripts/dist")
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--version", default=version())
    parser.add_argument("--epoch", type=int, required=True)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    dist = Dist(chosen.program.resolve(), chosen.version, chosen.epoch)
    for part in chosen.parts:
        made = {"tarball": dist.tarball, "deb": dist.deb, "image-context": dist.image_context}[part](chosen.out)
        print(made)
    (chosen.out / f"{PACKAGE}-{dist.version}.cdx.json").write_bytes(dist.sbom)
    checksums(chosen.out)


if __name__ == "__main__":
    main()
