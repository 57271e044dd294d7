"""KITTI's evaluation written once more, slow and plain, for the tests: dicts, lists and shapely.

Also random frames to run it on.
"""

from __future__ import annotations

import math

import numpy as np

from gemini_det3d.formats.kitti import Objects, write_objects

MIN_HEIGHT = {"easy": 40, "moderate": 25, "hard": 25}
MAX_OCCLUSION = {"easy": 0, "moderate": 1, "hard": 2}
MAX_TRUNCATION = {"easy": 0.15, "moderate": 0.30, "hard": 0.50}
NEIGHBOUR = {"car": "van", "pedestrian": "person_sitting"}


def reference_ap(truth, detections, class_name, metric, difficulty, min_overlap):
    """AP11 and AP40 in percent, as the development kit computes them; None without boxes."""
    frames = [
        _frame(t, d, class_name.lower(), metric, difficulty) for t, d in zip(truth, detections)
    ]
    num_truth = sum(box["counts"] for frame in frames for box in frame["boxes"])
    if num_truth == 0:
        return None
    scores = [score for frame in frames for score in _found_scores(frame, min_overlap)]
    curve = [0.0] * 41
    for k, threshold in enumerate(_thresholds(sorted(scores, reverse=True), num_truth)):
        found = alarms = similarity = 0
        for frame in frames:
            values = _match(frame, min_overlap, threshold, metric in ("bbox", "aos"))
            found, alarms = found + values[0], alarms + values[1]
            similarity += values[2]
        good = similarity if metric == "aos" else found
        curve[k] = good / (found + alarms) if found + alarms else 0.0
    curve = [max(curve[k:]) for k in range(41)]
    return 100 * sum(curve[::4]) / 11, 100 * sum(curve[1:]) / 40


def _frame(truth, detections, class_name, metric, difficulty):
    boxes, found = [], []
    for i in range(len(truth)):
        name = truth.name[i].lower()
        if name not in (class_name, NEIGHBOUR.get(class_name)):
            continue
        hard = (
            truth.bbox[i, 3] - truth.bbox[i, 1] <= MIN_HEIGHT[difficulty]
            or truth.occluded[i] > MAX_OCCLUSION[difficulty]
            or truth.truncated[i] > MAX_TRUNCATION[difficulty]
        )
        boxes.append({"counts": name == class_name and not hard, "index": i})
    for j in range(len(detections)):
        low = abs(detections.bbox[j, 3] - detections.bbox[j, 1]) < MIN_HEIGHT[difficulty]
        if low or detections.name[j].lower() == class_name:
            regions = [
                truth.bbox[i] for i in range(len(truth)) if truth.name[i].lower() == "dontcare"
            ]
            found.append(
                {
                    "counts": not low,
                    "score": detections.score[j],
                    "index": j,
                    "regions": [_image_share(detections.bbox[j], region) for region in regions],
                }
            )
    for box in boxes:
        box["overlaps"] = [
            reference_overlap(truth, box["index"], detections, one["index"], metric)
            for one in found
        ]
        box["turns"] = [truth.alpha[box["index"]] - detections.alpha[one["index"]] for one in found]
    return {"boxes": boxes, "found": found}


def _found_scores(frame, min_overlap):
    """Scores of true positives when each box takes the best score."""
    free = set(range(len(frame["found"])))
    for box in frame["boxes"]:
        candidates = [j for j in sorted(free) if box["overlaps"][j] > min_overlap]
        if not candidates:
            continue
        best = max(candidates, key=lambda j: frame["found"][j]["score"])
        free.remove(best)
        if box["counts"] and frame["found"][best]["counts"]:
            yield frame["found"][best]["score"]


def _match(frame, min_overlap, threshold, with_regions):
    """True positives, false positives and similarity at one score threshold."""
    free = {j for j, one in enumerate(frame["found"]) if one["score"] >= threshold}
    found, similarity = 0, 0.0
    for box in frame["boxes"]:
        candidates = [j for j in sorted(free) if box["overlaps"][j] > min_overlap]
        full = [j for j in candidates if frame["found"][j]["counts"]]
        if full:
            best = max(full, key=lambda j: box["overlaps"][j])
        elif candidates:
            best = candidates[0]
        else:
            continue
        free.remove(best)
        if box["counts"] and frame["found"][best]["counts"]:
            found += 1
            similarity += (1 + math.cos(box["turns"][best])) / 2
    alarms = 0
    for j in free:
        excused = with_regions and any(s > min_overlap for s in frame["found"][j]["regions"])
        alarms += frame["found"][j]["counts"] and not excused
    return found, alarms, similarity


def _thresholds(scores, num_truth):
    chosen, position = [], 0.0
    for i, score in enumerate(scores):
        left, right = (i + 1) / num_truth, (i + 2) / num_truth
        if i == len(scores) - 1 or right - position >= position - left:
            chosen.append(score)
            position += 1 / 40
    return chosen


