"""Locust users that tell the truth about latency. See loadtests/README.md."""
