"""The phases of a night, one file each."""
