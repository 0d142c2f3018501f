"""Killed at random moments under load; `killing.py` has the long run."""

import pytest

from killing import kill_again_and_again


@pytest.mark.parametrize("seed", [1])
def test_what_was_acknowledged_outlives_every_kill(new_server, seed):
    kill_again_and_again(new_server(), kills=20, seed=seed)
