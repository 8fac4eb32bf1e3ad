"""With `pytest -n 2` the tests of a file stay together, and of the planted bugs those of a chapter."""
import pytest


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling
    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid): return nodeid.rpartition("-" if "test_caught" in nodeid else "::")[0]
    return Together(config, log)
