from tests.contract import TestContract, TestNetworkContract, TestRichContract, TestRichNetworkContract

__all__ = ["TestContract", "TestNetworkContract", "TestRichContract", "TestRichNetworkContract"]
