"""Learning from outcomes: who is right on what, how sure one can be, and whom to ask next."""
