"""The figure of `bench rates`: loss against rate, and activation against width."""

from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.bench.rates import digits

WIDTH_COLOURS = ("#4477aa", "#cc6677", "#228833", "#aa8800", "#66ccee", "#aa3377")
SITES = {
    "embedding": "#4477aa",
    "attention.2": "#cc6677",
    "mlp.2": "#228833",
    "layer.2": "#aa8800",
    "logits": "#aa3377",
}


def write_figure(result: dict[str, Any], out: Path) -> Path:
    """Writes one self-contained page and returns its path."""
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=("Validation loss by learning rate", "Activation after the last step by width")
    )
    _losses(figure, result)
    _activations(figure, result["coordinates"])
    figure.update_layout(template="plotly_white", height=480, margin={"t": 60})
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.write_html(out, include_plotlyjs=True)
    return out


def _losses(figure: go.Figure, result: dict[str, Any]) -> None:
    for row, colour in zip(result["widths"], WIDTH_COLOURS, strict=False):
        name = f"width {row['width']}, best {digits(row['best_rate'], '.2g')}"
        line = go.Scatter(x=result["rates"], y=row["mean_losses"], name=name, line={"color": colour})
        figure.add_trace(line, row=1, col=1)
        for losses in row["losses"].values():
            seed = go.Scatter(
                x=result["rates"], y=losses, mode="markers", marker={"color": colour, "size": 5}, showlegend=False
            )
            figure.add_trace(seed, row=1, col=1)
        if row["best_rate"] is not None:
            figure.add_vline(x=row["best_rate"], line={"color": colour, "dash": "dot"}, row=1, col=1)  # pyright: ignore[reportArgumentType]
    figure.update_xaxes(title="learning rate", type="log", row=1, col=1)
    figure.update_yaxes(title="nats a token", row=1, col=1)


def _activations(figure: go.Figure, coordinates: dict[str, Any]) -> None:
    for kind, dash in (("mup", "solid"), ("standard", "dot")):
        for site, colour in SITES.items():
            last = [steps[-1] for steps in coordinates[kind]["activations"][site]]
            name = f"{site}, {'muP' if kind == 'mup' else kind}: slope {coordinates[kind]['slopes'][site]:+.2f}"
            line = go.Scatter(x=coordinates["widths"], y=last, name=name, line={"color": colour, "dash": dash})
            figure.add_trace(line, row=1, col=2)
    figure.update_xaxes(title="width", type="log", row=1, col=2)
    figure.update_yaxes(title="mean absolute activation", type="log", row=1, col=2)
