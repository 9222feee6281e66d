"""`python -m oddgan` is the command `oddgan`."""

import sys

from .cli import main

sys.exit(main())
