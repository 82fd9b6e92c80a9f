"""The rivals of a night, and the night itself, behind one small protocol (`method.Method`)."""
