"""The chunk plan and the overlap-add: properties over ugly lengths, overlaps and block sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dttnet.chunks import Chunker, ChunkPlan, OverlapAdd, SampleQueue
from dttnet.errors import UsageError

overlaps = st.floats(0, 0.9)
plans = st.builds(
    lambda n_frames, overlap, shorten: ChunkPlan(
        n_fft=16, hop=4, n_frames=4 * n_frames, frame_multiple=4, overlap=overlap, shorten_last=shorten
    ),
    st.integers(2, 12),
    overlaps,
    st.booleans(),
)
lengths = st.integers(0, 1500)


def through(plan: ChunkPlan, audio: np.ndarray, blocks: list[int]) -> np.ndarray:
    """Audio through chunker and overlap-add, with a network that changes nothing, in blocks of these sizes."""
    chunker, joined = Chunker(plan, (2,)), OverlapAdd(plan, (2,))
    out = [np.zeros((2, 0), np.float32)]
    position = 0
    items = []
    for size in blocks:
        items += list(chunker.push(audio[:, position : position + size]))
        position += size
    items += list(chunker.push(audio[:, position:]))
    items += list(chunker.flush())
    for chunk, samples in items:
        assert samples.shape[1] == plan.n_input(chunk)
        out.append(joined.add(chunk, samples[:, plan.n_fft : -plan.n_fft]))
    return np.concatenate(out, axis=1)[:, : audio.shape[1]]


@given(plans, lengths)
def test_the_cores_cover_every_sample_and_no_chunk_is_superfluous(plan: ChunkPlan, n_samples: int) -> None:
    chunks = list(plan.chunks(n_samples))
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True] * bool(chunks)
    assert bool(chunks) == bool(n_samples)
    end = 0
    for index, chunk in enumerate(chunks):
        assert chunk.start == index * plan.step
        assert chunk.start <= end < n_samples
        end = chunk.start + plan.core_of(chunk.n_frames)
    assert end >= n_samples


@given(plans, lengths)
def test_frame_counts_are_multiples_and_only_the_last_chunk_is_shorter(plan: ChunkPlan, n_samples: int) -> None:
    chunks = list(plan.chunks(n_samples))
    assert all(chunk.n_frames == plan.n_frames for chunk in chunks[:-1])
    for chunk in chunks[-1:]:
        assert chunk.n_frames % plan.frame_multiple == 0
        assert chunk.n_frames <= plan.n_frames
        if plan.shorten_last:
            # One multiple less would not reach the end.
            assert chunk.start + plan.core_of(chunk.n_frames - plan.frame_multiple) < n_samples
        else:
            assert chunk.n_frames == plan.n_frames


@given(plans, lengths)
def test_steps_keep_the_frames_on_one_grid(plan: ChunkPlan, n_samples: int) -> None:
    assert all(chunk.start % plan.hop == 0 for chunk in plan.chunks(n_samples))


@given(plans, lengths.filter(bool))
def test_divided_by_their_sum_the_weights_are_one_everywhere(plan: ChunkPlan, n_samples: int) -> None:
    joined = OverlapAdd(plan, ())
    parts = [joined.add(chunk, np.ones(plan.core_of(chunk.n_frames), np.float32)) for chunk in plan.chunks(n_samples)]
    total = np.concatenate(parts)
    assert len(total) >= n_samples
    # A sum of up to ten float32 products, divided by the same sum.
    np.testing.assert_allclose(total, 1, atol=1e-6)


@settings(deadline=None)
@given(plans, lengths, st.lists(st.integers(0, 400), max_size=12))
def test_blocks_of_any_size_give_the_same_samples(plan: ChunkPlan, n_samples: int, blocks: list[int]) -> None:
    audio = np.random.default_rng(n_samples).uniform(-1, 1, (2, n_samples)).astype(np.float32)
    whole = through(plan, audio, [])
    np.testing.assert_array_equal(through(plan, audio, blocks), whole)
    np.testing.assert_allclose(whole, audio, atol=1e-6)  # the rounding of the weights


def test_inside_a_track_chunks_see_their_real_neighbours() -> None:
    plan = ChunkPlan(n_fft=16, hop=4, n_frames=12, overlap=0.5)
    audio = np.arange(1, 301, dtype=np.float32)[None]
    padded = np.pad(audio[0], (plan.n_fft, 200))
    chunker = Chunker(plan, (1,))
    for chunk, samples in [*chunker.push(audio), *chunker.flush()]:
        np.testing.assert_array_equal(samples[0], padded[chunk.start : chunk.start + plan.n_input(chunk)])


def test_half_overlap_is_a_linear_cross_fade() -> None:
    plan = ChunkPlan(n_fft=16, hop=4, n_frames=13, overlap=0.5)
    assert plan.core == 2 * plan.step
    first, second = list(plan.chunks(3 * plan.step))[:2]
    fade_out = plan.weights(first)[plan.step :]
    fade_in = plan.weights(second)[: plan.step]
    np.testing.assert_allclose(fade_in + fade_out, 1, atol=1e-6)
    np.testing.assert_allclose(np.diff(fade_in), 1 / plan.step, atol=1e-6)


def test_a_waiting_track_needs_no_more_memory_than_a_chunk() -> None:
    plan = ChunkPlan(n_fft=16, hop=4, n_frames=12, overlap=0.25)
    chunker = Chunker(plan, (1,))
    for _ in range(1000):
        list(chunker.push(np.ones((1, 7), np.float32)))
        assert len(chunker._queue) <= plan.core + 2 * plan.n_fft + 7


@pytest.mark.parametrize("overlap", [-0.1, 0.91, float("nan")])
def test_overlaps_outside_0_to_09_are_refused(overlap: float) -> None:
    with pytest.raises(UsageError, match=r"from 0 to 0\.9"):
        ChunkPlan(n_fft=16, hop=4, n_frames=12, overlap=overlap)


@pytest.mark.parametrize("n_frames", [0, 4, 258])
def test_chunks_too_short_or_of_the_wrong_multiple_are_refused(n_frames: int) -> None:
    with pytest.raises(UsageError, match=f"a chunk has {n_frames} frames"):
        ChunkPlan(n_fft=6144, hop=1024, n_frames=n_frames, frame_multiple=4)


def test_the_smallest_chunk_the_message_names_is_accepted() -> None:
    with pytest.raises(UsageError, match="give at least 8"):
        ChunkPlan(n_fft=6144, hop=1024, n_frames=4, frame_multiple=4)
    assert ChunkPlan(n_fft=6144, hop=1024, n_frames=8, frame_multiple=4, overlap=0.9).step == 1024


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=30))
def test_a_queue_gives_back_what_was_pushed_in_order(steps: list[tuple[int, int]]) -> None:
    queue, pushed, popped = SampleQueue(()), 0, 0
    for n_push, n_pop in steps:
        queue.push(np.arange(pushed, pushed + n_push, dtype=np.float32))
        pushed += n_push
        n_pop = min(n_pop, len(queue))
        samples = queue.pop(n_pop)
        np.testing.assert_array_equal(samples, np.arange(popped, popped + n_pop))
        popped += n_pop
        assert len(queue) == pushed - popped
