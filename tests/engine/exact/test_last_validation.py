"""A training that ends before its first validation is due is validated at its end."""

from __future__ import annotations

import pytest
from toy import toy_config, train


@pytest.mark.parametrize("by_epoch, end", [(True, 3), (False, 18)])
def test_short_training_is_validated_once(tmp_path, by_epoch, end):
    changes = {"train_cfg.val_begin": 101, "train_cfg.val_interval": 1}
    runner = train(toy_config(tmp_path, by_epoch=by_epoch, **changes))
    history = runner.message_hub.get_scalar("val/acc")
    assert history.data[0].size == 1
    assert (runner.epoch if by_epoch else runner.iter) == end
