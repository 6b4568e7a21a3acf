"""Mosquitto's password hashes, so that the file is written from the secrets and a second run changes nothing."""

import base64
import hashlib

ITERATIONS = 101  # Mosquitto's own; a generated password of 40 characters needs no slower hash


def mosquitto_hash(password, name):
    """Return `$7$iterations$salt$hash`: PBKDF2 with SHA-512. The salt is a fixed one for each name and password."""
    salt = hashlib.sha256(f"mosquitto:{name}:{password}".encode()).digest()[:12]
    found = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return f"$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(found).decode()}"


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        return {"mosquitto_hash": mosquitto_hash}
