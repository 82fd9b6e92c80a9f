"""File formats: one file a format, torch-free, read on the assumption that the file is hostile."""
