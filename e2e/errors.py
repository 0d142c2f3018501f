"""Refusals of S3, by code and status."""

import contextlib

import pytest
from botocore.exceptions import ClientError


@contextlib.contextmanager
def refused(code, status=None, words=None):
    """The block must be refused with this code, status and text in the message."""
    with pytest.raises(ClientError) as caught:
        yield caught
    error = caught.value.response["Error"]
    found = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert error["Code"] == code, f"{error} with {found}"
    assert status is None or found == status, f"{error} with {found}"
    if words:
        assert words.lower() in error["Message"].lower(), error
