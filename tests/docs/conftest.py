"""The small copy of the repository in which the pages' commands are run."""

import pytest
from small_checkout import SmallCheckout


@pytest.fixture(scope='session')
def checkout(tmp_path_factory):
    """The copy, and a Python in it that starts at once."""
    made = SmallCheckout(tmp_path_factory.mktemp('checkout'))
    yield made
    made.close()
