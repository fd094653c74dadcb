"""Operations (R4 operations.html): one in a file; which there are says ``offered.py``."""
