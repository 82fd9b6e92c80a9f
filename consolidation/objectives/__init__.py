"""What a model is trained and scored by."""
