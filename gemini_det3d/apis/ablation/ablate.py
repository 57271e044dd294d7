"""Does the camera matter? A trained detector with each sensor spoilt or taken away in turn."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn
from tqdm import tqdm

from gemini_det3d.apis.ablation.conditions import CONDITIONS, spoil
from gemini_det3d.apis.ablation.gates import FrameGates, GateRecorder, GateTable
from gemini_det3d.apis.ablation.probe import (
    Probe,
    ProbeRow,
    TokenRecorder,
    detections_of,
    probe_cells,
    probe_markdown,
    probe_verdicts,
)
from gemini_det3d.apis.ablation.report import (
    AblationRow,
    chart,
    condition_cells,
    gate_cells,
    markdown,
    verdicts,
)
from gemini_det3d.apis.comparison.scores import headline
from gemini_det3d.apis.config import ConfigError, read_config
from gemini_det3d.apis.frame_calibration import meta_defaults_of, pixel_offset_of
from gemini_det3d.apis.packed_frames import (
    check_part,
    data_files,
    evenly_spread,
    truth_of,
    views_of,
)
from gemini_det3d.apis.reports import facts_section, write_report
from gemini_det3d.apis.trained_model import (
    build_for_test,
    build_test_set,
    predict,
    read_frame,
    require_detector,
    require_lidar_frames,
)
from gemini_det3d.engine.evaluator_checks import without_exports
from gemini_det3d.formats.files import make_folder
from gemini_det3d.formats.inputs import keep_folders
from gemini_det3d.formats.text import write_json, write_text
from gemini_det3d.visualization.report import Pictures, Section, Table

if TYPE_CHECKING:
    from mmengine.config import Config


@dataclass(frozen=True)
class Ablation:
    """What an ablation found.

    Attributes:
        rows: One per condition, the real one first.
        gates: Rows of :class:`GateTable`; empty without a GeminiFusion.
        probe: Rows of :class:`Probe`; empty where it was not asked for, or objects are too few.
    """

    rows: list[AblationRow]
    gates: list[dict]
    probe: list[ProbeRow]


def ablate(
    config: str | os.PathLike | Config,
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    frames: int | None = None,
    pictures: int = 4,
    metric: str | None = None,
    device: str | None = None,
    with_probe: bool = False,
) -> Ablation:
    """Test a detector under every condition, frame by frame; draws are those of seed 0 in all.

    Args:
        config: A path, the bare name of one of this plug-in's configs, or an mmengine Config.
        checkpoint: Its parameters; read without running what the file says.
        out: Folder for `report.html`, `ablation.md`, `ablation.json` and pictures.
        frames: Frames, evenly spread; None: all.
        pictures: Frames whose gates are drawn.
        metric: See :func:`gemini_det3d.apis.comparison.scores.headline`.
        device: Where to run; None: CUDA where there is one.
        with_probe: Fit linear probes to what camera, LiDAR and fusion hold at labelled objects.

    Raises:
        FormatError: The checkpoint cannot be read or does not belong to the config, or the data
            set's files lie in ``out``.
        ConfigError: The config is one of another task, or of another frame than the LiDAR's; there
            are fewer than two frames: none to shuffle with; or the detector has no tokens whose
            places are known, and a probe was asked for.
    """
    config, out = _config_of_detector(config), Path(out)
    bench = _Bench(config, Path(checkpoint), device)
    indices = _chosen(bench.dataset, config, frames)
    keep_folders(out, data_files(bench.dataset))
    make_folder(out)
    table, probe, drawn = GateTable(), Probe(bench.dataset.metainfo["classes"]), []
    listener = TokenRecorder(bench.model) if with_probe else nullcontext()
    other = read_frame(bench.dataset, indices[-1])  # every frame gets the image of the one before
    for place, index in enumerate(tqdm(indices, desc="ablating", unit="frame")):
        data = read_frame(bench.dataset, index)
        with GateRecorder(bench.model) as recorder, listener as tokens:
            output = bench.test("real", spoil("real", data, other, index), index)
            gates = recorder.take()
        boxes, names = bench.truth(data)
        if tokens is not None:
            probe.add(tokens.tokens(), boxes, names, detections_of(output))
        if gates is not None:
            table.add(gates, boxes, names)
            if place < pictures:
                drawn.append(out / "pictures" / f"gates_{index:06d}.png")
                bench.draw(drawn[-1], data, gates, boxes)
        for condition in list(CONDITIONS)[1:]:
            bench.test(condition, spoil(condition, data, other, index), index)
        other = data
    result = Ablation(bench.rows(len(indices), metric), table.rows(), probe.rows())
    _write(out, result, len(indices), drawn)
    return result


def _config_of_detector(config: str | os.PathLike | Config) -> Config:
    """Read it; errors as of `ablate`."""
    config = read_config(config)
    require_detector(config)
    require_lidar_frames(config, "eval-robustness takes rooms")
    return config


def _chosen(dataset: Any, config: Config, frames: int | None) -> list[int]:
    """Indices of the frames that are tested; errors as of `ablate`."""
    indices = evenly_spread(len(dataset), frames)
    check_part(config.get("test_evaluator"), len(indices), dataset)
    if len(indices) < 2:
        raise ConfigError(f"--frames {len(indices)}: needs two frames or more, to shuffle images")
    return indices


class _Bench:
    """Model, data and one evaluator per condition."""

    def __init__(self, config: Any, checkpoint: Path, device: str | None) -> None:
        from mmengine.evaluator import Evaluator

        self.model = build_for_test(config, checkpoint, device).model
        self.dataset = build_test_set(config)
        self._reading = pixel_offset_of(config.model), meta_defaults_of(config.model)
        self._evaluators = {}
        for condition in CONDITIONS:
            evaluator = Evaluator(without_exports(config.test_evaluator))
            evaluator.dataset_meta = self.dataset.metainfo
            self._evaluators[condition] = evaluator
        self._changes: dict[str, list[float]] = {c: [] for c in CONDITIONS}
        self._real: Tensor | None = None
        self._seen: Tensor | None = None
        head = getattr(self.model, "pts_bbox_head", None) or getattr(self.model, "bbox_head", None)
        if head is None:
            raise ConfigError("model: has neither pts_bbox_head nor bbox_head, so no features")
        head.register_forward_pre_hook(self._remember)

    def test(self, name: str, data: dict, index: int) -> Any:
        """Detect in one frame under a condition, hand the answer to its evaluator and return it."""
        outputs = predict(self.model, [data], index)
        (answer,) = outputs
        self._evaluators[name].process(data_samples=outputs, data_batch=data)
        if name == "real":
            self._real = self._seen
        if self._real is not None and self._seen is not None:
            change = (self._seen - self._real).norm() / self._real.norm().clamp_min(1e-12)
            self._changes[name].append(float(change))
        return answer

    def truth(self, data: dict) -> tuple[np.ndarray, list[str]]:
        """Boxes ``(G, 7)`` and names of a packed frame; none where the set has no labels."""
        return truth_of(data, self.dataset.metainfo["classes"]) or (np.zeros((0, 7)), [])

    def draw(self, path: Path, data: dict, gates: FrameGates, boxes: np.ndarray) -> None:
        """Gates of a packed frame; over the image where there is one camera."""
        images, matrices = views_of(data, *self._reading)
        image, matrix = (images[0], matrices[0]) if len(images) == 1 else (None, None)
        chart(path, image, matrix, gates, boxes)

    def rows(self, number: int, metric: str | None) -> list[AblationRow]:
        """Evaluate every condition."""
        rows = []
        for name, evaluator in self._evaluators.items():
            parts = headline(evaluator.evaluate(number), metric)
            score, changes = statistics.fmean(parts.values()), self._changes[name]
            change = statistics.fmean(changes) if changes else float("nan")
            rows.append(AblationRow(name, score, parts, change))
        return rows

    def _remember(self, module: nn.Module, args: Sequence[Any]) -> None:
        features = args[0]
        while not isinstance(features, Tensor):
            features = features[0]
        self._seen = features.detach().float()


def _write(out: Path, result: Ablation, number: int, drawn: Sequence[Path]) -> None:
    lines = [markdown(result.rows, result.gates), "", *verdicts(result.rows)]
    if result.probe:
        lines += ["", probe_markdown(result.probe), "", *probe_verdicts(result.probe)]
    write_text(out / "ablation.md", "\n".join(lines) + "\n")
    facts = {
        "frames": number,
        "rows": [asdict(row) for row in result.rows],
        "gates": result.gates,
        "verdicts": verdicts(result.rows),
        "probe": [asdict(row) for row in result.probe],
    }
    write_json(out / "ablation.json", facts)
    note = f"{number} frames; AP in percent."
    sections: list[Section] = [Table("Conditions", *condition_cells(result.rows), note=note)]
    if result.gates:
        sections.append(Table("Gates", *gate_cells(result.gates), left=2))
    said = verdicts(result.rows)
    if result.probe:
        sections.append(Table("Probe", *probe_cells(result.probe)))
        said = [*said, *probe_verdicts(result.probe)]
    pictures = Pictures("Gates over the image and from above", drawn)
    write_report(out, out.name, [*sections, pictures, facts_section()], said)
