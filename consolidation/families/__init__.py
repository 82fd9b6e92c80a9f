"""Model families: one torch-free description and one adapter each."""
