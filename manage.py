#!/usr/bin/env python
"""Nocturne's administrative commands; `manage.py up` starts everything."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run one command. A wrong setting is a sentence and exit code 1, never a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.config.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as problem:
        # The only file that settings make is the secret key in the data folder.
        code = "data.not_writable" if isinstance(problem.__cause__, OSError) else "settings.invalid"
        print(f"{problem} [{code}]", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
