"""Usage as it is asked for: what every way out tells of the same facts."""
