"""What `stde solve` imports by and by, at once."""

import tests.end_to_end.command  # noqa: F401
