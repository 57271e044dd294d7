"""Translating files: which belong together, what is written, what a bad one does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from gemini_det3d.apis.config import ConfigError, find_config
from gemini_det3d.apis.translate import find_views
from gemini_det3d.apis.translator import Translator
from gemini_det3d.cli import main
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.taskonomy import write_png


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """The toy config of RGB + Edge -> Depth."""
    name = "translator_gemini_mit-toy_views-rgb-edge2depth"
    path = tmp_path_factory.mktemp("config") / "config.py"
    path.write_text(f"_base_ = [{find_config(name).as_posix()!r}]\n")
    return path


@pytest.fixture(scope="module")
def checkpoint(config, tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "random.pth"
    torch.save({"state_dict": Translator(config).model.state_dict(), "meta": {}}, path)
    return path


@pytest.fixture
def folders(tmp_path):
    """Three views in two folders, with Taskonomy's names."""
    rng = np.random.default_rng(0)
    for index in range(3):
        stem = f"point_{index}_view_0_domain"
        write_png(tmp_path / "rgb" / f"{stem}_rgb.png",
                  rng.integers(0, 256, (70, 90, 3), dtype=np.uint8))  # fmt: skip
        write_png(tmp_path / "edge" / f"{stem}_edge_occlusion.png",
                  rng.integers(0, 12000, (70, 90), dtype=np.uint16))  # fmt: skip
    return tmp_path / "rgb", tmp_path / "edge"


def test_views_are_put_together_by_their_stems(folders):
    views = find_views(folders)
    assert [name for name, _ in views] == [f"point_{i}_view_0" for i in range(3)]
    assert views[1][1][1].name == "point_1_view_0_domain_edge_occlusion.png"


def test_single_files_are_one_view_whatever_their_names(folders):
    files = [folders[0] / "point_0_view_0_domain_rgb.png",
             folders[1] / "point_2_view_0_domain_edge_occlusion.png"]  # fmt: skip
    assert find_views(files) == [("point_0_view_0", files)]


def test_views_that_cannot_be_put_together_are_named(folders, tmp_path):
    with pytest.raises(FormatError, match="nowhere: no such"):
        find_views([tmp_path / "nowhere"])
    with pytest.raises(FormatError, match="is one file"):
        find_views([folders[0], next(folders[1].iterdir())])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="empty: holds no image"):
        find_views([folders[0], tmp_path / "empty"])
    write_png(folders[0] / "point_0_view_0.png", np.zeros((4, 4, 3), dtype=np.uint8))
    with pytest.raises(FormatError, match="is of one view with"):
        find_views(folders)


def test_translator_gives_the_pipelines_size_and_reads_the_second_source(config, folders):
    translator = Translator(config)
    first, second = (sorted(folder.iterdir()) for folder in folders)
    image = translator([first[0], second[0]])
    assert image.shape == (64, 64, 3) and image.dtype == np.uint8
    assert not np.array_equal(image, translator([first[0], second[1]]))
    np.testing.assert_array_equal(image, translator([first[0], second[0]]))


def test_translator_names_another_number_of_images(config, folders):
    with pytest.raises(ConfigError, match="1 images for 2 sources"):
        Translator(config)([next(folders[0].iterdir())])


def test_translator_refuses_a_config_of_something_else():
    with pytest.raises(ConfigError, match="has no sources and target"):
        Translator("mvxnet_gemini-point_r18_1xb2-toy_scenes-3class")


