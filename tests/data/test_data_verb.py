"""``python -m pipeline.data``: what it says of data whose content is known, and what it draws."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import describe_data
from pipeline.analysis import example_pictures
from pipeline.composing import compose
from pipeline.data import samples
from pipeline.errors import ConfigError, DataError, UserError

pytestmark = pytest.mark.slow

Say = Callable[..., list[str]]
BOTH = "dataset.splits={train:train,validation:train,test:test}"


@pytest.fixture
def say(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Say:
    """``say("dataset=wine", …)``: the lines that are printed, spaces made one."""

    def call(*overrides: str) -> list[str]:
        capfd.readouterr()  # of writing the dataset
        describe_data.main([f"to={tmp_path}/pictures", *overrides])
        return [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]

    return call


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Any]]:
    """What each picture is made of: before, after, captions, title, pieces."""
    found: list[Sequence[Any]] = []
    draw = example_pictures.examples_picture

    def note(*given: Any) -> Image.Image:
        found.append(given)
        return draw(*given)

    monkeypatch.setattr(example_pictures, "examples_picture", note)
    return found


def images(labels: Sequence[int], first: int = 0) -> list[Mapping[str, Any]]:
    """One for each label, filled with its number, from ``first`` on."""
    numbers = range(first, first + len(labels))
    return [
        {"image": np.full([28, 28, 1], n, np.uint8), "label": label}
        for n, label in zip(numbers, labels, strict=True)
    ]


def after(lines: Sequence[str], title: str) -> list[str]:
    """The lines of the part below ``title``."""
    rest = lines[lines.index(title) + 1 :]
    return rest[: rest.index("")] if "" in rest else rest


def test_digits(say: Say, tmp_path: Path) -> None:
    lines = say()
    assert lines[0].startswith("dataset digits/1.0.0; licence: CC BY 4.0")
    assert lines[1] == "inputs image 8x8x1 uint8; a model takes 8x8x1 float32"
    assert lines[2] == "target label: one of 10 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert lines[3] == "feed resident: train takes 0.07 MiB, at most the 1024 of dataset.memory"
    assert after(lines, "splits")[1:] == [
        "train train 1,167 0.07 resident",
        "validation validation 270 0.02 resident",
        "test test 360 0.02 resident",
    ]
    classes = after(lines, "classes")
    assert classes[:2] == ["class train % validation % test %", "0 115 9.9 27 10.0 36 10.0"]
    assert classes[-1] == "always to answer '5' scores 10.0% on test"
    assert after(lines, "train as stored: statistics")[1] == "image 0 4.893 6.022 16 0"
    taken = after(lines, "train as the model takes it: statistics")
    assert taken[1] == "inputs 0 0.3058 0.3764 1 0"  # a sixteenth of it
    assert after(lines, "preprocessing, in this order")[1] == "scale Scale factor 0.0625, offset 0"
    assert lines[-2] == "duplicates: none within train, nor between train and the other splits"
    assert lines[-1] == f"picture: {tmp_path}/pictures/digits.png"
    assert Image.open(tmp_path / "pictures" / "digits.png").size[0] > 300


def test_missing_classes_and_repeated_examples_are_told(
    say: Say, write_dataset: Callable[..., Path]
) -> None:
    train = images([0, 1, 2, 3, 4, 5, 6, 7, 8, 0]) + images([0, 3])  # no 9; two images again
    test = images([0, 0]) + images([9, 9, 9], first=50)  # image 1 was a 1
    folder = write_dataset("mnist", {"train": train, "test": test})
    lines = say("dataset=mnist", f"dataset.data_dir={folder}", BOTH)
    classes = after(lines, "classes")
    assert classes[1] == "0 3 25.0 3 25.0 2 40.0"
    assert classes[10] == "9 0 0.0 0 0.0 3 60.0"
    assert classes[11:] == [
        "warning: train has no example of '9'",
        "warning: validation has no example of '9'",
        "warning: test has no example of '1', '2', '3', '4', '5', '6', '7', '8'",
        "always to answer '0' scores 40.0% on test",
    ]
    assert [line for line in lines if line.startswith("duplicates")] == [
        "duplicates: 2 of 12 in train repeat another one, 1 of them with another target",
        "duplicates: 12 of 12 in validation have inputs that train has too",
        "duplicates: 2 of 5 in test have inputs that train has too, 1 of them with another target",
    ]


def test_of_many_classes_the_ends_are_shown(say: Say, write_dataset: Callable[..., Path]) -> None:
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=(28, 28, 1)),
        "label": tfds.features.ClassLabel(num_classes=40),
    }
    labels = [label for label in range(40) for _ in range(label + 1)]
    splits = {"train": images(labels[:256]), "test": images([39])}
    folder = write_dataset("forty", splits, features=features)
    lines = say("dataset=tfds", "dataset.name=forty", f"dataset.data_dir={folder}", BOTH)
    classes = after(lines, "classes")
    assert [row.split()[0] for row in classes[1:11]] == [*map(str, range(21, 12, -1)), "12"]
    assert [row.split()[0] for row in classes[11:21]][-1] == "39"  # of which train has none
    assert "the 10 most and the 10 least frequent of 40 classes" in classes


def test_a_streamed_split_is_looked_at_in_a_sample(
    say: Say, twenty_and_ten: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "STREAMED", 5)
    words = ["dataset=mnist", f"dataset.data_dir={twenty_and_ten}", BOTH, "dataset.feed=stream"]
    lines = say(*words)
    assert lines[3] == "feed stream, as dataset.feed says; train takes 0.01 MiB"
    classes = after(lines, "classes")
    assert (
        classes[-6:-3]
        == [
            "train is streamed: these are of 5 of 20 examples",
            "validation is streamed: these are of 5 of 20 examples",
            "test is streamed: these are of 5 of 10 examples",
        ]
        or "train is streamed: these are of 5 of 20 examples" in classes
    )
    # Of the numbers 0 to 19 these are 0, 4, 9, 14 and 19.
    assert classes[1] == "0 1 20.0 1 20.0 1 20.0"
    assert any(row.startswith("warning: what was looked at of train has no") for row in classes)
    stored = after(lines, "train as stored, 5 of 20 examples: statistics")
    assert stored[1] == "image 0 9.2 6.794 19 0"
    assert "train as the model takes it, 5 of 20 examples: statistics" in lines
    assert lines[-2].startswith("duplicates: not looked for, since a split is streamed")
    larger = say(*words[:-1], "dataset.memory=0.001")
    assert larger[3] == "feed stream: train takes 0.01 MiB, more than the 0.001 of dataset.memory"


def test_numbers_have_their_names_and_statistics(say: Say) -> None:
    from pipeline.data.source import load

    lines = say("dataset=diabetes")
    assert lines[2] == "target progression: a number"
    assert "classes" not in lines
    split = load(compose("data", ["dataset=diabetes"]).dataset, "numbers").split("train")
    stored, taken = (
        after(lines, f"train {how}: statistics") for how in ("as stored", "as the model takes it")
    )
    bmi, target = split.inputs["bmi"].astype(np.float64), split.labels.astype(np.float64)
    for row, name, values in ((stored[3], "bmi", bmi), (stored[11], "progression", target)):
        numbers = (values.min(), values.mean(), values.std(), values.max())
        assert row == f"{name} {' '.join(f'{n:.4g}' for n in numbers)} 0"
    z = (bmi - bmi.mean()) / bmi.std()
    assert taken[3] == f"bmi {z.min():.4g} 0 1 {z.max():.4g} 0"  # a mean of 1e-8 is 0
    assert len(taken) == 11  # the columns that the model has
    learnt = after(lines, "preprocessing, in this order")
    assert learnt[1].startswith("columns Columns columns ['age', 'sex', 'bmi', 'bp', 's1', … (10")


def test_what_a_vocabulary_does_not_know_is_counted(
    say: Say, write_dataset: Callable[..., Path], drawn: list[Sequence[Any]]
) -> None:
    import tensorflow_datasets as tfds

    features = {
        "text": tfds.features.Text(),
        "label": tfds.features.ClassLabel(names=["neg", "pos"]),
    }
    train = [{"text": text, "label": 0} for text in ("a b a", "a", "b a a a c")]
    test = [{"text": text, "label": 1} for text in ("a x y", "b")]
    folder = write_dataset("reviews", {"train": train, "test": test}, features=features)
    words = ["dataset=imdb_reviews", "dataset.name=reviews", "dataset.preprocess.tokens.length=4"]
    lines = say(*words, f"dataset.data_dir={folder}", BOTH)
    assert lines[1] == "inputs text string; a model takes 4 int32"
    tokens = after(lines, "tokens")
    assert tokens == [
        "split tokens unknown % full %",
        "train 8 0.00 33.3",  # the last text has five words, of which four are kept
        "validation 8 0.00 33.3",
        "test 4 50.00 0.0",
        "5 ids; most frequent in train: 'a' 75.0%, 'b' 25.0%",
        "full: texts that fill all 4 places; what is longer is cut",
    ]
    lengths = after(lines, "train as stored: lengths")
    assert lengths[1] == "text bytes 1 5 5 9 4"  # letters: a, b, c and the space
    assert "test has no example of 'neg'" in " ".join(lines)
    pieces = drawn[0][4]
    assert [pieces(token) for token in drawn[0][0][0]] == ["a", "b", "a", ""]


def test_a_frame_says_what_is_predicted(say: Say, drawn: list[Sequence[Any]]) -> None:
    lines = say("dataset=sunspots", "examples=3", "+augment=mixup")
    frame = "Windows(length=22, stride=1, horizon=1)"
    assert f"target made of the inputs by {frame}" in lines
    before, changed, captions, _, _ = drawn[0]
    assert before.shape == changed.shape == (3, 22, 1)
    assert captions == ["example 0", "example 99", "example 198"]
    assert lines[-2].startswith("duplicates: none")  # of windows: many years have equal numbers


def test_examples_are_augmented_as_in_the_first_step(
    say: Say, drawn: list[Sequence[Any]], tmp_path: Path
) -> None:
    import tensorflow as tf

    from pipeline.data.augment import Augmentation, Crop, MixUp

    say("+augment=[shift,mixup]", "examples=5", "seed=3")
    before, changed, captions, title, _ = drawn[0]
    assert title == "digits train"
    assert before.shape == changed.shape == (5, 8, 8, 1)
    # An example more, so that the last one has a neighbour to be mixed with.
    whole = np.concatenate([before, before[:1]])
    steps = {"shift": Crop(padding=1), "mixup": MixUp(alpha=0.2)}
    key = tf.constant([3, 0], tf.int64)
    expected = Augmentation(steps, 6, compiled=False)(tf.constant(whole), key, tf.range(6))
    np.testing.assert_array_equal(changed, expected.x[:5])
    for caption, share in zip(captions, expected.share.numpy(), strict=False):
        assert caption.startswith(f"{share:.2f} ") == (share <= 0.995)


def test_only_training_examples_are_augmented(
    say: Say, drawn: list[Sequence[Any]], tmp_path: Path
) -> None:
    lines = say("+augment=shift", "split=test", "examples=2")
    before, changed, captions, title, _ = drawn[0]
    assert changed is None
    assert (len(before), len(captions), title) == (2, 2, "digits test")
    assert lines[-1] == f"picture: {tmp_path}/pictures/digits-test.png"
    assert "test as stored: statistics" in lines


def test_a_small_split_gives_what_it_has(
    say: Say, drawn: list[Sequence[Any]], twenty_and_ten: Path
) -> None:
    splits = "dataset.splits={train:'train[:3]',validation:train,test:test}"
    say("dataset=mnist", f"dataset.data_dir={twenty_and_ten}", splits, "+augment=mixup")
    assert len(drawn[0][0]) == len(drawn[0][1]) == 3


def test_images_of_several_sizes_stream(say: Say, write_dataset: Callable[..., Path]) -> None:
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=(None, None, 1)),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    examples = [{"image": np.full([4 + i, 5, 1], 7, np.uint8), "label": i} for i in range(4)]
    folder = write_dataset("uneven", {"train": examples, "test": examples}, features=features)
    resize = (
        "+dataset.preprocess={size:{_target_:pipeline.data.preprocess.Resize,height:4,width:4}}"
    )
    words = ["dataset=tfds", "dataset.name=uneven", f"dataset.data_dir={folder}", BOTH, resize]
    for feed in ("resident", "stream"):
        lines = say(*words, f"dataset.feed={feed}")
        assert lines[1] == "inputs image ?x?x1 uint8; a model takes 4x4x1 float32"
        assert after(lines, "train as stored: lengths")[1] == "image steps 4 5.5 5.5 7 -"


@pytest.mark.parametrize(
    ("overrides", "kind", "text"),
    [
        (["split=tset"], ConfigError, "split=tset: Did you mean 'test'?"),
        (["examples=0"], ConfigError, "examples=0: a picture has from 1 to 100 examples."),
        (["exmples=3"], ConfigError, "exmples: there is no such key. Did you mean 'examples'?"),
        (["+foo=1"], ConfigError, "foo: there is no such key. Valid: dataset, examples, "),
        (["~split"], ConfigError, "split: taken away, but it is needed; leave out ~split"),
        (["augment=shift"], ConfigError, "so it is added with a plus: +augment=shift"),
        (["task=regresion"], ConfigError, "there is no task 'regresion'. Did you mean 'regression"),
        (["+task._target_=os.system"], ConfigError, "'os.system' is not in a trusted package"),
        (["dataset.feed=strem"], ConfigError, "none of auto, resident, stream. Did you mean 'str"),
        (["dataset.target=labl"], DataError, "has no feature 'labl'. Did you mean 'label'?"),
        (["task=regression"], DataError, "To predict 'label', use task=classification."),
        (["dataset=mnist"], DataError, "is not prepared: "),
        (["dataset=wine", "+augment=photographs"], ConfigError, "dataset.augment: Flip takes ima"),
        (["to=/dev/null/here"], ConfigError, "to=/dev/null/here: digits.png cannot be written: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_told_is_said_before_anything_is_printed(
    overrides: list[str],
    kind: type[UserError],
    text: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = [] if any(o.startswith("to=") for o in overrides) else [f"to={tmp_path}"]
    with pytest.raises(kind) as caught:
        describe_data.main([*overrides, *folder])
    assert text in str(caught.value)
    assert capfd.readouterr().out == ""


@pytest.fixture(scope="module")
def losses() -> Callable[..., np.ndarray]:
    """``losses("+augment=shift")``: of the first three steps."""
    from pipeline.assembly import assemble

    def train(*words: str) -> np.ndarray:
        config = compose("train", ["+experiment=digits", "trainer.compile=off", *words])
        return assemble(config).trainer.train(3).rows[:, 0]

    return train


@pytest.fixture(scope="module")
def plain(losses: Callable[..., np.ndarray]) -> np.ndarray:
    """Without augmentation."""
    return losses()


ALL = pytest.param("[photographs,mixup]", marks=pytest.mark.exhaustive)


@pytest.mark.parametrize("presets", ["photographs", "shift", "mixup", ALL])
def test_presets_train(presets: str, losses: Callable[..., np.ndarray], plain: np.ndarray) -> None:
    expected = {"photographs": ["flip", "crop"], "shift": ["shift"], "mixup": ["mixup"]}
    names = presets.strip("[]").split(",")
    steps = compose("train", [f"+augment={presets}"]).dataset.augment
    assert list(steps) == [step for name in names for step in expected[name]]
    found = losses(f"+augment={presets}")
    assert np.isfinite(found).all()
    assert found[0] != plain[0]


def test_the_command_fails_early_and_helps() -> None:
    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)

    ended = command("-X", "importtime", "-m", "pipeline.data", "dataset.classes=many")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "error: dataset.classes: 'many' is given" in ended.stderr
    assert "tensorflow" not in ended.stderr
    helped = command("-m", "pipeline.data", "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "python -m pipeline.data dataset=cifar10 +augment=photographs" in helped.stdout


def test_several_classes_an_example_and_several_inputs(
    say: Say, write_dataset: Callable[..., Path], drawn: list[Sequence[Any]], tmp_path: Path
) -> None:
    import tensorflow_datasets as tfds

    labels = tfds.features.Sequence(tfds.features.ClassLabel(names=["red", "blue", "green"]))
    pixels = tfds.features.Image(shape=(4, 4, 1))
    views = tfds.features.FeaturesDict({"left": pixels, "right": pixels})
    features = {"views": views, "labels": labels}
    zeros = np.zeros([4, 4, 1], np.uint8)
    examples = [
        {"views": {"left": zeros + i, "right": zeros + 2 * i}, "labels": found}
        for i, found in enumerate([[0], [0, 1], []])
    ]
    folder = write_dataset("views", {"train": examples, "test": examples}, features=features)
    lines = say(
        *("dataset=tfds", "dataset.name=views", f"dataset.data_dir={folder}", BOTH),
        *("dataset.inputs=[views/left,views/right]", "dataset.target=labels"),
        "~dataset.preprocess.scale",
    )
    assert "target labels: any of 3 classes: red, blue, green" in lines
    assert after(lines, "classes")[1:] == [
        "red 2 66.7 2 66.7 2 66.7",
        "blue 1 33.3 1 33.3 1 33.3",
        "green 0 0.0 0 0.0 0 0.0",
        *(f"warning: {role} has no example of 'green'" for role in ("train", "validation", "test")),
    ]
    stored = after(lines, "train as stored: statistics")
    assert stored[1:] == ["views/left 0 1 0.8165 2 0", "views/right 0 2 1.633 4 0"]
    pictures = [f"{tmp_path}/pictures/views-views-{side}.png" for side in ("left", "right")]
    assert lines[-2:] == [f"picture: {path}" for path in pictures]
    assert drawn[0][2] == ["red", "red, blue", "none"]
