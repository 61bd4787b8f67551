"""Settings of all property tests."""

from hypothesis import settings

settings.register_profile("lamina", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("lamina")
