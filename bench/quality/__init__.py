"""How good the engine's answers are on real data: each figure has one source here, which tests and commands share.

A module measures one part and says in ``figures`` what is worth a line of ``pinstream evaluate``; the tests in
``tests/quality`` call the same functions and hold the figures to what was promised.
"""
