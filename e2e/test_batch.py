"""make and probe: the server's bounds; a bad file does not end the batch."""

import json
import os
import resource
import struct
import subprocess
import threading
import zlib

import pytest

import sample_images
from tintype import PROGRAM, environment, run

MIB = 1 << 20


def lines(ended):
    return [json.loads(line) for line in ended.stdout.decode().splitlines()]


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_bomb(width, height, bits=16, colour=6, interlaced=0):
    """A PNG of 69 bytes or so whose header declares a size."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def bmp_bomb(width, height):
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header + bytes(64)


def gif_bomb(side):
    screen = struct.pack("<HHBBB", side, side, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, side, side, 0x40) + b"\x02\x02\x4c\x01\0;"
    return b"GIF89a" + screen + frame


def jpeg_bomb(start, width, height):
    """Baseline (0xc0) or progressive (0xc2): tables, a frame, a scan of next to nothing."""
    three = range(1, 4)
    frame = struct.pack(">HBHHB", 17, 8, height, width, 3) + b"".join(bytes([i, 0x22, 0]) for i in three)
    tables = b"\xff\xdb\0\x43\0" + b"\1" * 64
    codes = b"".join(b"\xff\xc4" + struct.pack(">HB", 20, kind) + b"\1" + bytes(16) for kind in (0, 0x10))
    last = 0 if start == 0xC2 else 63
    scan = b"\xff\xda" + struct.pack(">HB", 12, 3) + b"".join(bytes([i, 0]) for i in three) + bytes([0, last, 0])
    return b"\xff\xd8" + tables + b"\xff" + bytes([start]) + frame + codes + scan + bytes(40) + b"\xff\xd9"


def webp_bomb(kind, side):
    if kind == b"VP8L":
        data = b"\x2f" + struct.pack("<I", (side - 1) | (side - 1) << 14) + bytes(40)
    else:
        data = b"\x10\x02\0\x9d\x01\x2a" + struct.pack("<HH", side, side) + bytes(40)
    body = b"WEBP" + kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff_bomb(side, bad=None):
    """One strip; `bad` is a tag that declares eight million values."""
    tags = {256: side, 257: side, 258: 16, 259: 1, 262: 1, 273: 200, 277: 1, 278: side, 279: 100}
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 8_000_000 if tag == bad else 1, tags.get(tag, 1))
        for tag in sorted({*tags} | ({bad} if bad else set()))
    )
    directory = struct.pack("<H", len(entries) // 12) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(400)


def bombs():
    yield "wide.png", png_bomb(300_000_000, 1)
    yield "tall.png", png_bomb(1, 300_000_000, interlaced=1)
    yield "square.png", png_bomb(17_000, 17_000, interlaced=1)
    yield "beyond.png", png_bomb(0x7FFF_FFFF, 0x7FFF_FFFF)
    yield "square.bmp", bmp_bomb(17_000, 17_000)
    yield "wide.bmp", bmp_bomb(290_000_000, 1)
    yield "interlaced.gif", gif_bomb(17_000)
    yield "baseline.jpg", jpeg_bomb(0xC0, 65_500, 4500)
    yield "progressive.jpg", jpeg_bomb(0xC2, 17_000, 17_000)
    yield "lossy.webp", webp_bomb(b"VP8 ", 16_383)
    yield "lossless.webp", webp_bomb(b"VP8L", 16_383)
    yield "strip.tif", tiff_bomb(12_000)
    yield "bits.tif", tiff_bomb(60, bad=258)
    yield "strips.tif", tiff_bomb(60, bad=273)
    yield "tables.tif", tiff_bomb(60, bad=530)


@pytest.fixture
def batch(tmp_path):
    """Bad files, and a good one before and after."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(sample_images.jpeg())
    for name, data in bombs():
        (folder / f"bomb {name}").write_bytes(data)
    (folder / "cut.png").write_bytes(sample_images.png()[:90])
    (folder / "empty.png").write_bytes(b"")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "fifo.png")
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "dangling.png").symlink_to("nowhere")
    (folder / "line\nbreak.png").write_bytes(b"no image")
    (folder / "linked.jpg").symlink_to(folder / "a.jpg")
    (folder / "z.png").write_bytes(sample_images.png())
    return sorted(folder.iterdir())


