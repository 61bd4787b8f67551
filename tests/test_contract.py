from tests.contract import TestContract, TestRichContract

__all__ = ["TestContract", "TestRichContract"]
