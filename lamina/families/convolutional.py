"""The convolutional family: convolutional networks for images, series and texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from lamina.data.encoding import Input
from lamina.errors import OptionError
from lamina.families.branches import MixedFamily, default_augmentation
from lamina.families.chain import Chain
from lamina.families.readers import auto_option
from lamina.graph.graph import Graph
from lamina.graph.layers import Activation, Dense, Dropout, Flatten, Join, Norm, StepPool
from lamina.graph.layers.convolution import Convolution, GlobalPool, Pixels, Pool, RadialBasis, Subsample
from lamina.options import option
from lamina.tasks.head import Head
from lamina.tasks.losses import MAXIMUM_A_POSTERIORI
from lamina.tasks.task import Task

ARCHITECTURES = ("auto", "plain", "resnet", "lenet5", "lenet5_1998")
LENET_SIZE = 32

#: Which of the 6 maps of S2 each of the 16 maps of C3 reads (LeCun et al. 1998, table I).
LENET_TABLE = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)
CHANNELS, GPU_CHANNELS = 32, 128  # of the first stage
SMALLEST_SIDE = 7  # of a feature map: it is not pooled to a smaller one
LARGEST_SIDE = 48  # a larger image is first reduced by convolutions of stride 2


@dataclass
class Convolutional(MixedFamily):
    """Convolutional networks: the same weights at every place of an image, series or text.

    ======================  ==================================================================================================
    architecture            for images
    ======================  ==================================================================================================
    ``plain``               stages of two convolutions, each half as wide and high as the one before and with more channels
                            (Simonyan and Zisserman 2015, arXiv 1409.1556) and batch norm; "auto" for gray images
    ``resnet``              stages of a convolution and a residual block (He et al. 2016, arXiv 1512.03385); each pools
                            right after its first convolution, at half the cost; "auto" for colour
    ``lenet5``              the modern LeNet-5: relu, max pooling, dense outputs
    ``lenet5_1998``         the original LeNet-5 (LeCun et al. 1998, section II.B): trainable subsampling, connection table,
                            scaled tanh, radial basis outputs. Initialisation and training are ours
    ======================  ==================================================================================================

    A series is read by residual blocks with doubling dilation, until the receptive field is 100 steps or all of them (after
    Wang et al. 2017, arXiv 1611.06455, and Bai et al. 2018, arXiv 1803.01271); a text by parallel convolutions of several
    kernel sizes with max pooling over time (Kim 2014, arXiv 1408.5882), concatenated with the mean token embedding.

    Example:
        >>> from lamina.data.encoding import Input
        >>> from lamina.graph import Plan
        >>> family = Convolutional(architecture="lenet5_1998")
        >>> plan = Plan(family.graph({"image": Input((28, 28, 1), ("digit",), kind="image")}, 10))
        >>> [count for count in plan.parameters.values() if count]
        [156, 12, 1516, 32, 48120, 10164]
    """

    name: ClassVar[str] = "convolutional"
    reads: ClassVar[tuple[str, ...]] = ("image", "series", "text")

    architecture: str = option(
        "auto",
        "architecture for images; auto is plain for gray images and resnet for colour images",
        choices=ARCHITECTURES,
        blocks=("image",),
    )
    channels: int | str = auto_option(
        "channels of the first stage, up to four times as many in later ones; auto is 32, for colour images on a GPU 128",
        low=1,
        high=4096,
        blocks=("image",),
        tune=[16, 32, 64],
    )
    kernel_sizes: tuple[int, ...] = option(
        (2, 3, 4),
        "kernel sizes of the parallel convolutions of a text, in tokens",
        low=1,
        high=100,
        items=int,
        blocks=("text",),
        tune=[(2, 3, 4), (1, 2, 3), (3, 4, 5), (3,)],
    )
    filters: int = option(
        64,
        "number of filters: channels for series, and filters for each kernel size in a text",
        low=1,
        high=4096,
        blocks=("series", "text"),
        tune=(32, 256, "log"),
    )

    def graph(self, inputs: Mapping[str, Input], head: Head | int) -> Graph:
        graph = super().graph(inputs, head)
        units = head if isinstance(head, int) else head.units
        if units > 1 and self._is_original_lenet5(inputs):
            graph = graph.replace("head", RadialBasis(units))
        return graph

    def branch(self, graph: Graph, name: str, block: Input) -> str:
        if block.kind == "text":
            return self._text(graph, name, block)
        if block.kind == "series":
            return self._series(graph, name, block)
        architecture = ("plain" if block.shape[2] == 1 else "resnet") if self.architecture == "auto" else self.architecture
        if architecture.startswith("lenet5") and max(block.shape[:2]) > LENET_SIZE:
            raise OptionError(
                f"architecture {architecture!r} reads images of up to {LENET_SIZE} x {LENET_SIZE}, "
                f"but those of {block.names[0]!r} are {block.shape[0]} x {block.shape[1]}; "
                f"set image_size={LENET_SIZE}, or use another architecture"
            )
        chain = Chain(graph, name)
        if architecture.startswith("lenet5"):
            return self._lenet5(chain, original=architecture == "lenet5_1998")
        return self._plain(chain, block) if architecture == "plain" else self._resnet(chain, block)

    # -- images --------------------------------------------------------------------------------------------------------

    def _plain(self, chain: Chain, block: Input) -> str:
        side, stage = self._begin(chain, block), 0
        while side > SMALLEST_SIDE or not stage:
            stage += 1
            if stage > 1:
                side = side // 2
                chain.add(f"stage{stage}_pool", Pool("max"))
            for part in ("a", "b"):
                _normed(chain, f"stage{stage}_{part}", Convolution(self._width(stage), bias=False))
        return self._end(chain)

    def _resnet(self, chain: Chain, block: Input) -> str:
        side, stage = self._begin(chain, block), 0
        while side > SMALLEST_SIDE or not stage:
            stage += 1
            chain.add(f"stage{stage}_convolution", Convolution(self._width(stage), bias=False))
            if side > SMALLEST_SIDE:
                side = side // 2
                chain.add(f"stage{stage}_pool", Pool("max"))
            start = _norm(chain, f"stage{stage}")
            _normed(chain, f"stage{stage}_a", Convolution(self._width(stage), bias=False))
            _normed(chain, f"stage{stage}_b", Convolution(self._width(stage), bias=False))
            chain.add(f"stage{stage}", Join("add"), beside=start)
        return self._end(chain)

    def _begin(self, chain: Chain, block: Input) -> int:
        """Add the pixels and convolutions of stride 2 down to LARGEST_SIDE; return the side of the feature map."""
        chain.add("pixels", Pixels())
        side, halved = min(block.shape[:2]), 0
        while side > LARGEST_SIDE:
            side, halved = -(-side // 2), halved + 1
            _normed(chain, f"halved{halved}", Convolution(self._width(1), stride=2, bias=False))
        return side

    def _end(self, chain: Chain) -> str:
        chain.add("pooled", GlobalPool("max"))
        return chain.add("dropout", Dropout(self.dropout)) if self.dropout else chain.last

    def _width(self, stage: int) -> int:
        return (CHANNELS if self.channels == "auto" else int(self.channels)) * min(2 ** (stage - 1), 4)

    def _lenet5(self, chain: Chain, *, original: bool) -> str:
        activation, pool = ("lecun_tanh", Subsample()) if original else ("relu", Pool("max"))
        chain.add("pixels", Pixels(LENET_SIZE))
        chain.add("c1", Convolution(6, 5, activation, padding=0))
        chain.add("s2", pool)
        chain.add("c3", Convolution(16, 5, activation, padding=0, table=LENET_TABLE if original else ()))
        chain.add("s4", pool)
        chain.add("c5", Convolution(120, 5, activation, padding=0))
        chain.add("flat", Flatten())
        return chain.add("f6", Dense(84, activation, dropout=0.0 if original else self.dropout))

    # -- series and texts ----------------------------------------------------------------------------------------------

    def _series(self, graph: Graph, name: str, block: Input) -> str:
        chain = Chain(graph, name, *self.steps(graph, name, block))
        chain.add("stem", Convolution(self.filters, 7, "relu"))
        receptive, number, most = 7, 0, min(100, block.shape[0])
        while receptive < most or not number:
            number, start = number + 1, chain.last
            dilation = 2 ** (number - 1)
            chain.add(f"block{number}_norm", Norm("layer"))
            chain.add(f"block{number}_a", Convolution(self.filters, 5, "relu", dilation=dilation))
            chain.add(f"block{number}_b", Convolution(self.filters, 3, dilation=dilation, dropout=self.dropout))
            chain.add(f"block{number}", Join("add"), beside=start)
            receptive += 6 * dilation
        chain.add("norm", Norm("layer"))
        pooled = [chain.aside(kind, StepPool(kind)) for kind in ("mean", "max")]
        return chain.add("features", Join("concat"), after=pooled)

    def _text(self, graph: Graph, name: str, block: Input) -> str:
        chain = Chain(graph, name, *self.steps(graph, name, block))
        pooled = [chain.aside("mean", StepPool("mean"))]
        for window in self.kernel_sizes:
            convolved = chain.aside(f"window{window}", Convolution(self.filters, window, "relu"))
            pooled.append(chain.aside(f"window{window}_max", StepPool("max"), after=convolved))
        chain.add("features", Join("concat"), after=pooled)
        return chain.add("dropout", Dropout(self.dropout))

    # -- training ------------------------------------------------------------------------------------------------------

    def prefers(self, *, rows: int, inputs: Mapping[str, Input], task: Task, device: str = "cpu") -> dict[str, Any]:
        preferred = super().prefers(rows=rows, inputs=inputs, task=task, device=device)
        augment = default_augmentation(inputs)
        if augment is None:
            return preferred
        from lamina.train.threads import has_bfloat16  # it loads torch

        preferred |= {
            "schedule": "one_cycle",
            "epochs": max(10, min(100, (800_000 if "flip" in augment else 700_000) // rows)),
            "batch_size": min(128, self.batch_size(rows)),
            "patience": None,
            "learning_rate": 5e-3,
            "augment": augment,
            "precision": "bfloat16" if has_bfloat16(device) else "float32",
        }
        if self._is_wide_on(device, inputs):  # a wide network trains longer before it overfits
            preferred |= {
                "epochs": max(10, min(100, 2_000_000 // rows)),
                "batch_size": min(512, self.batch_size(rows)),
                "weight_decay": 0.1,
                "augment": (*augment, "erase"),
            }
        if self.architecture.startswith("lenet5"):  # a small network trains longer, and underfits shifted images
            preferred |= {"epochs": max(30, preferred["epochs"]), "augment": ("rotate",), "precision": "float32"}
        if self._is_original_lenet5(inputs):
            if MAXIMUM_A_POSTERIORI in task.losses:
                preferred["loss"] = MAXIMUM_A_POSTERIORI.name
            elif task.size > 1:
                raise OptionError(
                    "architecture 'lenet5_1998' has radial basis outputs of classes, not of several values; use 'lenet5'"
                )
        return preferred

    def suited(self, inputs: Mapping[str, Input], device: str, rows: int) -> tuple[Self, str]:
        """A wider network for colour images on a GPU, and a note that explains it."""
        if self.channels != "auto" or not self._is_wide_on(device, inputs):
            return self, ""
        return dataclasses.replace(self, channels=GPU_CHANNELS), (
            f"On a GPU the network has {GPU_CHANNELS} channels in its first stage, not {CHANNELS}, and trains longer; "
            f"channels={CHANNELS} keeps it small."
        )

    def _is_wide_on(self, device: str, inputs: Mapping[str, Input]) -> bool:
        if device != "cuda" or self.architecture not in ("auto", "resnet") or self.backbone:
            return False
        wide = self.channels == "auto" or int(self.channels) >= GPU_CHANNELS
        return wide and any(block.kind == "image" and block.shape[2] > 1 for block in inputs.values())

    def _is_original_lenet5(self, inputs: Mapping[str, Input]) -> bool:
        """Whether the network is the original LeNet-5 with its radial basis outputs: only without other branches."""
        return self.architecture == "lenet5_1998" and [block.kind for block in inputs.values()] == ["image"]


def _normed(chain: Chain, name: str, layer: Convolution) -> None:
    """Add the convolution, batch norm and relu."""
    chain.add(name, layer)
    _norm(chain, name)


def _norm(chain: Chain, name: str) -> str:
    """Add batch norm and relu."""
    chain.add(f"{name}_norm", Norm("batch"))
    return chain.add(f"{name}_relu", Activation("relu"))