def _image_share(box, region):
    width = min(box[2], region[2]) - max(box[0], region[0])
    height = min(box[3], region[3]) - max(box[1], region[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / ((box[2] - box[0]) * (box[3] - box[1]))


def reference_overlap(a, i, b, j, metric):
    """IoU of object i of a and object j of b."""
    from shapely.geometry import Polygon, box

    if metric in ("bbox", "aos"):
        first, second = box(*a.bbox[i]), box(*b.bbox[j])
        if first.area == 0 or second.area == 0:
            return 0.0
        return first.intersection(second).area / first.union(second).area
    polygons, volumes, spans = [], [], []
    for objects, index in ((a, i), (b, j)):
        height, width, length = objects.dimensions[index]
        x, y, z = objects.location[index]
        cos, sin = math.cos(objects.rotation_y[index]), math.sin(objects.rotation_y[index])
        corners = [(length, width), (length, -width), (-length, -width), (-length, width)]
        polygons.append(
            Polygon(
                [(x + (cos * u + sin * v) / 2, z + (-sin * u + cos * v) / 2) for u, v in corners]
            )
        )
        volumes.append(height * width * length)
        spans.append((y - height, y))
    shared = polygons[0].intersection(polygons[1]).area
    if metric == "bev":
        return shared / (polygons[0].area + polygons[1].area - shared)
    shared *= max(0.0, min(spans[0][1], spans[1][1]) - max(spans[0][0], spans[1][0]))
    return shared / (volumes[0] + volumes[1] - shared)


_NAMES = ["Car", "Van", "Pedestrian", "Person_sitting", "Cyclist", "Truck", "DontCare"]
_SHARES = [0.45, 0.1, 0.12, 0.05, 0.13, 0.03, 0.12]


def random_frame(rng, max_objects=9):
    """Objects at random places, some hidden; image boxes follow the places."""
    count = int(rng.integers(0, max_objects + 1))
    location = np.column_stack(
        [rng.uniform(-6, 6, count), rng.uniform(1.4, 1.9, count), rng.uniform(6, 45, count)]
    )
    rotation = rng.uniform(-np.pi, np.pi, count)
    dimensions = np.array([1.6, 1.7, 3.9]) * rng.uniform(0.8, 1.2, (count, 3))
    height = 720 * dimensions[:, 0] / location[:, 2]
    middle = 610 + 720 * location[:, 0] / location[:, 2]
    bbox = np.column_stack([middle - height, 180 - height / 2, middle + height, 180 + height / 2])
    return Objects(
        name=rng.choice(_NAMES, count, p=_SHARES),
        truncated=rng.choice([0.0, 0.2, 0.4, 0.6], count, p=[0.7, 0.1, 0.1, 0.1]),
        occluded=rng.choice([0, 1, 2, 3], count, p=[0.6, 0.2, 0.1, 0.1]),
        alpha=rotation - np.arctan2(location[:, 0], location[:, 2]),
        bbox=bbox,
        dimensions=dimensions,
        location=location,
        rotation_y=rotation,
    )


def random_detections(rng, truth, digits=2):
    """Most objects again, moved and turned a little, some twice, and objects from nowhere.

    Scores have few digits, so that some are equal.
    """
    parts = [truth.select(rng.random(len(truth)) < share) for share in (0.85, 0.25)]
    for part in parts:
        part.location += rng.normal(0, 0.12, part.location.shape)
        part.bbox += rng.normal(0, 2.5, part.bbox.shape)
        part.rotation_y += rng.normal(0, 0.15, len(part))
        part.alpha += rng.normal(0, 0.5, len(part))
        confused = rng.random(len(part)) < 0.1
        part.name = np.where(confused, "Car", part.name)
    parts.append(random_frame(rng, max_objects=6))
    joined = {
        field: np.concatenate([getattr(part, field) for part in parts])
        for field in Objects.__dataclass_fields__
        if field != "score"
    }
    joined["name"] = np.where(joined["name"] == "DontCare", "Car", joined["name"])
    count = len(joined["name"])
    objects = Objects(**joined, score=np.round(rng.beta(2, 2, count), digits))
    return objects.select(rng.permutation(count))


def random_set(seed, num_frames, digits=2):
    """Truth and detections of frames."""
    rng = np.random.default_rng(seed)
    truth = [random_frame(rng) for _ in range(num_frames)]
    return truth, [random_detections(rng, frame, digits) for frame in truth]


def without_overlaps(truth):
    """The frames without boxes that meet another one in the image or from above."""
    frames = []
    for frame in truth:
        kept = []
        for i in range(len(frame)):
            overlaps = [
                reference_overlap(frame, i, frame, j, metric)
                for j in kept
                for metric in ("bbox", "bev")
            ]
            if not any(overlaps):
                kept.append(i)
        frames.append(frame.select(np.array(kept, dtype=int)))
    return frames


def as_detections(truth, scores="distinct"):
    """Truth as detections, with distinct or equal scores."""
    start = 0
    frames = []
    for frame in truth:
        frame = frame.select(np.arange(len(frame)))
        rank = np.arange(start, start + len(frame))
        frame.score = 1.0 / (2.0 + rank) if scores == "distinct" else np.full(len(frame), 0.5)
        start += len(frame)
        frames.append(frame)
    return frames


def write_random_set(folder, seed=4, num_frames=11):
    """Random frames as files: their labels in ``label_2``, their detections in ``results``.

    Returns:
        Labels and detections.
    """
    truth, found = random_set(seed=seed, num_frames=num_frames)
    for index, (boxes, detections) in enumerate(zip(truth, found)):
        write_objects(folder / "label_2" / f"{index:06d}.txt", boxes)
        write_objects(folder / "results" / f"{index:06d}.txt", detections)
    return truth, found
