"""A cluster of several Ray nodes and a PostgreSQL on one machine, for whoever tries Partsong."""
