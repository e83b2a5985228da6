"""`python -m rbinder` is the same as the `rbinder` command."""

import sys

from rbinder.cli import main

sys.exit(main())
