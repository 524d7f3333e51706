"""The transforms that ship, by what they are about. Importing this registers them."""

from operators.linchpin.transforms import ids, models, numbers, times, unknown, vectors

__all__ = ["ids", "models", "numbers", "times", "unknown", "vectors"]
