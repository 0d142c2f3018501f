"""Access keys of a server under test, and what S3 answers them."""

import json

from botocore.exceptions import ClientError

from tintype import run


def keys(server, *arguments):
    """Runs `tintype keys …` on a server; its lines as JSON."""
    done = run("keys", arguments[0], "--server", server.http_url, "--data", server.data, *arguments[1:])
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


class Key:
    """A key added to a server, with its client."""

    def __init__(self, server, name, *rights):
        self.name, self.server = name, server
        self.use(keys(server, "add", name, *rights)[0])

    def use(self, pair):
        self.id, self.secret = pair["access_key_id"], pair["secret_access_key"]
        self.s3 = self.server.client(self.id, self.secret)
        return self

    @property
    def basic(self):
        return (self.id, self.secret)


def code(call, **arguments):
    """The code that S3 answers a call with; None: it was done."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def audit(server):
    lines = [line for line in server.log_text().splitlines() if '"decision":' in line]
    return [json.loads(line) for line in lines]
