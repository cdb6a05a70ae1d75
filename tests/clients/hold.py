"""A visit that lasts until the story lets it go."""
import os
import time
from pathlib import Path


def hold():
    run, end = Path(os.environ["RUN"]), time.monotonic() + 20
    (run / "held").touch()
    while not (run / "go").exists() and time.monotonic() < end:
        time.sleep(0.01)
