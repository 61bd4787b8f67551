"""``TorchDispatchMode``, which is not a public API of torch; where torch lacks it, entering it raises NotImplementedError."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode
else:
    try:
        from torch.utils._python_dispatch import TorchDispatchMode
    except ImportError:

        class TorchDispatchMode:
            def __enter__(self):
                raise NotImplementedError("this torch has no TorchDispatchMode")

            def __exit__(self, *error):
                pass
