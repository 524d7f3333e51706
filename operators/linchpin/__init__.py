"""Linchpin: features and models as ``output <- Transform(inputs){parameters}``. All pure.

text → tokens → tree → graph (checked) → program (pruned) → columns. ``docs/linchpin.md`` has the grammar. After
Pinterest's Linchpin (2015); transforms here are plain Python functions over numpy columns.
"""
