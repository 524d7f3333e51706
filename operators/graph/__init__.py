"""The live graph of pins and boards, and walks over it. ``docs/graph.md`` says what is computed and from where."""
