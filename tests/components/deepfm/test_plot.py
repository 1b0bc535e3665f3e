import struct
import xml.etree.ElementTree as ET

import pytest

from components.deepfm import plot
from components.deepfm.config import ARCHITECTURES
from components.deepfm.model import build_model


@pytest.fixture
def model(make_config, categorical_fields, numeric_fields):
    return build_model(make_config("deepfm"), categorical_fields, numeric_fields, 3.5, 1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_svg_names_every_layer(architecture, make_config, categorical_fields, numeric_fields, tmp_path):
    model = build_model(make_config(architecture), categorical_fields, numeric_fields, 3.5, 1)
    path = tmp_path / "model.svg"
    plot.plot_model(model, path)
    text = "".join(ET.parse(path).getroot().itertext())
    assert [layer.name for layer in model.layers if layer.name not in text] == []
    assert "Output shape" in text


def test_png(model, tmp_path):
    path = tmp_path / "model.png"
    plot.plot_model(model, path)
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[-8:-4] == b"IEND"
    width, height = struct.unpack(">II", data[16:24])
    assert width > height > 500


def test_rejects_other_formats(model, tmp_path):
    with pytest.raises(ValueError, match=r"`path` must end in .png or .svg, got .*model.pdf"):
        plot.plot_model(model, tmp_path / "model.pdf")


def test_says_what_is_not_installed(model, tmp_path, monkeypatch):
    monkeypatch.setattr(plot, "PROGRAM", "no-such-program")
    with pytest.raises(FileNotFoundError, match=r"no-such-program is neither beside .* nor on the PATH"):
        plot.plot_model(model, tmp_path / "model.png")
