"""Waiting for a condition, with a time-out."""

import time

TIMEOUT_SECONDS = 60


def until(condition, what, seconds=TIMEOUT_SECONDS):
    """Polls until `condition()` returns a true value, and returns that."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)
