"""The gateway that these tests attack: one of their own, served like that of the acceptance tests, on each engine."""

from tests.acceptance.conftest import alone, jcn, service, smcc, till, vpc

__all__ = ["alone", "jcn", "service", "smcc", "till", "vpc"]
