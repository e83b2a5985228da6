"""Whose call was it? Fronts in many runtimes, loaded all at once: right, wrong or unbound, row by row."""
