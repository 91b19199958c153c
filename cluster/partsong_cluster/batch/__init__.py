"""The batch run: rows in, one answer per row out, in a folder that can always be resumed."""
