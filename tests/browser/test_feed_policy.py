import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.skipif(not shutil.which("node"), reason="there is no node here; the other tests run the same code in a browser")
def test_what_a_feed_decides_without_a_browser():
    # Told rather than guessed: not every version sees from the text that a file is a module.
    command = ["node", "--experimental-default-type=module", "--test", Path(__file__).with_name("feed.test.mjs")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
