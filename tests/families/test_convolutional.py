"""The convolutional family: the plan of each architecture and branch, its training, its preferred recipe."""

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.datasets import load_digits

import lamina
from lamina.data.encoding import Input
from lamina.data.feed import Feed
from lamina.errors import OptionError
from lamina.families import make_family
from lamina.families.convolutional import LENET_TABLE, Convolutional
from lamina.graph import Net, Plan
from lamina.graph.layers.convolution import RadialBasis
from lamina.tasks import Classification, Regression, Task
from lamina.tasks.losses import LOSSES
from lamina.train.forward import Validation
from lamina.train.recipe import Recipe
from lamina.train.step import Trainer

SERIES = {"series": Input((20, 3), ("s", "a", "b", "c"), kind="series"), "series_steps": Input((20,), ("s",), kind="steps")}
TEXT = {"text": Input((12,), ("review",), (50,), kind="text")}


def image(height=28, width=28, channels=1):
    return {"image": Input((height, width, channels), ("picture",), kind="image")}


def blocks(inputs, rows, seed=0):
    """Random rows for these inputs."""
    random = np.random.default_rng(seed)
    made = {}
    for name, block in inputs.items():
        if block.kind == "image":
            made[name] = random.integers(0, 256, (rows, *block.shape), dtype=np.uint8)
        elif block.kind == "text":
            made[name] = random.integers(0, block.cardinalities[0], (rows, *block.shape)).astype(np.int32)
        elif block.kind == "steps":
            made[name] = (np.arange(block.shape[0]) < random.integers(0, block.shape[0] + 1, (rows, 1))).astype(np.uint8)
        else:
            made[name] = random.normal(size=(rows, *block.shape)).astype(np.float32)
    return made


def trainer(family, inputs, made, target, **recipe):
    feed = Feed(made, target)
    net = Net(Plan(family.graph(inputs, int(target.max()) + 1)), seed=0)
    net.prepare(feed.inputs)
    recipe = Recipe(**{"batch_size": 16, "loss": "cross_entropy", "weight_decay": 0.0, "clip_value": None, **recipe})
    return net, Trainer(net, feed, recipe)


def test_lenet5_has_the_sizes_of_the_paper():
    plan = Plan(Convolutional(architecture="lenet5_1998").graph(image(), 10))
    sizes = {name.removeprefix("image_"): count for name, count in plan.parameters.items() if count}
    assert sizes == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164}
    shapes = {name.removeprefix("image_"): plan.shapes[name] for name in plan.order}
    assert shapes["pixels"] == (1, 32, 32)
    assert (shapes["c1"], shapes["s2"], shapes["c3"]) == ((6, 28, 28), (6, 14, 14), (16, 10, 10))
    assert (shapes["s4"], shapes["c5"], shapes["f6"]) == ((16, 5, 5), (120, 1, 1), (84,))
    assert plan.layers["head"] == RadialBasis(10)


def test_the_original_lenet5_has_the_loss_of_the_paper_and_classes_only():
    family = Convolutional(architecture="lenet5_1998").check()
    two, values = Classification(("y",), classes=("a", "b"), dtype="String"), Regression(("y", "z"))
    recipe = family.complete(Recipe(), rows=100, inputs=image(), task=two)
    assert recipe.loss == "maximum_a_posteriori"
    assert family.graph(image(), two.head(recipe.loss)).nodes["head"] == RadialBasis(2)
    assert family.complete(Recipe(loss="cross_entropy"), rows=100, inputs=image(), task=two).loss == "cross_entropy"
    assert (
        Convolutional(architecture="lenet5").complete(Recipe(), rows=100, inputs=image(), task=two).loss
        == "binary_cross_entropy"
    )
    with pytest.raises(OptionError, match="not of several values; use 'lenet5'"):
        family.complete(Recipe(), rows=100, inputs=image(), task=values)


def test_lenet5s_table_is_that_of_the_paper():
    assert [len(row) for row in LENET_TABLE] == [3] * 6 + [4] * 9 + [6]
    columns = [sum(i in row for row in LENET_TABLE) for i in range(6)]
    assert columns == [10] * 6  # each map of S2 is read by ten of C3


