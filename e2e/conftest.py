import itertools
import os

import pytest

from tintype import FOREIGN, Server

# Nobody's settings or proxies reach the clients in this process either.
for name in [name for name in os.environ if FOREIGN.match(name)]:
    del os.environ[name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server with default settings, shared by tests that leave each other alone."""
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
    """An empty bucket of the test's own that no trigger watches."""
    name = f"bucket-{next(numbers)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def new_server(tmp_path):
    """Makes servers of the test's own; they end with it."""
    made = []

    def make(name="own", **how):
        made.append(Server(tmp_path / name, **how))
        return made[-1]

    yield make
    for server in made:
        server.kill()
        Server.shown.remove(server)


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
