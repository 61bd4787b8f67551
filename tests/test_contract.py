from tests.contract import TestContract

__all__ = ["TestContract"]
