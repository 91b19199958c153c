"""Jobs: runs that go on in a cluster without whoever submitted them."""
