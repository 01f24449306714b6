"""What TensorBoard shows of a folder, read by its own two loaders."""

import time
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.data_ingester import DEFAULT_SIZE_GUIDANCE, DEFAULT_TENSOR_SIZE_GUIDANCE
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.data.server_ingester import SubprocessServerDataIngester, get_server_binary
from tensorboard.util.grpc_util import ChannelCredsType

LOADERS = ("--load_fast=true", "--load_fast=false")

Scalars = dict[str, list[tuple[int, float]]]  # of each tag the steps and values, in the order of the page


def scalars(folder: Path, loader: str) -> Scalars:
    if loader == "--load_fast=false":
        return shown_by(opened(folder), folder)
    server = SubprocessServerDataIngester(
        get_server_binary(), str(folder), reload_interval=0, channel_creds_type=ChannelCredsType.LOCAL
    )
    server.start()
    until = time.monotonic() + 60
    try:
        while not (found := _scalars(server.data_provider)) and time.monotonic() < until:  # it answers while it loads
            time.sleep(0.05)
        return found
    finally:
        server._stdin_handle.close()  # which ends it


def opened(folder: Path) -> EventMultiplexer:
    """A TensorBoard at work on a folder, which its `Reload` looks at again."""
    board = EventMultiplexer(
        size_guidance=DEFAULT_SIZE_GUIDANCE, tensor_size_guidance=DEFAULT_TENSOR_SIZE_GUIDANCE, purge_orphaned_data=True
    )
    board.AddRunsFromDirectory(str(folder))
    board.Reload()
    return board


def shown_by(board: EventMultiplexer, folder: Path) -> Scalars:
    return _scalars(MultiplexerDataProvider(board, str(folder)))


def _scalars(provider: Any) -> Scalars:
    found = provider.read_scalars(RequestContext(), downsample=1000, experiment_id="", plugin_name="scalars")
    return {tag: [(each.step, each.value) for each in points] for run in found.values() for tag, points in run.items()}
