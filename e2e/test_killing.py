"""Killed at random times under load; `killing.py` has the long run."""

import pytest

from killing import kill_repeatedly


@pytest.mark.parametrize("seed", [1])
def test_acknowledged_writes_survive_every_kill(new_server, seed):
    kill_repeatedly(new_server(), kills=20, seed=seed)
