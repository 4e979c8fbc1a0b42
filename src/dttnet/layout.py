"""Which networks of a model run for the stems that are wanted, and how the outputs come from what they give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dttnet.config import NetworkCard, Transform
from dttnet.errors import ModelError, UsageError

REST = "other"
"""The stem that takes what belongs to no other."""


def stems_of(cards: Iterable[NetworkCard]) -> list[str]:
    """What networks give together, in their order: several may give the same."""
    return list(dict.fromkeys(stem for card in cards for stem in card.stems))


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a model is used for the stems wanted.

    Attributes:
        used: Networks that run.
        transform: With the bins of the widest network.
        known: Stems those networks give.
        positions: For each network, where its stems stand in `known`; several networks may give the same.
        projects: Whether the estimates are made to add up in the networks' band.
        tracks: The sums of `known` stems that go through the inverse transform.
        outputs: Names of what the caller gets.
        direct: Name to track, for the outputs that are a track; the one output that is not, if there is one, is the
            source minus all tracks.
        is_complete: The outputs are all of the song.
    """

    used: tuple[int, ...]
    transform: Transform
    known: tuple[str, ...]
    positions: tuple[list[int], ...]
    projects: bool
    tracks: tuple[list[int], ...]
    outputs: tuple[str, ...]
    direct: dict[str, int]
    is_complete: bool

    @classmethod
    def of(
        cls,
        name: str,
        cards: Sequence[NetworkCard],
        stems: Sequence[str] | None,
        complement: str | None,
        *,
        adds_up: bool,
        averages: bool,
    ) -> Layout:
        """The layout for a model.

        Args:
            name: Of the model, for messages.
            cards: Of its networks.
            stems, complement, adds_up: See `Separator`.
            averages: Of networks that give the same stems all run, not the first one alone.

        Raises:
            UsageError: A stem is wanted that there is not, or the complement has the name of one or none that a file
                can have.
            ModelError: The networks do not go together.
        """
        available = stems_of(cards)
        networks: dict[frozenset[str], list[int]] = {}  # by what they give
        for index, card in enumerate(cards):
            networks.setdefault(frozenset(card.stems), []).append(index)
        for stem in available:
            if sum(stem in given for given in networks) > 1:
                raise ModelError(
                    f"model {name!r}: several of its files give {stem}, beside different other stems; remove one"
                )
        wanted = list(dict.fromkeys(stems)) if stems is not None else available
        missing = [stem for stem in wanted if stem not in available]
        if missing or not wanted:
            raise UsageError(
                f"model {name!r} has no stem {', '.join(map(repr, missing)) or 'like that'}: "
                f"it has {', '.join(available)}"
            )
        if stems is None and complement is None and adds_up and REST not in available:
            complement = f"no_{available[0]}" if len(available) == 1 else REST
        if complement is not None and (not complement.strip() or Path(complement).name != complement):
            raise UsageError(f"the complement cannot be named {complement!r}: a file is named after it")
        if complement in wanted:
            raise UsageError(f"the complement cannot be named {complement!r}: that is one of the stems")

        running = [
            indices if averages else indices[:1] for given, indices in networks.items() if not given.isdisjoint(wanted)
        ]
        used = sorted(index for indices in running for index in indices)
        known = stems_of([cards[index] for index in used])
        transforms = {cards[index].transform for index in used}
        widest = max(transforms, key=lambda transform: transform.n_bins)
        if len({(t.sample_rate, t.n_channels, t.n_fft, t.hop) for t in transforms}) > 1:
            raise ModelError(f"model {name!r}: its networks use different transforms; put them in separate folders")
        if any(len({cards[index].transform for index in indices}) > 1 for indices in running):
            raise ModelError(f"model {name!r}: its networks of the same stems hear different bins; remove one")
        projects = adds_up and REST in known and set(known) == set(available)

        # What is left after all tracks, also above the networks' band: "other" if it is wanted and all else is known,
        # so that it is the same whatever is wanted beside it; otherwise the complement.
        others = [stem for stem in known if stem not in wanted]
        direct = {stem: [stem] for stem in wanted}
        rest = complement
        if projects and REST in wanted and (others or complement is None):
            rest = REST
            del direct[REST]
            if others:
                # Without a complement their sum is needed too, under no name.
                direct[complement or ""] = others
        return cls(
            used=tuple(used),
            transform=widest,
            known=tuple(known),
            positions=tuple([known.index(stem) for stem in cards[index].stems] for index in used),
            projects=projects,
            tracks=tuple([known.index(stem) for stem in stems] for stems in direct.values()),
            outputs=(*wanted, complement) if complement is not None else tuple(wanted),
            direct={name: index for index, name in enumerate(direct)},
            is_complete=rest is not None and (complement is not None or not others),
        )
