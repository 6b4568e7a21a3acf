"""Measures the MQTT server on this machine: `python -m bench` in mqtt/, or `make mqtt-bench`."""