def test_lenet5_has_dense_outputs_for_values_and_with_other_columns():
    assert Plan(Convolutional(architecture="lenet5_1998").graph(image(), 1)).parameters["head"] == 85
    both = image() | {"numbers": Input((3,), ("a", "b", "c"))}
    assert Plan(Convolutional(architecture="lenet5_1998").graph(both, 10)).parameters["head"] == 1290


@pytest.mark.parametrize("architecture", ["lenet5", "lenet5_1998"])
def test_lenet5_refuses_large_images(architecture):
    with pytest.raises(OptionError, match=r"up to 32 x 32, but those of 'picture' are 64 x 48; set image_size=32, or use"):
        Convolutional(architecture=architecture).graph(image(64, 48), 10)


def test_auto_depends_on_colour():
    assert "image_stage1_a" in Plan(Convolutional().graph(image(), 10)).layers
    gray, color = (Convolutional().graph(image(32, 32, channels), 10) for channels in (1, 3))
    assert gray == Convolutional(architecture="plain").graph(image(32, 32, 1), 10)
    assert color == Convolutional(architecture="resnet").graph(image(32, 32, 3), 10)
    assert make_family("convolutional") is Convolutional


@pytest.mark.parametrize("architecture", ["plain", "resnet"])
@pytest.mark.parametrize(("side", "last"), [(4, 4), (8, 4), (28, 7), (32, 4), (100, 6), (224, 7)])
def test_depth_follows_the_size_of_the_image(architecture, side, last):
    plan = Plan(Convolutional(architecture=architecture, channels=4).graph(image(side, side + 3, 3), 2))
    (before,) = (edge.source for edge in plan.edges["image_pooled"])
    assert last - 1 <= plan.shapes[before][1] <= last
    assert plan.shapes["image_pooled"][0] <= 16


@pytest.mark.parametrize("inputs", [image(9, 8), image(9, 8, 3), SERIES, TEXT, image(8, 8) | SERIES | TEXT], ids=str)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_branches_overfit_and_are_replayed(inputs, precision):
    made, target = blocks(inputs, 16), np.arange(16) % 2
    if "series_steps" in made:  # rows without any step would be equal
        made["series_steps"][:, :3] = 1
        made["series"] *= made["series_steps"][..., None]
    family = Convolutional(channels=8, filters=16, dropout=0.0)
    net, steps = trainer(family, inputs, made, target, step_mode="traced", precision=precision)
    losses = [steps.run_epoch(torch.arange(16), [5e-3]) for _ in range(30)]
    assert losses[-1] < 0.2 < losses[0]
    assert not steps.why_eager
    assert "conv" in steps.source


def test_bfloat16_is_nearly_float32_and_leaves_the_weights_alone():
    made, target = blocks(image(9, 8, 3), 16), np.arange(16) % 2
    gradients = []
    for precision in ("float32", "bfloat16"):
        net, steps = trainer(Convolutional(channels=8, dropout=0.0), image(9, 8, 3), made, target, precision=precision)
        steps.run_epoch(torch.arange(16), [0.0])
        gradients.append(steps.optimizer.gradient.clone())
        assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
    assert not torch.equal(*gradients)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.98


@pytest.mark.parametrize("kind", ["series", "text"])
def test_empty_rows_have_finite_outputs_and_padding_changes_nothing(kind):
    inputs = SERIES if kind == "series" else TEXT
    made = {name: torch.from_numpy(block) for name, block in blocks(inputs, 5).items()}
    for block in made.values():
        block[0] = 0
    if kind == "series":
        made["series"] *= made["series_steps"][..., None]
    outputs = []
    for more in (0, 5):
        longer = {
            name: Input((block.shape[0] + more, *block.shape[1:]), block.names, block.cardinalities, block.kind)
            for name, block in inputs.items()
        }
        padded = {
            name: torch.cat([block, block.new_zeros(len(block), more, *block.shape[2:])], 1) for name, block in made.items()
        }
        net = Net(Plan(Convolutional().graph(longer, 3)), seed=1).eval()
        y = net(padded)
        outputs.append(y)
        assert torch.isfinite(y).all()
        assert all(torch.isfinite(g).all() for g in torch.autograd.grad(y.sum(), list(net.parameters())))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)


