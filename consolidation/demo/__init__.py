"""A model that really forgets, for people without data of their own."""
