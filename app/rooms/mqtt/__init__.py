"""The feed over MQTT: a consumer for an ASGI server with scope type `mqtt`.

    rooms/<room>/publish/<user>   to us: {"text": …, "key"?: …, "reply"?: topic}
    rooms/<room>/after/<user>     to us: {"after": id, "reply"?: topic}
    rooms/<room>/messages         from us: each message of the room as its frame; the newest is retained
    replies/<user>/…              from us: answers; a user chooses the topic, the default is replies/<user>

The broker does not say who published. Its access list lets a user write only where the topic ends in their own name,
so the name in the topic is the one that the broker has authenticated.
"""
