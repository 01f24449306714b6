"""Networks made ready for prediction alone: the same labels, sooner."""

import copy
from collections import Counter

from torch import fx, nn
from torch.fx.experimental.optimization import fuse


def fold_batch_norms(model: nn.Module) -> nn.Module:
    """A copy of the model, in eval mode, whose batch norms are folded into the convolutions before them.

    Its logits differ by rounding alone. A batch norm stays where its input is not the output of one convolution alone:
    behind a sum or a concatenation, as every second one of pre-activation and dense networks. A max pooling between the
    two is no hindrance while no channel is reversed. A model that torch.fx cannot trace, whose path depends on its
    input say, is only copied.
    """
    model = copy.deepcopy(model).eval()
    try:
        traced = fx.symbolic_trace(model)
    except Exception:  # its code runs on stand-ins for tensors, and may raise anything
        return model
    calls = Counter(str(node.target) for node in traced.graph.nodes if node.op == "call_module")
    if any(count > 1 and list(traced.get_submodule(name).parameters()) for name, count in calls.items()):
        return model  # what is used twice would be folded twice
    _pool_last(traced)
    return fuse(traced, inplace=True, no_trace=True)


def _pool_last(traced: fx.GraphModule) -> None:
    """Puts batch norm before a max pooling that it stands behind, where that gives the same.

    It does while batch norm multiplies each channel by a positive number: the largest value stays the largest.
    """
    modules = dict(traced.named_modules())
    for norm in traced.graph.nodes:
        if norm.op != "call_module" or type(modules[norm.target]) is not nn.BatchNorm2d:
            continue
        (before,), weight = norm.all_input_nodes, modules[norm.target].weight
        if before.op != "call_module" or type(modules[before.target]) is not nn.MaxPool2d or len(before.users) > 1:
            continue
        (source,) = before.all_input_nodes
        folds = source.op == "call_module" and type(modules[source.target]) is nn.Conv2d and len(source.users) == 1
        if folds and weight is not None and weight.min() > 0:
            norm.target, before.target = before.target, norm.target
    traced.recompile()
