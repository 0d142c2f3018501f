"""The AWS CLI without its start-up time: one process loads it and forks for each call, with the arguments, environment, folder
and descriptors of the caller."""

import gc
import json
import os
import pty
import socket
import subprocess
import sys
import traceback

from tintype import environment

SERVICES = ("apigateway", "cloudformation", "cloudwatch", "lambda", "logs", "s3", "sqs", "sts")

# `aws` in PATH: passes its arguments, environment and descriptors on, and exits with the status returned.
CLIENT = """\
#!{python} -IS
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [b"."], [0, 1, 2])
server.sendall(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode())
server.shutdown(socket.SHUT_WR)
sys.exit(int(server.recv(8)))
"""


def run_script(command, aws, cli, answer=None, **env):
    """Runs the script `deploy` against an emulator with this CLI; at a terminal on which `answer` is typed, if there is one."""
    stdin = subprocess.DEVNULL
    if answer is not None:
        terminal, stdin = pty.openpty()
        os.write(terminal, answer.encode())
    settings = {"AWS_ENDPOINT_URL": aws.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1",
                "AWS_PAGER": "", "PATH": f"{cli.path}:{os.environ['PATH']}"}  # fmt: skip
    try:
        return subprocess.run([str(word) for word in command], stdin=stdin, capture_output=True, text=True, env=environment(**settings) | env)
    finally:
        if answer is not None:
            os.close(terminal)
            os.close(stdin)


class AwsCli:
    """`path` is the folder with `aws`; `calls` are the arguments of every call since the last `forget`."""

    def __init__(self, folder):
        self._calls = folder / "calls"
        self.forget()
        address = str(folder / "socket")
        self._server = subprocess.Popen([sys.executable, __file__, address, str(self._calls)], stdout=subprocess.PIPE)
        assert self._server.stdout.readline() == b"listening\n"
        self.path = folder / "bin"
        self.path.mkdir()
        client = self.path / "aws"
        client.write_text(CLIENT.format(python=sys.executable, address=address))
        client.chmod(0o755)

    def calls(self):
        return [json.loads(line) for line in self._calls.read_text().splitlines()]

    def forget(self):
        self._calls.write_text("")

    def stop(self):
        self._server.terminate()
        self._server.wait(30)
        self._server.stdout.close()


def serve(address, calls):
    load()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    print("listening", flush=True)
    while True:
        client, _ = listener.accept()
        # Reaps finished children; no call waits for one.
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            pass
        _, descriptors, _, _ = socket.recv_fds(client, 1, 3)
        with client.makefile("rb") as request:
            arguments, environment, folder = json.load(request)
        with open(calls, "a") as log:
            print(json.dumps(arguments), file=log)
        if os.fork() == 0:
            call(client, descriptors, arguments, environment, folder)
        for one in descriptors:
            os.close(one)
        client.close()


def load():
    """Imports the CLI and reads the models of SERVICES. Calls share only the models."""
    import awscli.clidriver
    import botocore.session

    session = awscli.clidriver.create_clidriver().session
    loader = session.get_component("data_loader")
    session.get_data("cli")
    for kind in ("service-2", "paginators-1", "waiters-2"):
        loader.list_available_services(kind)
    for service in SERVICES:
        session.create_client(service, region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
        session.get_paginator_model(service)
    session.get_waiter_model("cloudformation")
    botocore.session.create_loader = lambda _: loader
    # Keeps the memory shared with the children.
    gc.freeze()


def call(client, descriptors, arguments, environment, folder):
    import awscli.clidriver

    status = 255
    try:
        for target, source in enumerate(descriptors):
            os.dup2(source, target)
        # Set by the CLI at import: the folder of its data.
        data = os.environ["AWS_DATA_PATH"]
        os.environ.clear()
        os.environ.update(environment | {"AWS_DATA_PATH": data})
        os.chdir(folder)
        sys.argv = ["aws", *arguments]
        status = awscli.clidriver.main()
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        client.sendall(b"%d" % status)
        os._exit(0)


if __name__ == "__main__":
    serve(*sys.argv[1:])
