"""Encoders: which one serves, which have an index beside it, and how one takes the place of another."""
