"""The files on disk."""

from pathlib import Path
from typing import Any

import yaml

from serving import versions
from serving.production import compose, kubernetes, model_server
from serving.production.config import ProductionConfig


def write(config: ProductionConfig, folder: str | Path) -> list[Path]:
    """Write what TensorFlow Serving needs in production, each file atomically.

    Args:
        config: See its fields.
        folder: Where to; made if missing. Files of the same names are replaced, and what an earlier
            configuration needed and this one does not is removed.

    Returns:
        The files, sorted.

    Raises:
        ValueError: `folder` is a serving folder, whose models.config follows the releases.
    """
    folder = Path(folder)
    if (folder / config.model_name).is_dir():
        raise ValueError(
            f"`folder` must not be a serving folder, got {folder}, which holds {config.model_name}/"
        )
    texts = {
        model_server.MODELS_CONFIG: model_server.models_config(
            config.model_name, config.base_path, config.stable, config.canary
        ),
        **model_server.mounted_files(config),
        "compose.yaml": _yaml(compose.compose(config)),
        **{f"kubernetes/{name}": _yaml(manifest) for name, manifest in kubernetes.manifests(config).items()},
    }
    (folder / "kubernetes").mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        versions.replace(folder / name, text)
    if config.batching is None:
        (folder / model_server.BATCHING_CONFIG).unlink(missing_ok=True)
    return sorted(folder / name for name in texts)


class _Dumper(yaml.SafeDumper):
    """Write every value in full, and text of several lines as it is read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def _yaml(content: dict[str, Any]) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1000)
