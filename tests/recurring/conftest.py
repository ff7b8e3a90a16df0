"""The gateways of the acceptance tests, for these tests too."""

from tests.acceptance.conftest import service, till, vpc

__all__ = ["service", "till", "vpc"]
