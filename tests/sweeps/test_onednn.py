from pathlib import Path

import pytest
import torch

from sweeps import onednn
from sweeps.onednn import MatmulsToOneDnn, compile_options, is_amd_with_avx512


@pytest.mark.parametrize(("inner", "num_rewritten"), [(32, 3), (16, 0)], ids=["wide", "narrow"])
def test_the_rewritten_products_and_their_gradients_equal_the_eager_ones(inner: int, num_rewritten: int):
    def loss_of(left, weight):
        return torch.nn.functional.silu(left @ weight).square().mean()

    generator = torch.Generator().manual_seed(0)
    left, weight = (torch.randn(shape, generator=generator, requires_grad=True) for shape in ((48, inner), (inner, 80)))
    rewrite = MatmulsToOneDnn()
    rewritten = []

    class Watched(MatmulsToOneDnn):
        def __call__(self, graph):
            rewrite(graph)
            rewritten.extend(graph.find_nodes(op="call_function", target=torch.ops.mkldnn._linear_pointwise.default))
            left_alone = graph.find_nodes(op="call_function", target=torch.ops.aten.mm.default)
            assert bool(left_alone) == (num_rewritten == 0)

        def uuid(self):
            return None  # no cache: the pass must run here

    torch._dynamo.reset()
    compiled = torch.compile(loss_of, dynamic=False, options={"post_grad_custom_post_pass": Watched()})
    expected = torch.autograd.grad(loss_of(left, weight), (left, weight))
    found = torch.autograd.grad(compiled(left, weight), (left, weight))

    assert len(rewritten) == num_rewritten
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_only_an_amd_processor_with_avx512_takes_the_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cpuinfo = tmp_path / "cpuinfo"
    assert not is_amd_with_avx512(cpuinfo)
    for vendor, flags, takes in [
        ("GenuineIntel", "fma avx2 avx512f avx512bw", False),
        ("AuthenticAMD", "fma avx2", False),
        ("AuthenticAMD", "fma avx2 avx512f avx512bw", True),
    ]:
        cpuinfo.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: {flags}\nbogomips\t: 4890.87\n")
        assert is_amd_with_avx512(cpuinfo) == takes
        monkeypatch.setattr(onednn, "is_amd_with_avx512", lambda _, takes=takes: takes)
        assert ("post_grad_custom_post_pass" in compile_options(torch.device("cpu"))) == takes
        assert compile_options(torch.device("cuda")) == {}