def test_a_text_of_few_tokens_and_other_windows_are_fine():
    plan = Plan(Convolutional(kernel_sizes=(1, 5), filters=4).graph({"text": Input((2,), ("t",), (9,), "text")}, 2))
    assert plan.shapes["text_features"] == (64 + 2 * 4,)


@pytest.mark.parametrize("architecture", ["plain", "resnet", "lenet5", "lenet5_1998"])
def test_each_architecture_learns_digits(architecture):
    digits = load_digits()
    made = {"image": (digits.images * 15).astype(np.uint8)[..., None]}
    cut = 1200
    train, validation = ({"image": made["image"][part]} for part in (slice(cut), slice(cut, None)))
    net, steps = trainer(
        Convolutional(architecture=architecture, channels=8, dropout=0.0),
        image(8, 8),
        train,
        digits.target[:cut],
        ema_decay=None,
        batch_size=40,
    )
    generator = torch.Generator().manual_seed(0)
    for epoch in range(3):
        rate = 3e-3 if architecture == "lenet5_1998" else 8e-3  # distances are large, and so are their gradients
        steps.run_epoch(torch.randperm(cut, generator=generator), [rate * (1 - epoch / 3)] * 30)
    task = Classification(("y",), classes=tuple(range(10)), dtype="Int64")
    scores = Validation(Feed(validation, digits.target[cut:]), task, LOSSES["cross_entropy"]).scores(net)
    assert scores["accuracy"] > 0.6


@pytest.mark.parametrize("augment", [("shift", "flip"), ("shift",)])
def test_what_was_flipped_in_training_is_predicted_with_its_mirror_image(augment, tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    rows = {"image": pictures, "y": ["a", "b"] * 20}
    fitted = lamina.fit(rows, "y", family="convolutional", recipe=Recipe(epochs=1, augment=augment), monitor=None)
    predictor = fitted.model_.predictor
    assert predictor.mirrored == (("image",) if "flip" in augment else ())
    there, back = (fitted.predict_proba({**rows, "image": images}) for images in (pictures, pictures[:, :, ::-1]))
    assert np.array_equal(there, back) == ("flip" in augment)
    once, mirrored = (
        LOSSES[predictor.loss].predictions(predictor.net({"image": torch.as_tensor(images.copy())}))
        for images in (pictures, pictures[:, :, ::-1])
    )
    expected = (once + mirrored) / 2 if "flip" in augment else once
    np.testing.assert_allclose(predictor.outputs({"image": pictures}, 40), expected.detach().numpy(), atol=1e-6)
    loaded = lamina.load(fitted.save(tmp_path / "m.lamina"))
    assert loaded.model_.predictor.mirrored == predictor.mirrored
    np.testing.assert_array_equal(loaded.predict_proba(rows), there)


def test_the_preferred_recipe_depends_on_the_images():
    task = Task.infer(pl.DataFrame({"y": ["a", "b"] * 5}), ["y"])
    gray, color, text = (Convolutional().prefers(rows=50_000, inputs=i, task=task) for i in (image(), image(32, 32, 3), TEXT))
    assert (gray["augment"], color["augment"], text["augment"]) == (("shift", "rotate"), ("shift", "flip"), None)
    assert gray["schedule"] == color["schedule"] == "one_cycle"
    assert gray["patience"] is color["patience"] is None
    assert gray["batch_size"] == 128
    few = Convolutional().prefers(rows=200, inputs=image(), task=task)
    assert few["epochs"] > gray["epochs"]
    small = Convolutional(architecture="lenet5").prefers(rows=50_000, inputs=image(), task=task)
    assert (small["epochs"], small["augment"], small["learning_rate"]) == (30, ("rotate",), 5e-3)
