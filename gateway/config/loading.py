"""Loading a configuration: read the files, replace `${...}`, check everything, report every mistake at once."""

from collections.abc import Mapping
from pathlib import Path as FilePath

from gateway.config.files import read_files, sources
from gateway.config.mistakes import ConfigError, Report
from gateway.config.models import Config
from gateway.config.reading import read_config
from gateway.config.sites import PluginModels


def load(path: FilePath, models: PluginModels, environ: Mapping[str, str]) -> Config:
    """
    Return the configuration in `path` and the files it includes.

    Raises `ConfigError` with all mistakes. Nothing is kept or changed, so it can be called again for a reload.
    """
    report = Report()
    raw = read_files(path, sources(path.parent, environ, report), report)
    config = None if raw is None else read_config(raw, models, report, path.absolute().parent)
    if config is None:
        raise ConfigError(report.mistakes())
    return config
