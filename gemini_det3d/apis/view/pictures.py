"""Segmentation and translation: aligned pictures of a folder's or a config's frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gemini_det3d.apis.segmentor import Segmentor
from gemini_det3d.apis.trained_model import enter_scope
from gemini_det3d.apis.translator import Translator
from gemini_det3d.apis.view.source import result_names
from gemini_det3d.engine.exact.batches import build_dataset
from gemini_det3d.engine.leaf_datasets import leaf_configs
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.segmentation import IGNORED, paths_of, read_color, read_labels
from gemini_det3d.formats.taskonomy import DOMAINS, find_domain, read_domain, read_list
from gemini_det3d.formats.text import read_lines
from gemini_det3d.visualization import class_palette, color_labels
from gemini_det3d.visualization.page import Picture, PictureFrame

_LISTS = ("train", "val", "test")
_WRONG = np.array([230, 60, 60], dtype=np.uint8)


class PictureSource(Protocol):
    """Frames of aligned pictures.

    Attributes:
        names: Of the frames, in order.
        columns: Titles of the table beside the pictures.
        swatches: Colours of what its first column names.
    """

    names: Sequence[str]
    columns: Sequence[str]
    swatches: Mapping[str, str]

    def files(self, name: str) -> Sequence[Path]:
        """Files of a frame, which nothing may overwrite."""
        ...

    def read_pictures(self, name: str) -> PictureFrame:
        """The frame.

        Raises:
            FormatError: A file cannot be used.
        """
        ...


class SegmentationFrames:
    """Frames of a segmentation set with what segmentors say of them.

    Args:
        datasets: Registered data sets of one kind; frames of several splits stand one after the
            other. Images are scaled as the pipeline's `LoadModalities` says.
        segmentors: By name.
    """

    def __init__(
        self, datasets: Sequence[Any], segmentors: Mapping[str, Segmentor] | None = None
    ) -> None:
        self._frames: dict[str, dict] = {}
        self._loading: dict[str, tuple[Mapping[str, float], str] | None] = {}
        for dataset in datasets:
            for index in range(len(dataset)):
                info = dataset.get_data_info(index)
                name = info["sample_name"]
                known = self._frames.get(name, info)["label_path"]
                if known != info["label_path"]:  # another frame, of another split
                    name = f"{dataset.split}/{name}"
                self._frames[name] = info
                self._loading[name] = _loading_of(dataset)
        self.names = list(self._frames)
        self._classes = list(datasets[0].metainfo["classes"])
        self._palette = class_palette(self._classes)
        self._segmentors = dict(segmentors or {})
        self.columns = ["class", "of the truth", *(f"IoU: {name}" for name in self._segmentors)]
        colors = ("#" + bytes(rgb).hex() for rgb in self._palette[: len(self._classes)])
        self.swatches = dict(zip(self._classes, colors))

    @classmethod
    def of_folder(cls, root: Path) -> SegmentationFrames | None:
        """Frames of a folder in the layout of DeLiVER, NYUDv2 or SUN RGB-D; None: it has none."""
        from gemini_det3d.datasets import segmentation as sets

        if (root / "img").is_dir() and (root / "semantic").is_dir():
            kind: Any = sets.DELIVERSegDataset
            splits = [s for s in _LISTS if any((root / "img").glob(f"*/{s}"))]
        elif (root / "RGB").is_dir() and (root / "labels").is_dir():
            kind = sets.SUNRGBDSegDataset
            splits = _splits(root)
        elif any(_has_three_paths(root / f"{split}.txt") for split in _splits(root)):
            kind, splits = sets.NYUDv2SegDataset, _splits(root)
        else:
            return None
        known = kind.published.modalities
        made = [kind(str(root), split, known, test_mode=True) for split in splits]
        return cls(made) if made else None

    def files(self, name: str) -> list[Path]:
        """Images and labels of a frame."""
        info = self._frames[name]
        return [Path(path) for path in (*info["image_paths"].values(), info["label_path"])]

    def read_pictures(self, name: str) -> PictureFrame:
        """Inputs, truth, and of each segmentor its labels and where they are wrong."""
        info = self._frames[name]
        paths = info["image_paths"]
        pictures = [Picture(m, self._image(name, m)) for m in paths]
        count = len(self._classes)
        truth = read_labels(info["label_path"], info["first_label"], count, info["label_code"])
        pictures.append(Picture("truth", color_labels(truth, self._palette), True))
        rows = [[text, f"{share:.1%}"] for text, share in self._shares(truth)]
        said, error = [], None
        for title, segmentor in self._segmentors.items():
            found = segmentor({m: paths[m] for m in segmentor.modalities})
            found = _fitted(found, truth.shape)
            wrong = (found != truth) & (truth != IGNORED)
            share = float(wrong.sum() / max((truth != IGNORED).sum(), 1))
            error = share if error is None else error
            said.append(f"{title}: {1 - share:.1%} of the labelled pixels right")
            shown = np.where(wrong[..., None], _WRONG, _faded(pictures[0].pixels, truth.shape))
            pictures += [
                Picture(f"prediction: {title}", color_labels(found, self._palette), True),
                Picture(f"wrong: {title}", shown.astype(np.uint8)),
            ]
            for row in rows:
                row.append(_iou(found, truth, self._classes.index(row[0])))
        return PictureFrame(name, pictures, rows, " · ".join(said), error)

    def _image(self, name: str, modality: str) -> np.ndarray:
        path, loading = self._frames[name]["image_paths"][modality], self._loading[name]
        if loading is not None:
            most, on_non_finite = loading
            return read_color(path, most.get(modality), on_non_finite).astype(np.uint8)
        try:
            return read_color(path).astype(np.uint8)
        except FormatError as error:
            if not any(option in error.fault for option in ("max_values", "on_non_finite")):
                raise
            remedy = "view a config whose LoadModalities says it, not the folder"
            raise FormatError(path, f"{error.fault}; {remedy}") from None

    def _shares(self, truth: np.ndarray) -> list[tuple[str, float]]:
        """Classes of the truth and their shares of it, the largest first."""
        counts = np.bincount(truth[truth != IGNORED], minlength=len(self._classes))
        order = [k for k in np.argsort(-counts, kind="stable") if counts[k]]
        return [(self._classes[k], counts[k] / truth.size) for k in order]


class TranslationFrames:
    """Views of a Taskonomy tree with what translators make of them.

    Args:
        root: Folder that holds the domains' folders.
        stems: Of the views.
        domains: To show; the last is the truth where there are translators.
        translators: By name.
    """

    columns = ("prediction", "mean absolute error (of 255)")

    def __init__(
        self,
        root: Path,
        stems: Sequence[str],
        domains: Sequence[str],
        translators: Mapping[str, Translator] | None = None,
    ) -> None:
        self.names, self._root, self._domains = list(stems), root, tuple(domains)
        self._translators = dict(translators or {})
        self.swatches: dict[str, str] = {}

    @classmethod
    def of_folder(cls, root: Path) -> TranslationFrames | None:
        """Views of all lists of a folder in Taskonomy's layout; None: it has none."""
        domains = [domain for domain in DOMAINS if (root / domain).is_dir()]
        lists = [root / f"{split}.txt" for split in _splits(root)]
        if not domains or not lists:
            return None
        stems = dict.fromkeys(stem for path in lists for stem in read_list(path))
        return cls(root, list(stems), domains)

    def files(self, name: str) -> list[Path]:
        """The view in each domain."""
        return [find_domain(self._root, name, domain) for domain in self._domains]

    def read_pictures(self, name: str) -> PictureFrame:
        """Inputs, truth, and of each translator its picture and how far that is off."""
        paths = dict(zip(self._domains, self.files(name)))
        images = {domain: read_domain(path, domain) for domain, path in paths.items()}
        pictures = [Picture(domain, image) for domain, image in images.items()]
        if not self._translators:
            return PictureFrame(name, pictures)
        *_, target = self._domains
        pictures[-1] = Picture(f"truth: {target}", images[target])
        rows, error = [], None
        for title, translator in self._translators.items():
            found = translator([paths[domain] for domain in translator.sources])
            off = np.abs(found.astype(int) - _resized(images[target], found.shape).astype(int))
            error = float(off.mean()) if error is None else error
            rows.append([title, f"{off.mean():.2f}"])
            pictures += [
                Picture(f"prediction: {title}", found),
                Picture(f"difference: {title}", off.astype(np.uint8)),
            ]
        return PictureFrame(name, pictures, rows, error=error)


