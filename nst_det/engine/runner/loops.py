"""The training loop that goes on in the middle of an epoch."""

from mmdet.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop as _EpochBasedTrainLoop


@LOOPS.register_module()
class EpochBasedTrainLoop(_EpochBasedTrainLoop):
    """mmengine's loop, which resumes a checkpoint out of the middle of an epoch there.

    mmengine's own begins that epoch anew. This one takes its place in every config of mmdet's
    scope. The batches that were trained already are loaded once more and passed over, so that the
    data workers' random numbers go on as well.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader or dict): What it trains on.
        max_epochs (int): When it ends.
        val_begin (int): The first epoch that is validated. Defaults to 1.
        val_interval (int): Every how many epochs to validate. Defaults to 1.
        dynamic_intervals (list[tuple[int, int]], optional): Other intervals from given epochs on.
            Defaults to None.
    """

    def run_epoch(self) -> None:
        """Train what is left of an epoch."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        trained = self._trained_batches()
        for idx, data_batch in enumerate(self.dataloader):
            if idx >= trained:
                self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _trained_batches(self) -> int:
        """How many batches of this epoch were trained before the checkpoint that was resumed."""
        hub, batches = self.runner.message_hub, len(self.dataloader)
        began = hub.runtime_info.get('epoch_began', {})  # the checkpoint's, or the last epoch's
        trained = 0
        if began.get('epoch') == self._epoch:
            trained = self._iter - began['iter']
            if began['batches'] != batches:
                self.runner.logger.warning(
                    f'epoch {self._epoch + 1} begins anew: it has {batches} batches, and had '
                    f'{began["batches"]} when the checkpoint was written'
                )
                trained = 0
            elif trained:
                self.runner.logger.info(
                    f'epoch {self._epoch + 1} goes on after {trained} of its {batches} batches'
                )
        epoch_began = dict(epoch=self._epoch, iter=self._iter - trained, batches=batches)
        hub.update_info('epoch_began', epoch_began)
        return trained
