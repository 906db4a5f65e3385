"""The page on the engine names the handlers of the training as the config has them."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_has_the_handlers_of_the_config_in_their_order():
    page = (ROOT / "docs/explanation/engine.md").read_text(encoding="utf-8")
    section = page.partition("## Which handler listens where")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)`", section, re.M)
    config = json.loads((ROOT / "configs/train.json").read_text(encoding="utf-8"))
    assert listed == [handler["_target_"].rpartition(".")[2] for handler in config["train"]["handlers"]]
