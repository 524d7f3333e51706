"""Slates, stage by stage: candidates → filters → features → utility → ordering. All pure.

``streams/slates.py`` asks the stores and the ranker and calls these in that order.
"""