def test_command_writes_one_png_per_view(config, checkpoint, folders, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["translate", str(config), str(checkpoint), *map(str, folders), "--out", str(out)]
    assert main(command) == 0
    assert sorted(p.name for p in out.iterdir()) == [f"point_{i}_view_0.png" for i in range(3)]
    assert np.asarray(Image.open(out / "point_0_view_0.png")).shape == (64, 64, 3)
    assert "depth_euclidean of 3 of 3 views" in capsys.readouterr().out


def test_command_goes_on_past_a_bad_file_and_says_so(config, checkpoint, folders, tmp_path, capsys):
    bad = folders[1] / "point_1_view_0_domain_edge_occlusion.png"
    bad.write_bytes(bad.read_bytes()[:100])
    (folders[1] / "point_2_view_0_domain_edge_occlusion.png").unlink()
    out = tmp_path / "out"
    command = ["translate", str(config), str(checkpoint), *map(str, folders), "--out", str(out)]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert [p.name for p in out.iterdir()] == ["point_0_view_0.png"]
    assert bad.name in printed.err and "point_2_view_0.png: no such file" in printed.err
    assert "1 of 3 views" in printed.out


def test_results_never_replace_inputs(config, checkpoint, folders, monkeypatch, capsys):
    first, second = (sorted(folder.iterdir())[0] for folder in folders)
    before = {path: path.read_bytes() for folder in folders for path in folder.iterdir()}
    monkeypatch.chdir(folders[0])
    start = ["translate", str(config), str(checkpoint)]
    for inputs, out in (
        (folders, folders[0]), (folders, folders[1]), (folders, folders[0] / "new"),
        ((first, second), "."), ((first, second), folders[1]),
    ):  # fmt: skip
        assert main([*start, *map(str, inputs), "--out", str(out)]) == 2
        assert "a folder of inputs" in capsys.readouterr().err
    after = {path: path.read_bytes() for folder in folders for path in folder.iterdir()}
    assert after == before


def test_views_in_subfolders_and_of_any_suffix_are_put_together(tmp_path):
    for place in ("kv1/0.jpeg", "kv2/0.PNG", "kv2/1305031102.175304.png"):
        write_png(tmp_path / "rgb" / place, np.zeros((4, 4, 3), dtype=np.uint8))
        twin = tmp_path / "edge" / place.replace("jpeg", "png")
        write_png(twin, np.zeros((4, 4), dtype=np.uint16))
    (tmp_path / "rgb" / "._1.png").write_bytes(b"")
    views = find_views([tmp_path / "rgb", tmp_path / "edge"])
    assert [name for name, _ in views] == ["kv1/0", "kv2/0", "kv2/1305031102.175304"]
    assert all(path.is_file() for _, paths in views for path in paths)


def test_an_answer_that_is_not_finite_is_no_picture(config, folders):
    translator = Translator(config)
    with torch.no_grad():
        next(translator.model.generator.parameters()).fill_(float("nan"))
    with pytest.raises(FormatError, match="its translation is no picture: .* NaN or infinite"):
        translator([sorted(folder.iterdir())[0] for folder in folders])


def test_command_with_one_bad_pair_is_one_line(config, checkpoint, folders, tmp_path, capsys):
    first, second = (sorted(folder.iterdir())[0] for folder in folders)
    second.write_bytes(b"no image")
    assert main(["translate", str(config), str(checkpoint), str(first), str(second)]) == 2
    error = capsys.readouterr().err.strip()
    assert error.splitlines()[-1].startswith("gemini-det3d translate:") and second.name in error


def test_command_says_how_many_inputs_the_config_wants(config, checkpoint, folders, capsys):
    assert main(["translate", str(config), str(checkpoint), str(folders[0])]) == 2
    assert "1 inputs" in capsys.readouterr().err


def test_results_that_cannot_be_written_end_it_at_once(config, checkpoint, folders, capsys):
    command = ["translate", str(config), str(checkpoint), *map(str, folders), "--out"]
    in_the_way = folders[0] / "point_0_view_0_domain_rgb.png"
    assert main([*command, str(in_the_way)]) == 2
    assert main([*command, str(folders[0].parent / "out")]) == 0
    taken = folders[0].parent / "taken"
    (taken / "point_1_view_0.png").mkdir(parents=True)
    assert main([*command, str(taken)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert sum("error " in line for line in lines) == 0
    assert lines[-1].endswith("point_1_view_0.png: cannot be written (is a folder)")


def test_faults_of_many_views_are_counted(config, checkpoint, folders, tmp_path, capsys):
    for index in range(3, 9):
        write_png(folders[0] / f"point_{index}_view_0.png", np.zeros((70, 90, 3), dtype=np.uint8))
    command = ["translate", str(config), str(checkpoint), *map(str, folders)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert printed.err.count("no such file") == 3 and "... and 3 more of this kind" in printed.err
    assert "3 of 9 views" in printed.out


def test_images_without_a_twin_are_told(folders, tmp_path, caplog):
    (folders[0] / "point_1_view_0_domain_rgb.png").unlink()
    assert [name for name, _ in find_views(folders)] == ["point_0_view_0", "point_2_view_0"]
    assert "1 of 3 images have no twin in" in caplog.text and "point_1_view_0" in caplog.text
    write_png(tmp_path / "other" / "frame_7.png", np.zeros((4, 4), dtype=np.uint16))
    with pytest.raises(FormatError, match="other: holds no image of a view in .*: frame_7 here"):
        find_views([folders[0], tmp_path / "other"])


LOAD, PACK = "dict(type='LoadDomainImages')", "dict(type='PackTranslationInputs')"


@pytest.mark.parametrize(
    "steps, said",
    [
        ([LOAD, "dict(type='ResizeDomainImages', size=70)", PACK],
         "model.generator does not fit what it is given: ValueError: MiTGenerator: images of 70"),
        (["dict(type='ResizeDomainImages', size=64)", PACK],
         "pipeline: ResizeDomainImages cannot use what it is given: KeyError: images"),
        ([LOAD, "dict(type='ResizeDomainImages', size=64)"],
         "model.data_preprocessor does not fit what it is given: KeyError: inputs"),
    ],
)  # fmt: skip
def test_pipeline_that_does_not_fit_the_model_is_one_line(
    config, checkpoint, folders, tmp_path, capsys, steps, said
):
    own = tmp_path / "own.py"
    pipeline = f"test_dataloader = dict(dataset=dict(pipeline=[{', '.join(steps)}]))"
    own.write_text(f"_base_ = [{config.as_posix()!r}]\n{pipeline}\n")
    pair = [str(sorted(folder.iterdir())[0]) for folder in folders]
    assert main(["translate", str(own), str(checkpoint), *pair, "--out", f"{tmp_path}/o"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"gemini-det3d translate: {said}")
