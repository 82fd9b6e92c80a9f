"""The demo for a person without data: a small model that really learns five tasks and really forgets them."""
