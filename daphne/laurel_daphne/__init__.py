"""Runs Daphne with what a deployment needs: drain, backpressure, JSON logs, metrics and systemd readiness."""
