"""An ASGI server for MQTT: it keeps one session with a broker and gives its messages to an ASGI application."""
