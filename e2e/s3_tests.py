"""Runs ceph/s3-tests, where that suite is at hand, against a server of this build, and compares with the list of tests that
pass, s3_tests_passing.txt, recorded with the suite's commit 8f0ae7b404. A test of the list that does not pass fails the run;
RECORD=1 writes the list again.

    git clone https://github.com/ceph/s3-tests DIR
    python e2e/s3_tests.py --suite DIR [--tests EXPRESSION] [--python PYTHON]

PYTHON is one with the suite's requirements (boto3, PyYAML, munch, gevent, isodate, requests, pytz, httplib2, lxml, pytest); by
default the one that this runs with. The server has two users, each an access key, and storage.block_public_access = false.
"""

import argparse
import configparser
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from access_keys import keys
from tintype import Server, environment

LIST = Path(__file__).parent / "s3_tests_passing.txt"
FILES = ["s3tests/functional/test_s3.py", "s3tests/functional/test_headers.py"]
# What is not offered (docs/reference/s3.md) takes most of the time to be refused.
LEFT_OUT = "lifecycle or versioning or object_lock or encryption or sse_s3 or cloud_transition or cloud_restore or bucket_logging"
# Counted apart, by the first expression that a test's name matches. The first group needs what is absent on purpose
# (docs/reference/s3.md): versioning (`current_if`, too), encryption by keys of clients, Signature Version 2, torrents, and
# operations of Ceph's own.
GROUPS = [
    (
        "not offered",
        r"version|object_lock|lifecycle|encrypt|copy_enc|copy_part_enc|aws2$|presigned_\w+_v2$|torrent|delete_marker"
        r"|put_current_|_current_if_|usage|head_extended|unordered|restore",
    ),
    (
        "policies, ACLs, public access, tags, ownership",
        r"policy|_acl|access_bucket|public_block|block_public|ignore_public|_tag|ownership|owner_enforced|owner_preferred"
        r"|object_writer",
    ),
    ("forms", r"post_object"),
    ("CORS", r"cors"),
    ("core", r""),
]
# What every client uses, counted besides: the core, and the same operations (conditional, copies, listings, buckets) with
# versions or as Ceph extends them, which are not offered and count as failed.
EVERY_CLIENT = (
    r"_current_if_|_version_if_match|put_current_|copy_versioned|object_copy_versioning|list_return_data_versioning|unordered"
    r"|head_extended|usage"
)
USERS = ["s3 main", "s3 alt", "s3 tenant", "iam", "iam root", "iam alt root"]


def configuration(server, folder):
    """The suite's, with a user that is an access key for each of its own."""
    host, port = server.s3_url.removeprefix("http://").split(":")
    config = configparser.RawConfigParser()
    config["DEFAULT"] = {"host": host, "port": port, "is_secure": "False", "ssl_verify": "False"}
    config["fixtures"] = {"bucket prefix": "s3t-{random}-"}
    for section in USERS:
        name = section.replace(" ", "-")
        (pair,) = keys(server, "add", name, "--policy", folder / "creator.json")
        config[section] = {
            "display_name": "tintype",
            "user_id": "tintype",
            "email": f"{name}@example.com",
            "access_key": pair["access_key_id"],
            "secret_key": pair["secret_access_key"],
            "tenant": "",
            "api_name": "",
        }
    path = folder / "s3tests.conf"
    with path.open("w") as file:
        config.write(file)
    return path


def passed(suite, python, config, tests):
    """The names of the tests that pass, and of all, skipped ones too."""
    report = config.with_name("report.xml")
    command = [python, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", "-m", f"not ({LEFT_OUT})"]
    command += [f"--junitxml={report}", *FILES, *(["-k", tests] if tests else [])]
    env = environment(S3TEST_CONF=str(config))
    ended = subprocess.run(command, cwd=suite, env=env, capture_output=True, text=True)
    cases = ElementTree.parse(report).findall(".//testcase") if report.exists() else []
    if not cases:
        sys.exit(f"the suite did not run:\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}")
    has_ended_otherwise = lambda case: any(case.find(end) is not None for end in ("failure", "error", "skipped"))
    name = lambda case: case.get("name").partition("[")[0]
    return {name(case) for case in cases if not has_ended_otherwise(case)}, {name(case) for case in cases}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", required=True, type=Path, help="a checkout of ceph/s3-tests")
    parser.add_argument("--tests", help="those that match an expression of pytest's -k")
    parser.add_argument("--python", default=sys.executable)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        # As an account may on S3: buckets of its own, and nothing in those of others.
        (folder / "creator.json").write_text(
            '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["s3:CreateBucket", "s3:PutBucketAcl",'
            ' "s3:PutBucketOwnershipControls"], "Resource": "*"}}'
        )
        server = Server(folder / "server", settings="[storage]\nblock_public_access = false\n").start()
        try:
            config = configuration(server, folder)
            passing, all_of_them = passed(arguments.suite, arguments.python, config, arguments.tests)
        finally:
            server.stop()
    print(f"{len(passing)} of {len(all_of_them)} pass")
    of_group = {name: next(group for group, names in GROUPS if re.search(names, name)) for name in all_of_them}
    for group, _ in GROUPS:
        names = {name for name in all_of_them if of_group[name] == group}
        print(f"  {group}: {len(names & passing)} of {len(names)}")
    names = {name for name in all_of_them if of_group[name] == "core" or re.search(EVERY_CLIENT, name)}
    print(f"  what every client uses: {len(names & passing)} of {len(names)}")
    if os.environ.get("RECORD") and not arguments.tests:
        LIST.write_text("".join(f"{name}\n" for name in sorted(passing)))
        return
    listed = set(LIST.read_text().split())
    lost = sorted((listed & all_of_them) - passing)
    for name in lost:
        print(f"does not pass any more: {name}")
    for name in sorted(passing - listed):
        print(f"passes, and is not in the list: {name}")
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
