"""Everything that proves something about the portal."""
