"""What a plugin did wrong, told with its file and line."""

import asyncio
import traceback


class PluginFault(Exception):
    """A provider plugin did something that the interface forbids."""


def where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    file = last.filename.replace("\\", "/").rsplit("/", 2)[-2:] if last else []
    place = f" at {'/'.join(file)}:{last.lineno}" if last else ""
    return f"{type(error).__name__}: {text_of(error)}{place}"


def text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the text of a plugin's error is the plugin's code too
        return "(its text cannot be read)"


def is_ours(error: BaseException) -> bool:
    """Say whether an error out of a plugin is meant for us: our task was cancelled, or somebody pressed Ctrl-C."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(error, (KeyboardInterrupt, GeneratorExit))
