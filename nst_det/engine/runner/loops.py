"""A training loop that resumes in the middle of an epoch."""

from mmdet.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop as _EpochBasedTrainLoop


@LOOPS.register_module()
class EpochBasedTrainLoop(_EpochBasedTrainLoop):
    """The loop of mmengine, which here resumes a checkpoint in the middle of its epoch.

    The loop of mmengine begins that epoch again. In the scope of mmdet, this loop replaces it. The
    batches that were trained before are loaded again and skipped, so that the random numbers of the
    data workers continue too.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader or dict): The training data.
        max_epochs (int): The number of epochs.
        val_begin (int): The first epoch that is validated. Defaults to 1.
        val_interval (int): The number of epochs between two validations. Defaults to 1.
        dynamic_intervals (list[tuple[int, int]], optional): Other intervals from given epochs on.
            Defaults to None.
    """

    def run_epoch(self) -> None:
        """Train the rest of an epoch."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        trained = self._trained_batches()
        for idx, data_batch in enumerate(self.dataloader):
            if idx >= trained:
                self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _trained_batches(self) -> int:
        """Count the batches of this epoch that were trained before the resumed checkpoint."""
        hub, batches = self.runner.message_hub, len(self.dataloader)
        began = hub.runtime_info.get('epoch_began', {})  # of the checkpoint, or of the last epoch
        trained = 0
        if began.get('epoch') == self._epoch:
            trained = self._iter - began['iter']
            if began['batches'] != batches:
                self.runner.logger.warning(
                    f'epoch {self._epoch + 1} begins again: it has {batches} batches, but had '
                    f'{began["batches"]} when the checkpoint was written'
                )
                trained = 0
            elif trained:
                self.runner.logger.info(
                    f'epoch {self._epoch + 1} resumes after {trained} of its {batches} batches'
                )
        epoch_began = dict(epoch=self._epoch, iter=self._iter - trained, batches=batches)
        hub.update_info('epoch_began', epoch_began)
        return trained
