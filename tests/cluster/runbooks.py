"""The commands of the runbooks: lines of their `sh` blocks, with what each has to show."""

import re
from dataclasses import dataclass

SHOWS = re.compile(r"^(?P<command>.*?)\s+#\s+shows:\s+(?P<text>.+)$")
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Command:
    text: str
    shows: str = ""  # the test looks for it in what the command says


def commands(runbook, heading):
    """The commands below a heading, in order; a comment alone is none."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", runbook, re.DOTALL | re.MULTILINE)
    found = []
    for block in BLOCK.findall(section[1]):
        for line in block.splitlines():
            if match := SHOWS.match(line):
                found.append(Command(match["command"].strip(), match["text"].strip()))
            elif line.strip() and not line.lstrip().startswith("#"):
                found.append(Command(line.partition("  #")[0].strip()))
    return found
