"""The networks of the papers at full size, with random weights: what they cost, beside the quality that is stated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from dttnet.comparison import Row, real_time_factor
from dttnet.config import NetworkCard
from dttnet.dataset import STEMS
from dttnet.nn.build import build_network
from dttnet.nn.cost import count_parameters, gmac_per_second
from dttnet.scores import PAPER
from dttnet.training.experiment import load_experiment
from dttnet.training.export import export

# Configuration in the package -> its row in the paper's table, and what sets that apart.
_NETWORKS = {
    "dttnet_vocals": ("DTTNet", ""),
    "dttnet_bass": ("DTTNet", ""),
    "bsrnn_vocals": ("BSRNN", ""),
    "tfc_tdf_v3": ("TFC-TDF UNet v3", ", with 70 M parameters"),
}


def paper_rows(*, seconds: float | None, threads: int | None = None) -> Iterator[Row]:
    """DTTNet for vocals and bass, BSRNN for vocals, and TFC-TDF UNet v3; see `dttnet.comparison.compare`."""
    for name, (title, remark) in _NETWORKS.items():
        experiment = load_experiment(name)
        config = experiment.network_config
        network = build_network(config).eval()
        card = NetworkCard(
            stems=tuple(experiment.stems),
            transform=experiment.transform_config,
            n_frames=-(-experiment.n_frames // config.frame_multiple) * config.frame_multiple,
            frame_multiple=config.frame_multiple,
            hyperparameters=config.to_dict(),
            licence="none: random weights",
            training_data="none",
        )
        factor = None
        if seconds is not None:
            with TemporaryDirectory(prefix="dttnet-") as folder:
                path = Path(folder) / f"{name}.onnx"
                export(network, card, path)
                factor = real_time_factor(str(path), seconds, threads=threads)
        scores = dict(zip(STEMS, PAPER["usdr"][title], strict=False))
        stated = ", ".join(f"{stem} {scores[stem]:.2f}" for stem in experiment.stems)
        yield Row(
            name=f"paper: {name}",
            stems=tuple(experiment.stems),
            n_parameters=count_parameters(network),
            gmac_per_second=gmac_per_second(network, card),
            real_time_factor=factor,
            quality=f"stated by the paper{remark}: uSDR on MUSDB18-HQ {stated} dB",
        )
