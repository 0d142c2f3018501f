"""Workers killed and cut off at random; `killing_workers.py` has the long run."""

import pytest

from killing_workers import Size, run
from worker import program


@pytest.mark.skipif(program("nats-server") is None, reason="nats-server is not installed")
@pytest.mark.timeout(600)
def test_every_image_has_its_newest_thumbnail(tmp_path):
    run(tmp_path, Size(uploads=240, kills=8, cuts=4, workers=3), seed=1)