GOOD = {"a.jpg", "linked.jpg", "z.png"}


def errors_of(ended, files):
    """Each bad file has one line; returns them by name."""
    errors = ended.stderr.decode().splitlines()
    assert ended.returncode == 1, errors
    found = {}
    for file in files:
        shown = str(file).replace("\n", "\ufffd")
        named = [line for line in errors if line.startswith(f"tintype: {shown}: ")]
        assert len(named) == (0 if file.name in GOOD else 1), (file, named)
        found |= {file.name: line for line in named}
    assert len(errors) == len(found), errors
    return found


@pytest.mark.parametrize("address_space", [None, 1024 * MIB, 256 * MIB])
@pytest.mark.parametrize("jobs", [[], ["--jobs", "1"], ["--jobs", "3"]])
def test_make_names_each_bad_file_and_renders_the_rest(batch, tmp_path, address_space, jobs):
    bound = None
    if address_space:
        bound = lambda: resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    ended = subprocess.run(
        [PROGRAM, "make", *batch, "-o", tmp_path / "out", *jobs],
        capture_output=True,
        env=environment(),
        cwd=tmp_path,
        preexec_fn=bound,
        timeout=120,
    )
    errors = errors_of(ended, batch)
    assert {line["file"] for line in lines(ended)} == {str(file) for file in batch if file.name in GOOD}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"thumb_{name}" for name in sorted(GOOD)]
    assert "it is a FIFO, not a regular file" in errors["fifo.png"]
    assert "it is a folder, not a regular file" in errors["folder.png"]
    assert "it is a device, not a regular file" in errors["device.png"]
    assert "limits.pixels" in errors["bomb beyond.png"] and "TINTYPE_LIMITS__PIXELS" in errors["bomb beyond.png"]
    assert "TINTYPE_FUNCTION__MEMORY_MB" in errors["bomb wide.png"]


def test_probe_names_each_bad_file_and_reads_the_rest(batch, tmp_path):
    ended = run("probe", *batch, cwd=tmp_path)
    assert ended.returncode == 1
    read = {line["file"] for line in lines(ended)}
    assert {str(file) for file in batch if file.name in GOOD} <= read
    errors = ended.stderr.decode()
    for name in ("fifo.png", "folder.png", "device.png", "dangling.png", "empty.png"):
        assert f"{name}: " in errors and not any(name in file for file in read)


def test_the_bounds_are_the_settings(tmp_path):
    image = tmp_path / "a.png"
    image.write_bytes(sample_images.png(600, 300))
    size = image.stat().st_size

    def run_make(**env):
        ended = run("make", image, "-o", tmp_path / "out", env=env, cwd=tmp_path)
        return ended.returncode, ended.stderr.decode()

    assert run_make() == (0, "")
    code, errors = run_make(TINTYPE_LIMITS__SOURCE_BYTES=str(size - 1))
    assert code == 1 and f"the file has {size} bytes, more than the {size - 1} of limits.source_bytes" in errors, errors
    code, errors = run_make(TINTYPE_LIMITS__PIXELS="1000")
    assert code == 1 and "600x300 is 180000 pixels, more than the 1000 of limits.pixels" in errors, errors
    (tmp_path / "tintype.toml").write_text("[limits]\npixels = 2000\n")
    code, errors = run_make()
    assert code == 1 and "2000 of limits.pixels" in errors, errors
    assert run_make(TINTYPE_LIMITS__PIXELS="200000") == (0, "")
    code, errors = run_make(TINTYPE_FUNCTION__MEMORY_MB="7")
    assert code == 2 and "function.memory_mb" in errors, errors
    ended = run("probe", image, env={"TINTYPE_LIMITS__SOURCE_BYTES": "10"}, cwd=tmp_path)
    assert ended.returncode == 1 and b"limits.source_bytes" in ended.stderr


