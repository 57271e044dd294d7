"""A run that goes on with other frames, or the same in another order, says so."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.registry import DATASETS
from toy import NoisySamples, toy_config, train, train_and_stop, warnings_of

from gemini_det3d.engine.exact import ExactRunner
from gemini_det3d.engine.exact.frames import difference, frame_marks

NAMES = [f"{number:06d}" for number in range(23)]


@DATASETS.register_module()
class NamedSamples(NoisySamples):
    """Samples of files."""

    def __init__(self, names, root="/data", **kwargs):
        super().__init__(size=len(names), **kwargs)
        self.names, self.root = names, root

    def get_data_info(self, index):
        path = f"{self.root}/image_2/{self.names[index]}.png"
        info = {"images": {"CAM2": {"img_path": path}}, "instances": [{"path": str(id(self))}]}
        return {**info, "sample_idx": index}  # as mmengine's BaseDataset does


@pytest.mark.parametrize(
    "names, said",
    [
        (NAMES, []),
        (NAMES[::-1], ["its data set has the same frames in another order"]),
        ([*NAMES[:-1], "000099"], ["its data set has other frames"]),
    ],
)
def test_run_that_goes_on_with_other_frames_says_so(tmp_path, monkeypatch, names, said):
    told: list[str] = []
    monkeypatch.setattr(ExactRunner, "_warn_inexact", lambda self, reason: told.append(reason))
    config = toy_config(tmp_path)
    config.train_cfg.max_epochs = 1
    config.train_dataloader.dataset = dict(type="NamedSamples", names=NAMES)
    train(config)
    config.train_cfg.max_epochs = 2
    config.train_dataloader.dataset.update(names=names, root="/elsewhere/data")
    train(config, resume=True)
    assert told == said


@DATASETS.register_module()
class DrawnSamples(NamedSamples):
    """Chooses its frames when it is built, as mmdet3d's CBGSDataset does."""

    def __init__(self):
        super().__init__([NAMES[number] for number in np.random.choice(23, 23)])


def test_run_without_a_seed_in_its_config_draws_the_same_frames_again(tmp_path):
    config = toy_config(tmp_path, **{"randomness.seed": None})
    config.train_dataloader.dataset = dict(type="DrawnSamples")
    train_and_stop(config, before=9)
    runner = train(config, resume=True)
    assert runner.iter == 18
    assert not any("not bit by bit" in line for line in warnings_of(tmp_path))


@pytest.mark.parametrize(
    "info",
    [
        lambda root, n: {"lidar_points": {"lidar_path": f"{root}/velodyne/{n}.bin"}},
        lambda root, n: {"source_paths": [f"{root}/rgb/{n}.png", f"{root}/normal/{n}.png"]},
        lambda root, n: {"image_paths": {"rgb": f"{root}/img/{n}.png"}, "sample_name": n},
        lambda root, n: {"token": n},
    ],
)
def test_frames_are_known_by_their_names_wherever_they_lie(info):
    class Infos(list):
        def get_data_info(self, index):
            return self[index]

    def marks(root, names):
        return frame_marks(Infos(info(root, name) for name in names))

    first = marks("/a/b/data", NAMES)
    assert first == marks("C:\\data", NAMES) == marks("views", NAMES)
    assert difference(first, marks("/a/data", NAMES)) is None
    assert "another order" in difference(first, marks("/a/data", NAMES[::-1]))
    assert "other frames" in difference(first, marks("/a/data", [*NAMES[1:], "000099"]))


def test_frames_without_names_are_not_compared():
    assert frame_marks(range(3)) == {}
    assert difference({}, {"order": "a", "frames": "b"}) is None
