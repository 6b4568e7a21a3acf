"""Why the server ends a socket or a stream. 40xx: do not come back, 41xx: back off, 42xx and 1012: come back now."""

BAD_REQUEST = 4000
SESSION_OVER = 4001
NO_SUCH_FEED = 4004
TOO_MANY_CONNECTIONS = 4101
TOO_MANY_MESSAGES = 4102
BUSY = 4103
TIME_IS_UP = 4200
ASK_AGAIN = 4201  # the user logged out elsewhere: whose session still holds is let in again
REPLACED = 1012
