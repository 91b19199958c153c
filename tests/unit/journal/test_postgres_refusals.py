"""What the driver raises, and what is done about it."""

from asyncpg.exceptions import InternalClientError

from partsong.journal.postgres_refusals import kind_of


def test_a_connection_that_the_driver_has_lost_track_of_is_made_again():
    assert kind_of(InternalClientError("cannot switch to state 15; another operation (2) is in progress")) == "lost"