def picture_source(
    config: Any, checkpoints: Sequence[Path] = (), device: str | None = None
) -> PictureSource | None:
    """Frames of the test set of a segmentor's or a translator's config; None: it is neither's.

    Args:
        config: mmengine's config.
        checkpoints: Trained parameters, each a prediction.
        device: Where to run; None: CUDA where there is one.
    """
    leaves = leaf_configs(config.test_dataloader.dataset)
    enter_scope(config)

    def trained(kind: Callable[..., Any]) -> dict[str, Any]:
        names = result_names(checkpoints)
        return {n: kind(config, path, device) for n, path in zip(names, checkpoints)}

    if "modalities" in config.model:
        return SegmentationFrames([build_dataset(each) for each in leaves], trained(Segmentor))
    if leaves[0].get("sources") and leaves[0].get("target"):
        dataset = build_dataset(leaves[0])
        stems = [dataset.get_data_info(i)["stem"] for i in range(len(dataset))]
        domains = (*dataset.sources, dataset.target)
        return TranslationFrames(Path(dataset.data_root), stems, domains, trained(Translator))
    return None


def folder_pictures(root: Path) -> PictureSource | None:
    """Frames of a folder of a segmentation set or of Taskonomy's; None: it is neither."""
    return SegmentationFrames.of_folder(root) or TranslationFrames.of_folder(root)


def _loading_of(dataset: Any) -> tuple[Mapping[str, float], str] | None:
    """`max_values` and `on_non_finite` of the step that loads a data set's images; None: none."""
    for step in getattr(dataset.pipeline, "transforms", ()):
        if hasattr(step, "max_values"):
            return step.max_values, step.on_non_finite
    return None


def _splits(root: Path) -> list[str]:
    return [split for split in _LISTS if (root / f"{split}.txt").is_file()]


def _has_three_paths(path: Path) -> bool:
    try:
        return len(paths_of(read_lines(path)[0][1])) == 3
    except (FormatError, IndexError):  # another layout's file, or nobody's
        return False


def _iou(found: np.ndarray, truth: np.ndarray, label: int) -> str:
    counted = truth != IGNORED
    is_found, is_true = (found == label) & counted, truth == label
    return f"{(is_found & is_true).sum() / max((is_found | is_true).sum(), 1):.2f}"


def _faded(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    grey = _resized(image, shape).astype(np.float64).mean(axis=2, keepdims=True)
    return np.repeat(60 + 0.5 * grey, 3, axis=2)


def _fitted(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Labels at the size of the truth, each pixel the nearest one's."""
    rows, columns = (
        np.minimum((np.arange(n) + 0.5) * have / n, have - 1).astype(int)
        for n, have in zip(shape, labels.shape)
    )
    return labels[np.ix_(rows, columns)]


def _resized(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    from PIL import Image

    if image.shape[:2] == tuple(shape[:2]):
        return image
    return np.asarray(Image.fromarray(image).resize((shape[1], shape[0])))
