"""One command that runs the database, the web, the workers and the clock, and keeps them running."""
