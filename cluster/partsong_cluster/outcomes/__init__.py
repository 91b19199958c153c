"""Outcomes of runs: what each model answered by itself to each row, read back from journals, as a table that one can learn from."""
