"""Waiting for something to become so, with an end."""

import time

PATIENCE = 60


def until(condition, what, seconds=PATIENCE):
    """Asks again and again until `condition()` answers something true, and answers that."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not so within {seconds} s: {what}"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)
