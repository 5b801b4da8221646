"""What a run is: `run` does it, `Plan` and `Choice` say which; see docs/python.md."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from densnet.workflow.choice import Choice
    from densnet.workflow.execution import Plan, read_run, run, write_page

__all__ = ["Choice", "Plan", "read_run", "run", "write_page"]


def __getattr__(name: str) -> object:
    """A public name, imported at its first use."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module 'densnet.workflow' has no attribute {name!r}.")
    return getattr(import_module(f"densnet.workflow.{'choice' if name == 'Choice' else 'execution'}"), name)
