"""Where things lie in this checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".laurel"  # logs and stamps of the verbs
LOGS = STATE / "logs"
BUILD = ROOT / "build"  # releases and wheelhouses
VENV = ROOT / ".venv"  # the controller's Python


def inventory(environment: str) -> Path:
    """The folder of an environment: hosts, group_vars and what is generated for it."""
    return ROOT / "ansible" / "inventories" / environment
