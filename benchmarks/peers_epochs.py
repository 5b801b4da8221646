"""A line for every epoch of a Lightning training, which is otherwise silent; benchmarks/peers.py reads the times of the lines."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback


class EpochLines(Callback):
    """Prints the number of the epoch and the validation metric ``monitor``."""

    def __init__(self, monitor: str):
        self.monitor = monitor

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The validation of the epoch is over by then."""
        print(f"Epoch {trainer.current_epoch}: {self.monitor} {float(trainer.callback_metrics[self.monitor]):.5f}", flush=True)