def test_an_obstacle_to_one_thumbnail_is_its_error_alone(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(sample_images.jpeg())
    out = tmp_path / "out"
    (out / "thumb_a.jpg").mkdir(parents=True)
    ended = run("make", *sorted(tmp_path.glob("*.jpg")), "-o", out, cwd=tmp_path)
    assert ended.returncode == 1
    errors = ended.stderr.decode()
    assert f"{out / 'thumb_a.jpg'}: " in errors and "move away what is there" in errors, errors
    assert len(errors.splitlines()) == 1 and len(lines(ended)) == 1
    assert sorted(path.name for path in out.iterdir()) == ["thumb_a.jpg", "thumb_b.jpg"]


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_no_other_file_is_written_through_a_temporary_name(tmp_path, link):
    (tmp_path / "a.jpg").write_bytes(sample_images.jpeg())
    other = tmp_path / "other"
    other.write_bytes(b"other")
    out = tmp_path / "out"
    out.mkdir()
    for name in ("thumb_a.jpg", "thumb_a.jpg.part"):
        link(other, out / name)
    ended = run("make", tmp_path / "a.jpg", "-o", out, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert other.read_bytes() == (out / "thumb_a.jpg.part").read_bytes() == b"other"
    assert (out / "thumb_a.jpg").read_bytes().startswith(b"\xff\xd8") and not (out / "thumb_a.jpg").is_symlink()
    assert sorted(path.name for path in out.iterdir()) == ["thumb_a.jpg", "thumb_a.jpg.part"]


def test_runs_into_one_folder_do_not_share_a_temporary_file(tmp_path):
    source = tmp_path / "a.png"
    source.write_bytes(sample_images.noise(900, 900))
    out = tmp_path / "out"
    out.mkdir()
    command = [PROGRAM, "make", source, "-o", out, "--size", "800x800"]
    runs = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(), cwd=tmp_path) for _ in range(8)]
    for one in runs:
        _, errors = one.communicate(timeout=120)
        assert one.returncode == 0, errors
    [thumbnail] = out.iterdir()
    assert run("probe", thumbnail, cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_a_closed_pipe_does_not_stop_the_batch(batch, tmp_path, closed):
    pipes = []

    def broken():
        read, write = os.pipe()
        os.close(read)
        pipes.append(write)
        return write

    out = broken() if closed != "stderr" else subprocess.DEVNULL
    err = broken() if closed != "stdout" else subprocess.DEVNULL
    ended = subprocess.run(
        [PROGRAM, "make", *batch, "-o", tmp_path / "out"],
        stdout=out,
        stderr=err,
        env=environment(),
        cwd=tmp_path,
        timeout=120,
    )
    for write in pipes:
        os.close(write)
    assert ended.returncode == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"thumb_{name}" for name in sorted(GOOD)]


def test_a_file_that_grows_and_shrinks_all_the_time_is_its_own_error(tmp_path):
    steady, changing = tmp_path / "steady.jpg", tmp_path / "changing.jpg"
    steady.write_bytes(sample_images.jpeg())
    whole = sample_images.jpeg() + bytes(4 * MIB)
    changing.write_bytes(whole)
    done = threading.Event()

    def change():
        with changing.open("r+b") as file:
            while not done.is_set():
                file.truncate(1000)
                file.seek(0)
                file.write(whole)
                file.flush()

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(5):
            ended = run("make", changing, steady, "-o", tmp_path / "out", cwd=tmp_path)
            assert ended.returncode in (0, 1), ended.stderr
            assert str(steady) in {line["file"] for line in lines(ended)}
    finally:
        done.set()
        changer.join()
