"""The apps and systems: who they are, how they register and how they prove it."""
