"""`python -m laurel_mqtt path.to.asgi:application --broker mqtts://host:8883`."""

import sys

from laurel_mqtt.cli import main

sys.exit(main())
