"""Locustfiles: `locust -f loadtests/scenarios/<name>.py --host https://…`."""
