"""Chaos on a cluster: a submitted job on several hosts while nodes, networks and stores fail; what came of it, counted at the provider."""
