"""Networks optimized for inference: the same labels in less time."""

import copy
from collections import Counter

from torch import fx, nn
from torch.fx.experimental.optimization import fuse


def fold_batch_norms(model: nn.Module) -> nn.Module:
    """A copy of the model, in eval mode, with batch norms folded into the convolutions before them.

    Its logits differ only by rounding. A batch norm stays where its input is not the output of a single convolution:
    after a sum or a concatenation, as every second one in pre-activation and dense networks. A max pooling may lie
    between the two if no channel is reversed. A model that torch.fx cannot trace, for example because its control flow
    depends on the input, is only copied.
    """
    model = copy.deepcopy(model).eval()
    try:
        traced = fx.symbolic_trace(model)
    except Exception:  # the model's code runs on proxies, and may raise anything
        return model
    calls = Counter(str(node.target) for node in traced.graph.nodes if node.op == "call_module")
    if any(count > 1 and list(traced.get_submodule(name).parameters()) for name, count in calls.items()):
        return model  # a module that is used twice would be folded twice
    _pool_last(traced)
    return fuse(traced, inplace=True, no_trace=True)


def _pool_last(traced: fx.GraphModule) -> None:
    """Moves batch norms before the preceding max pooling where the result is the same.

    It is if batch norm multiplies each channel by a positive number: the largest value stays the largest.
    """
    modules = dict(traced.named_modules())
    for norm in traced.graph.nodes:
        if norm.op != "call_module" or type(modules[norm.target]) is not nn.BatchNorm2d:
            continue
        (pool,), weight = norm.all_input_nodes, modules[norm.target].weight
        if pool.op != "call_module" or type(modules[pool.target]) is not nn.MaxPool2d or len(pool.users) > 1:
            continue
        (source,) = pool.all_input_nodes
        folds = source.op == "call_module" and type(modules[source.target]) is nn.Conv2d and len(source.users) == 1
        if folds and weight is not None and weight.min() > 0:
            norm.target, pool.target = pool.target, norm.target
    traced.recompile()
