"""What files say: until when a certificate is good, when the last backup was proved."""

import ssl
import subprocess
from pathlib import Path

from .text import Family


def certificates(paths):
    ends = Family("laurel_certificate_not_after_seconds", "gauge", "Unix time at which a certificate ends")
    for path in paths:
        done = subprocess.run(["openssl", "x509", "-enddate", "-noout", "-in", path], capture_output=True, text=True, timeout=10)
        if done.returncode == 0:
            ends.add(ssl.cert_time_to_seconds(done.stdout.strip().partition("=")[2]), path=path)
    return [ends]


def backups(mark):
    """Each backup that was proved writes its time into `mark`; before the first, it is as old as the deploy that made the file."""
    made = Family("laurel_backup_proved_seconds", "gauge", "Unix time of the last backup that was restored and compared")
    path = Path(mark)
    try:
        text = path.read_text()
        made.add(float(text) if text.strip() else path.stat().st_mtime)
    except (OSError, ValueError):
        made.add(0)
    return [made]
