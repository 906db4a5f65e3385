"""Federated learning, simulated: ``python -m scripts.federate SITE_A SITE_B --output DIR --rounds 5``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from bundle.integrations.federated.federation import CONFIGS
from bundle.integrations.federated.federation import federate as train_at_sites

from .command_line import call

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ["round", "site", "cases", "val_loss", "val_lesion_l1", "val_background_l1"]


def federate(
    *sites: str, output: str, rounds: int = 10, local_epochs: int = 1, config_file: Any = (), overrides: Any = None
) -> None:
    """Train one model at several sites without pooling their data; only weights and metrics leave a site.

    Args:
        sites: folders with datalist.json and folds.json; a site is named by its folder.
        output: receives model.pt and its card, rounds.csv, and a folder a site.
        rounds: how often the sites' weights are averaged.
        local_epochs: that a site trains in a round.
        config_file: overlays of configs/train.json, such as configs/quickstart.json.
        overrides: of the config, for every site, such as "{'gamma': 100, 'network_def#width': 16}".
    """
    logging.basicConfig(format="%(levelname)s %(name)s - %(message)s")
    logging.getLogger("bundle").setLevel(logging.INFO)
    for name in ("monai.fl.client.monai_algo", "monai.networks.utils"):  # a line a message of each site
        logging.getLogger(name).setLevel(logging.WARNING)
    named = {Path(site).resolve().name: site for site in sites}
    if len(named) < len(sites):
        raise ValueError(f"two of {', '.join(sites)} have one name: rename a folder.")
    overlays = [config_file] if isinstance(config_file, str) else list(config_file)
    files = [CONFIGS[0], *(str(Path(overlay).resolve()) for overlay in overlays), CONFIGS[1]]
    table = train_at_sites(named, output, rounds, local_epochs, files, overrides, ROOT)
    print(table[[name for name in SHOWN if name in table]].to_string(index=False, float_format="%.4f"))
    print(f"{output}/model.pt: the round with the lowest mean val_loss; {output}/rounds.csv: every round")


if __name__ == "__main__":
    try:
        call(federate)
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
