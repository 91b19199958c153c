"""Chaos: whole runs over Ray in which processes die, stand still or run out of memory; what came of it, counted at the provider."""
