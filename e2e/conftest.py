import itertools
import os

import pytest

from browser import PROGRAM, Browser
from tintype import FOREIGN, Server

# Settings and proxies of the environment must not reach the clients in this process.
OURS = ("TINTYPE_BIN", "TINTYPE_BOOTSTRAP")  # The processes that pytest-xdist starts need them.
for name in [name for name in os.environ if FOREIGN.match(name) and name not in OURS]:
    del os.environ[name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server with default settings, shared by independent tests."""
    server = Server(tmp_path_factory.mktemp("shared"))
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture(scope="session")
def s3(server):
    return server.client()


@pytest.fixture
def bucket(s3):
    """A new, empty bucket without a trigger."""
    name = f"bucket-{next(numbers)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def new_server(tmp_path):
    """A factory of servers that end with the test."""
    servers = []

    def create(name="own", **how):
        servers.append(Server(tmp_path / name, **how))
        return servers[-1]

    yield create
    for server in servers:
        server.kill()
        Server.shown.remove(server)


@pytest.fixture
def browser(tmp_path, request):
    """A browser that ends with the test; its window is as large as the test's module says."""
    assert PROGRAM, 'chromium is missing: "apt-get install chromium"'
    folder = tmp_path / "browser"
    folder.mkdir()
    opened = Browser(folder)
    opened.size(*getattr(request.module, "WINDOW", (1300, 1000)))
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def log_of_this_test():
    """A failure shows what servers logged since its test began."""
    for server in Server.shown:
        server.log_before = len(server.log_text())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for server in Server.shown:
            lines = server.log_text()[server.log_before :].splitlines()[-40:]
            report.sections.append((f"log of the server in {server.folder.name}", "\n".join(lines)))
    return report
