"""An open training set: songs made of openly licensed notes, hits, voices and sound fonts. Needs the extra `songs`."""
