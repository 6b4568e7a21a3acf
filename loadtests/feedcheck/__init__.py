"""The feed's promise, tried on a deployed environment: each message exactly once, in order, on every transport."""
