"""Memories: how they are stored, which are kept, and in what order they are replayed."""
