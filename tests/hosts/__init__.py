"""Hosts: machines on this machine, each with its own address, processes, files and cables; on them real Ray nodes and real services."""
