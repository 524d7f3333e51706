"""Related pins: what was clicked in place of what, and how the sources are joined."""
