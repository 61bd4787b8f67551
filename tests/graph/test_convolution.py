"""Windows: convolution, pooling and LeNet-5's layers against torch and closed forms; masks; errors."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lamina.errors import GraphError
from lamina.graph import Graph, Net, Norm, Plan
from lamina.graph.layer import Layer
from lamina.graph.layers.convolution import Convolution, GlobalPool, Pixels, Pool, PoolMask, RadialBasis, Subsample
from lamina.graph.layers.sequence import Present, StepPool
from lamina.graph.modules import MODULES
from tests.graph.helpers import rows, same
from tests.graph.test_modules import net_of


def masked(layer, x, there):
    """The output of the layer with this mask."""
    part = MODULES[type(layer)](layer, tuple(x.shape[1:]), torch.Generator().manual_seed(0)).double()
    return part(x, there), part


def gradients(y, *tensors):
    return torch.autograd.grad((y**2).sum(), tensors)


CONVOLUTIONS = [
    (Convolution(4), (3, 7, 6), {"padding": 1}),
    (Convolution(4, 5, padding=0), (3, 7, 6), {}),
    (Convolution(4, 3, stride=2), (3, 7, 6), {"padding": 1, "stride": 2}),
    (Convolution(4, 3, dilation=2, bias=False), (3, 7, 6), {"padding": 2, "dilation": 2}),
    (Convolution(6, 3, groups=3, padding=2), (3, 7, 6), {"padding": 2, "groups": 3}),
    (Convolution(4, 5), (9, 3), {"padding": 2}),
    (Convolution(4, 3, stride=2, padding=0), (9, 3), {"stride": 2}),
    (Convolution(6, 3, dilation=3, groups=3), (9, 3), {"padding": 3, "dilation": 3, "groups": 3}),
]


@pytest.mark.parametrize(("layer", "shape", "options"), CONVOLUTIONS, ids=str)
def test_convolution_is_torchs_with_its_gradients(layer, shape, options):
    net = net_of(layer, shape=shape)
    part = net.get_submodule("layer0")
    x = rows(5, *shape).requires_grad_()
    given = [part.weight, *([part.bias] if layer.bias else [])]
    if len(shape) == 3:
        theirs = F.conv2d(x, *given, **options)
    else:
        theirs = F.conv1d(x.transpose(1, 2), *given, **options).transpose(1, 2)
    ours = net({"x": x})
    same(ours, theirs)
    assert ours.shape[1:] == layer.result(shape)
    for our, their in zip(gradients(ours, x, *given), gradients(theirs, x, *given), strict=True):
        same(our, their, 1e-10)


@pytest.mark.parametrize("shape", [(2, 5, 6), (5, 2)])
def test_an_even_kernel_of_the_same_size_reads_one_more_behind_it(shape):
    part = net_of(Convolution(1, 2, bias=False), shape=shape).get_submodule("layer0")
    with torch.no_grad():
        part.weight.fill_(1)
    x = rows(1, *shape)
    along = x[0].sum(0) if len(shape) == 3 else x[0].sum(1)
    expected = F.pad(along, [0, 1] * along.dim())
    for axis in range(along.dim()):
        expected = expected.unfold(axis, 2, 1).sum(-1)
    same(part(x).squeeze(), expected.squeeze())


def test_a_table_says_which_channels_are_read():
    layer = Convolution(3, 3, table=((0,), (1, 2), (0, 2)))
    part = net_of(layer, shape=(3, 5, 5)).get_submodule("layer0")
    assert part.weight.shape == (5, 3, 3)
    full = torch.zeros(3, 3, 3, 3, dtype=torch.float64)
    for i, (out, channel) in enumerate([(0, 0), (1, 1), (1, 2), (2, 0), (2, 2)]):
        full[out, channel] = part.weight[i].detach()
    x = rows(4, 3, 5, 5)
    same(part(x), F.conv2d(x, full, part.bias, padding=1))
    assert Layer.from_json(json.loads(json.dumps(layer.to_json()))) == layer


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(("size", "stride", "padding"), [(2, None, 0), (3, 2, 1), (2, 1, 0)])
def test_pool_of_an_image_is_torchs(kind, size, stride, padding):
    layer = Pool(kind, size, stride=stride, padding=padding)
    x = rows(3, 4, 7, 8)
    if kind == "max":
        expected = F.max_pool2d(x, size, stride, padding)
    else:
        expected = F.avg_pool2d(x, size, stride, padding, count_include_pad=False)
    same(net_of(layer, shape=(4, 7, 8))({"x": x}), expected)
    assert layer.result((4, 7, 8)) == expected.shape[1:]


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(("size", "stride", "padding", "steps"), [(2, None, 0, 8), (3, 2, 1, 9), (4, 2, 2, 6)])
def test_pool_of_a_sequence_is_torchs_where_windows_fit(kind, size, stride, padding, steps):
    x = rows(3, steps, 4)
    if kind == "max":
        expected = F.max_pool1d(x.transpose(1, 2), size, stride, padding)
    else:
        expected = F.avg_pool1d(x.transpose(1, 2), size, stride, padding, count_include_pad=False)
    ours = net_of(Pool(kind, size, stride=stride, padding=padding), shape=(steps, 4))({"x": x})
    same(ours[:, : expected.shape[2]], expected.transpose(1, 2))


def test_pool_counts_the_steps_that_are_there():
    x = torch.tensor([[1.0, 5.0, 9.0, 7.0, 3.0]], dtype=torch.float64)[:, :, None].requires_grad_()
    there = torch.tensor([[True, True, True, False, False]])
    greatest, mean = (masked(Pool(kind, 2), x, there)[0] for kind in ("max", "average"))
    assert greatest.flatten().tolist() == [5, 9, 0]
    assert mean.flatten().tolist() == [3, 9, 0]
    assert MODULES[PoolMask](PoolMask(2), (5,), torch.Generator())(there).tolist() == [[True, True, False]]
    assert gradients(greatest, x)[0].flatten().tolist() == [0, 10, 18, 0, 0]
    assert gradients(mean, x)[0].flatten().tolist() == [3, 3, 18, 0, 0]


def test_convolution_reads_absent_steps_as_zero():
    x, there = rows(2, 6, 3), torch.tensor([[1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]], dtype=torch.bool)
    y, part = masked(Convolution(4, 3), x, there)
    same(y, part(x * there[..., None]))


def sequence_net(steps):
    g = Graph()
    g.input("x", shape=(steps, 3))
    g.input("codes", shape=steps)
    g.layer("present", Present(), after="codes")
    g.layer("wide", Convolution(5, 4, "tanh"), after="x", mask="present")
    g.layer("pool", Pool("average", 3), after="wide", mask="present")
    g.layer("pooled", PoolMask(3), after="present")
    g.layer("strided", Convolution(4, 3, stride=2), after="pool", mask="pooled")
    g.layer("strided_mask", PoolMask(2), after="pooled")
    g.layer("top", Pool("max", 2, padding=1), after="strided", mask="strided_mask")
    g.layer("top_mask", PoolMask(2, padding=1), after="strided_mask")
    g.layer("mean", StepPool("mean"), after="top", mask="top_mask")
    g.output("y", after="mean")
    return Net(Plan(g), seed=3).double()


def test_more_steps_of_nothing_change_nothing():
    x, there = rows(4, 10, 3), torch.arange(10) < torch.tensor([0, 1, 7, 10])[:, None]
    outputs, slopes = [], []
    for steps in (10, 13, 30):
        longer = F.pad(x, [0, 0, 0, steps - 10], value=7.0).requires_grad_()
        y = sequence_net(steps)({"x": longer, "codes": F.pad(there.long(), [0, steps - 10])})
        outputs.append(y)
        slopes.append(gradients(y, longer)[0])
    assert torch.isfinite(outputs[0]).all()
    assert torch.isfinite(slopes[0]).all()
    for y, slope in zip(outputs[1:], slopes[1:], strict=True):
        same(y, outputs[0])
        same(slope[:, :10], slopes[0])
        assert not slope[:, 10:].any()


def test_global_pool_is_the_mean_or_the_greatest():
    x = rows(3, 4, 5, 6)
    same(net_of(GlobalPool(), shape=(4, 5, 6))({"x": x}), x.mean((2, 3)))
    same(net_of(GlobalPool("max"), shape=(4, 5, 6))({"x": x}), x.flatten(2).max(2).values)


def test_pixels_have_mean_0_and_variance_1_border_included():
    images = torch.randint(0, 256, (50, 4, 6, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for size in (None, 9):
        net = net_of(Pixels(size), shape=(4, 6, 2)).float()
        net.prepare({"x": images})
        y = net({"x": images})
        assert y.shape[1:] == ((2, 4, 6) if size is None else (2, 9, 9))
        torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(y.var((0, 2, 3), correction=0), torch.ones(2), atol=1e-5, rtol=0)
    # Of an odd border the greater half lies behind: 2 pixels above, 1 on the left.
    assert torch.unique(y[:, 0, :2]).numel() == 1
    pixels = net.get_submodule("layer0")
    expected = (images - pixels.mean) * pixels.scale
    same(y[:, :, 2:6, 1:7], expected.permute(0, 3, 1, 2), 1e-5)


def test_subsample_is_a_weighted_sum_of_each_window():
    part = net_of(Subsample(), shape=(3, 5, 4)).get_submodule("layer0")
    x = rows(2, 3, 5, 4)

    def squash(a):
        return 1.7159 * torch.tanh(2 / 3 * a)

    same(part(x), squash(2 * F.avg_pool2d(x, 2)))  # as it begins
    with torch.no_grad():
        part.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        part.bias.copy_(torch.tensor([0.5, 0.0, -0.5]))
    expected = x.unfold(2, 2, 2).unfold(3, 2, 2).sum((-1, -2)) * part.weight[:, None, None] + part.bias[:, None, None]
    same(part(x), squash(expected))


def test_radial_basis_is_minus_the_squared_distance_to_digits_or_random_codes():
    for size, width in ((10, 84), (4, 84), (12, 84), (10, 20)):
        part = net_of(RadialBasis(size), shape=width).get_submodule("layer0")
        assert torch.equal(part.codes.abs(), torch.ones_like(part.codes))
        assert len(torch.unique(part.codes, dim=0)) == size
        x = rows(3, width)
        same(part(x), -((x[:, None] - part.codes) ** 2).sum(2) / width**0.5, 1e-9)
    seven = net_of(RadialBasis(10), shape=84).get_submodule("layer0").codes[7].reshape(12, 7)
    assert (seven[0] == 1).all()
    assert (seven[-1] == torch.tensor([-1, 1, 1, -1, -1, -1, -1])).all()


def test_batch_norm_of_an_image_is_per_channel_and_its_running_means_serve_prediction():
    net, theirs = net_of(Norm("batch"), shape=(3, 5, 4)), torch.nn.BatchNorm2d(3).double()
    x = rows(6, 3, 5, 4).to(memory_format=torch.channels_last) * 3 + 1
    assert net.get_submodule("layer0").weight.shape == (3,)
    for training in (True, True, False):
        y = net.train(training)({"x": x})
        same(y, theirs.train(training)(x))
        assert y.is_contiguous(memory_format=torch.channels_last)
    y = net_of(Norm("layer"), shape=(3, 5, 4))({"x": x})
    same(y, F.layer_norm(x, (4,)))


def test_channels_stay_last_in_memory_through_a_stack():
    net = net_of(
        Pixels(), Convolution(8, bias=False), Norm("batch"), Pool(), Convolution(8, 3, "relu"), shape=(8, 8, 3)
    ).float()
    images = torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8)
    for name, y in net.activations({"x": images}, net.plan.order).items():
        assert y.is_contiguous(memory_format=torch.channels_last), name


BAD = [
    (lambda: Convolution(0), r"Convolution.channels is 0, expected a whole number of at least 1"),
    (lambda: Convolution(4, padding="valid"), r"Convolution.padding is 'valid', expected 'same' or a number of zeros"),
    (lambda: Convolution(4, padding=-1), r"Convolution.padding is -1, expected a whole number of at least 0"),
    (lambda: Convolution(4, groups=3), r"has 4 channels in 3 groups; give a multiple of the groups"),
    (
        lambda: Convolution(1, table=((0, 0),)),
        r"Convolution.table is \(\(0, 0\),\), expected the input channels of each neuron",
    ),
    (lambda: Convolution(1, table=(3,)), r"Convolution.table is \(3,\), expected the input channels of each neuron"),
    (lambda: Convolution(2, table=((0, 1),)), r"has a table of 1 rows for 2 channels in 1 groups; give one row for each"),
    (lambda: Convolution(2).result((4,)), r"reads \(channels, height, width\) or \(steps, width\), but was given \(4,\)"),
    (lambda: Convolution(3, groups=3).result((4, 5, 5)), r"has 3 groups, but was given 4 channels; give a multiple"),
    (lambda: Convolution(1, table=((5,),)).result((3, 4, 4)), r"table names channel 5, but was given 3 of them from 0"),
    (lambda: Convolution(2, 5, padding=0).result((1, 4, 4)), r"reads windows of 5, but was given \(1, 4, 4\); use a smaller"),
    (lambda: Pool("least"), r"Pool.kind is 'least', expected one of its names"),
    (lambda: Pool(size=2, padding=2), r"Pool.padding is 2, expected at most half of the size 2"),
    (lambda: Pool(size=4).result((1, 3, 9)), r"Pool reads windows of 4, but was given \(1, 3, 9\); use a smaller size"),
    (lambda: PoolMask().result((3, 4)), r"PoolMask reads \(steps,\), but was given \(3, 4\); give the mask of a sequence"),
    (lambda: GlobalPool().result((3, 4)), r"GlobalPool reads \(channels, height, width\), but was given \(3, 4\)"),
    (lambda: Subsample(8).result((3, 4, 9)), r"Subsample reads windows of 8, but was given \(3, 4, 9\); use a smaller size"),
    (lambda: Pixels().result((3, 4)), r"Pixels reads \(height, width, channels\), but was given \(3, 4\); give an image"),
    (lambda: Pixels(32).result((28, 40, 1)), r"Pixels\(32\) was given images of 28 x 40; set the family's image_size=32"),
    (lambda: Norm("batch").result((2, 3, 4, 5)), r"reads up to \(channels, height, width\), but was given \(2, 3, 4, 5\)"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_what_does_not_fit_is_refused_in_one_line(make, message):
    with pytest.raises(GraphError, match=message):
        make()


def test_every_layer_comes_back_from_json():
    for layer in (Pixels(32), Convolution(4, np.int64(5), padding=2), Pool("average", 3, stride=2), PoolMask(3), Subsample(3)):
        assert Layer.from_json(json.loads(json.dumps(layer.to_json()))) == layer
