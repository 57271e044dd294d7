"""Scores of a trained model under corruptions, condition by condition; a run that stops goes on."""

from __future__ import annotations

import copy
import hashlib
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from gemini_det3d.apis.comparison.scores import check_pattern, headline
from gemini_det3d.apis.config import ConfigError, read_config
from gemini_det3d.apis.packed_frames import check_part, evenly_spread
from gemini_det3d.apis.robustness_file import CLEAN, VERSION, Robustness, ScoreFile
from gemini_det3d.apis.robustness_file import read_robustness as read_robustness
from gemini_det3d.apis.trained_model import (
    build_for_test,
    build_test_set,
    find_test_datasets,
    predict,
    read_frame,
)
from gemini_det3d.corruptions import CORRUPTIONS, SEVERITIES
from gemini_det3d.engine.evaluator_checks import without_exports
from gemini_det3d.engine.leaf_datasets import leaf_datasets

if TYPE_CHECKING:
    from mmengine.config import Config


def evaluate_robustness(
    config: Config | str,
    checkpoint: Path | str,
    out: Path | str,
    corruptions: Sequence[str] | None = None,
    severities: Sequence[int] = SEVERITIES,
    frames: int | None = None,
    metric: str | None = None,
    seed: int = 0,
    device: str | None = None,
    baseline: Robustness | None = None,
    where_applicable: bool = False,
) -> Robustness:
    """Test a detector or segmentor without and under each corruption.

    Args:
        config: A path, a bare name, or an mmengine Config; its test set and evaluator are used.
        checkpoint: Trained parameters, read without running what the file says.
        out: Folder of ``robustness.json``, which is written after each condition; what it holds of
            the same test is not tested again.
        corruptions: Names; None: all that change something the model reads.
        severities: Of each.
        frames: Frames, evenly spread over the test set; None: all.
        metric: See :func:`gemini_det3d.apis.comparison.scores.headline`.
        seed: Of the corruptions, and of what the pipeline and the model draw: in every condition
            as ``gemini-det3d test`` with that ``randomness.seed`` draws it.
        device: Where to run; None: CUDA where there is one.
        baseline: What the scores are going to be compared with; only looked at.
        where_applicable: Leave out corruptions that change nothing the model reads; False: refuse.

    Raises:
        ConfigError: There is no such corruption, the model reads nothing that it changes, the
            baseline was not tested under a condition or is of another test, or ``out`` holds
            scores of another test.
        FormatError: The checkpoint cannot be read or does not belong to the config.
    """
    config = copy.deepcopy(read_config(config))
    check_pattern(metric or "")
    if baseline is not None and corruptions:
        baseline.require(dict.fromkeys(corruptions, severities))
    test = _Test(config, Path(checkpoint), frames, metric, seed, device)
    names = test.applicable(corruptions, where_applicable)
    if baseline is not None:
        baseline.require(dict.fromkeys(names, severities))
        baseline.require_test(test.mark)
    path = Path(out) / "robustness.json"
    scores = ScoreFile(path, test.mark)
    conditions = [(CLEAN, 0), *((name, each) for name in names for each in severities)]
    for name, severity in tqdm(conditions, desc="testing", unit="condition"):
        if scores.get(name, severity) is None:
            scores.put(name, severity, test.score(name, severity))
    corrupted = {n: {s: scores.get(n, s) for s in severities} for n in names}
    return Robustness(scores.get(CLEAN, 0), corrupted, len(test.indices), test.mark)


class _Test:
    """A model and its test set behind one switch of corruptions."""

    def __init__(
        self,
        config: Config,
        checkpoint: Path,
        frames: int | None,
        metric: str | None,
        seed: int,
        device: str | None,
    ) -> None:
        self.seed, text = seed, config.pretty_text
        self.model = build_for_test(config, checkpoint, device).model
        for leaf in find_test_datasets(config):
            _insert_corruption(leaf.pipeline, seed)
        self.dataset = build_test_set(config)
        self.indices = evenly_spread(len(self.dataset), frames)
        check_part(config.test_evaluator, len(self.indices), self.dataset)
        self.evaluator, self.metric = without_exports(config.test_evaluator), metric
        data = checkpoint.read_bytes()
        self.mark = {
            "version": VERSION,
            "config": hashlib.sha256(text.encode()).hexdigest(),
            "checkpoint": hashlib.sha256(data).hexdigest(),
            "frames": self.indices,
            "metric": metric,
            "seed": seed,
        }

    def applicable(self, names: Sequence[str] | None, some: bool = False) -> list[str]:
        """The corruptions to test: all that change what the model reads, of those asked for.

        With ``some`` any number of them do; else all, and one at least.
        """
        from gemini_det3d.datasets.transforms.corruptible import why_not

        faults: dict[str, str | None] = {}

        def look(results: dict) -> dict:
            faults.update({name: why_not(name, results, step.intensity) for name in CORRUPTIONS})
            return listen(results)

        step = self._steps()[0]  # of the data set that the first frame is of
        listen = step.transform
        step.transform = look
        read_frame(self.dataset, self.indices[0], self.seed)
        del step.transform
        for name in names or ():
            if name not in CORRUPTIONS:
                raise ConfigError(f"--corruptions {name}: is none of {', '.join(CORRUPTIONS)}")
            if faults[name] is not None and not some:
                raise ConfigError(f"--corruptions {name}: {faults[name]}")
        found = [name for name in names or CORRUPTIONS if faults[name] is None]
        if not (found or some):
            raise ConfigError("--corruptions: none changes what the model reads")
        return found

    def _steps(self) -> list[Any]:
        """The corrupting step of each data set's pipeline, told how the others load."""
        from gemini_det3d.datasets.transforms import Corrupt
        from gemini_det3d.datasets.transforms.corruptible import channel_order, intensity_column

        found = []
        for leaf in leaf_datasets(self.dataset):
            steps = leaf.pipeline.transforms
            for step in (each for each in steps if isinstance(each, Corrupt)):
                step.intensity, step.channel_order = intensity_column(steps), channel_order(steps)
                found.append(step)
        return found

    def score(self, name: str, severity: int) -> float:
        """Of one condition, percent."""
        from mmengine.evaluator import Evaluator

        for step in self._steps():
            step.switch(None if name == CLEAN else name, max(severity, 1))
        evaluator = Evaluator(self.evaluator)
        evaluator.dataset_meta = self.dataset.metainfo
        for index in tqdm(self.indices, desc=f"{name} {severity or ''}", leave=False, unit="frame"):
            data = read_frame(self.dataset, index, self.seed)
            outputs = predict(self.model, [data], index, self.seed)
            evaluator.process(data_samples=outputs, data_batch=data)
        return statistics.fmean(
            headline(evaluator.evaluate(len(self.indices)), self.metric).values()
        )


def _insert_corruption(pipeline: list, seed: int) -> None:
    """A step after the last one that loads; none is corrupted until it is switched."""
    loads = [place for place, step in enumerate(pipeline) if "Load" in str(step["type"])]
    if not loads:
        raise ConfigError("test_dataloader.dataset.pipeline: no step loads anything")
    for step in pipeline:
        if step["type"] == "Pack3DDetInputs":
            step["type"] = "PackSensorInputs"  # the same, with sensor_mask
    pipeline.insert(loads[-1] + 1, dict(type="Corrupt", seed=seed))
