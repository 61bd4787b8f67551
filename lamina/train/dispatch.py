"""``TorchDispatchMode``, which is not a public API of torch; where torch lacks it, entering it raises NotImplementedError."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode
else:
    try:
        from torch.utils._python_dispatch import TorchDispatchMode as _Mode
    except ImportError:  # another torch

        class TorchDispatchMode:
            def __enter__(self) -> None:
                raise NotImplementedError("this torch has no TorchDispatchMode")

            def __exit__(self, *error: object) -> None:
                pass
    else:

        class TorchDispatchMode(_Mode):
            @classmethod
            def _should_skip_dynamo(cls) -> bool:
                return False  # else the first use imports torch's compiler, 2 s, to switch off what is not used here
