"""Annotations: phrases that say what a pin is about, with confidence, and pins found by such phrases."""
