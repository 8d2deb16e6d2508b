"""fp32 matrix products of a compiled step on an AMD core with AVX-512: through oneDNN instead of torch's usual MKL.

There MKL takes its AVX2 path and oneDNN the AVX-512 one: on large matrices at 2.2 times the speed on one EPYC, at 1.1
times on a Zen 4 (experiments/archive/bench/train-amd-epyc.json, train-amd-epyc-zen4.json). On a Zen 3, where both have
AVX2 alone, MKL is the faster for products of our sizes; on Intel cores too. Both compute in fp32; their sums differ in
the last digits.
"""

from pathlib import Path
from typing import Any, cast

import torch
from torch._inductor import lowering
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch.fx import Graph, Node

NARROWEST = 32  # the least side of a product that pays for oneDNN's call: below it MKL is the faster by a fifth


class MatmulsToOneDnn(CustomGraphPass):
    """Replaces every wide fp32 aten.mm on the CPU by oneDNN's linear, a @ b.T, which reads any strides of `b`."""

    def __call__(self, graph: Graph) -> None:
        """Rewrites the graph in place."""
        linear = torch.ops.mkldnn._linear_pointwise.default
        # Inductor lowers this operator only for frozen weights: call it as it is, with the strides it is given here.
        lowering.add_layout_constraint(linear, lowering.constrain_to_fx_strides)
        lowering.lowerings[linear] = lowering.fallback_handler(linear, add_to_fallback_set=False)
        for node in graph.find_nodes(op="call_function", target=torch.ops.aten.mm.default):
            value, shared = node.meta["val"], cast(Node, node.args[0]).meta["val"].shape[1]
            wide = min(*value.shape, shared) >= NARROWEST
            if wide and value.device.type == "cpu" and value.dtype == torch.float32:
                with graph.inserting_before(node):
                    node.replace_all_uses_with(_product(graph, linear, node))
                graph.erase_node(node)

    def uuid(self) -> bytes:
        """What the compile cache knows this pass by: its source."""
        return get_hash_for_files((__file__,))


def _product(graph: Graph, linear: Any, matmul: Node) -> Node:
    """Nodes that do what `matmul` does; a transposed left side is copied, fused with what made it."""

    def call(target: Any, value: torch.Tensor, *args: Any, **options: Any) -> Node:
        node = graph.call_function(target, args, options)
        node.meta["val"] = value
        return node

    aten = torch.ops.aten
    left, right = cast(tuple[Node, Node], matmul.args)
    left_value = left.meta["val"]
    if not left_value.is_contiguous():
        left = call(aten.clone.default, left_value.contiguous(), left, memory_format=torch.contiguous_format)
    transposed = call(aten.permute.default, right.meta["val"].t(), right, [1, 0])
    return call(linear, matmul.meta["val"], left, transposed, None, "none", [], "")


def compile_options(device: torch.device) -> dict[str, Any]:
    """What torch.compile is given beside its defaults on that device."""
    if device.type != "cpu":
        return {}
    # Without its tiling heuristics inductor also vectorises the rotary embedding of heads 16 wide.
    options: dict[str, Any] = {"cpp.enable_tiling_heuristics": False}
    if is_amd_with_avx512(Path("/proc/cpuinfo")) and torch.backends.mkldnn.is_available():
        options["post_grad_custom_post_pass"] = MatmulsToOneDnn()
    return options


def is_amd_with_avx512(cpuinfo: Path) -> bool:
    """Whether Linux describes such a processor; False where there is no such file."""
    words = cpuinfo.read_text().split() if cpuinfo.exists() else []
    return {"AuthenticAMD", "avx512f"} <= set(words)
