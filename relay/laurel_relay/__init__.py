"""Moves an app host from one release to the next while it serves. Runs on the host, as root, on the standard library alone."""
