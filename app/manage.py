#!/usr/bin/env python3
"""Run Django's management commands."""

import os
import sys


def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    from django.conf import settings
    from django.core.management import execute_from_command_line

    from project.environment import EnvironmentNotComplete

    try:
        # Django hides an error in the settings behind "Unknown command"; read them first.
        settings.INSTALLED_APPS  # noqa: B018
    except EnvironmentNotComplete as error:
        sys.exit(str(error))
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
