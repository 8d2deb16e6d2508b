"""The verbs that read a table of anyone's: `scalelab fit`, `saturation`, `forecast`, `design` and `extrapolate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.params import EstimatorName, LawName
from experiments.options import Html, Json, give, give_answer, write_html


def _column(name: str) -> Any:
    return typer.Option(help=f"What the table calls {name}.")


Points = Annotated[
    str | None,
    typer.Argument(help="CSV or parquet with params, tokens, loss, or mlflow:EXPERIMENT; without it our own runs."),
]
ParamsCol = Annotated[str | None, _column("params")]
TokensCol = Annotated[str | None, _column("tokens")]
LossCol = Annotated[str | None, _column("loss")]
Bootstrap = Annotated[int | None, typer.Option(help="Refitted draws behind every interval.")]


def named_columns(params: str | None, tokens: str | None, loss: str | None) -> dict[str, str]:
    """The columns that the command line named."""
    columns = {"params": params, "tokens": tokens, "loss": loss}
    return {name: theirs for name, theirs in columns.items() if theirs is not None}


def fit(
    points: Points = None,
    params_col: ParamsCol = None,
    tokens_col: TokensCol = None,
    loss_col: LossCol = None,
    law: Annotated[LawName | None, typer.Option(help="The functional form; hoffmann unless said otherwise.")] = None,
    estimator: Annotated[EstimatorName | None, typer.Option(help="What is summed over residuals of ln L.")] = None,
    delta: Annotated[float | None, typer.Option(help="Huber's threshold, 0.001 unless said otherwise.")] = None,
    drop_highest: Annotated[int, typer.Option(help="Leave out that many of the highest losses.")] = 0,
    bootstrap: Bootstrap = None,
    json_out: Json = None,
    html_out: Html = None,
) -> None:
    """Fit a scaling law to runs, with intervals, diagnostics and a check on held-out cells."""
    from experiments.fits import fit_params, fit_table
    from experiments.law import LAW, fit_own, print_law

    settings = fit_params({"law": law, "estimator": estimator, "delta": delta, "bootstrap": bootstrap})
    named = named_columns(params_col, tokens_col, loss_col)
    if points is not None:
        runs, found = fit_table(points, named, settings, drop_highest)
    elif named or drop_highest:
        raise ValueError("fit: name the table that --drop-highest, --params-col, --tokens-col or --loss-col is about")
    else:
        runs, found = fit_own(settings)
    give_answer("law", found, LAW if points is None else None, json_out, lambda: print_law(found))
    if html_out is not None:
        from analysis.pages_law import fit_page

        write_html(html_out, *fit_page(runs, found))


def saturation(
    points: Points = None,
    params_col: ParamsCol = None,
    tokens_col: TokensCol = None,
    loss_col: LossCol = None,
    bootstrap: Bootstrap = None,
    json_out: Json = None,
    html_out: Html = None,
) -> None:
    """Say at how much data each size stops improving, on fresh and on repeated tokens."""
    from experiments.fits import fit_params
    from experiments.saturation import SATURATION, own_saturation, print_saturation, saturation_of_table

    settings = fit_params({"bootstrap": bootstrap})
    named = named_columns(params_col, tokens_col, loss_col)
    if points is not None:
        runs, found = saturation_of_table(points, named, settings)
    elif named:
        raise ValueError("saturation: name the table that --params-col, --tokens-col or --loss-col is about")
    else:
        runs, found = own_saturation(settings)
    own = SATURATION if points is None else None
    give_answer("saturation", found, own, json_out, lambda: print_saturation(found))
    if html_out is not None:
        from analysis.pages_saturation import saturation_page

        write_html(html_out, *saturation_page(runs, found))


LawFile = Annotated[Path, typer.Argument(help="What `fit --json` wrote.")]


def forecast(
    law: LawFile,
    flops: Annotated[float | None, typer.Option(help="Training budget, 6ND.")] = None,
    params: Annotated[float | None, typer.Option(help="A size, instead of the best.")] = None,
    tokens: Annotated[float | None, typer.Option(help="A token count, instead of the best.")] = None,
    tokens_served: Annotated[
        float | None, typer.Option(help="Tokens to serve out of the same budget, 2N each.")
    ] = None,
    json_out: Json = None,
    html_out: Html = None,
) -> None:
    """Say what a budget buys: loss, best size and tokens, with prediction intervals."""
    from experiments.fits import forecast as made
    from experiments.fits import print_forecast, read_forecaster

    found = made(law, flops, params, tokens, tokens_served)
    give(found, json_out, lambda: print_forecast(found))
    if html_out is not None:
        from analysis.pages import forecast_page

        write_html(html_out, *forecast_page(read_forecaster(law), found))


def design(
    law: LawFile,
    budget: Annotated[float, typer.Option(help="FLOPs to spend on all the runs together.")],
    runs: Annotated[int, typer.Option(help="How many runs.")] = 3,
    flops: Annotated[
        float | None, typer.Option(help="The forecast to narrow; ten times the largest run's unless said.")
    ] = None,
    json_out: Json = None,
    html_out: Html = None,
) -> None:
    """Choose the next runs: those that narrow a forecast most for their cost."""
    from experiments.fits import design as made
    from experiments.fits import print_design, read_forecaster

    found = made(law, budget, runs, flops)
    give(found, json_out, lambda: print_design(found))
    if html_out is not None:
        from analysis.pages import design_page

        write_html(html_out, *design_page(read_forecaster(law), found))


def extrapolate(
    curves: Annotated[
        Path, typer.Argument(help="CSV or Parquet with x, y, split (train, test); y of test is not read.")
    ],
    json_out: Json = None,
    csv_out: Annotated[Path | None, typer.Option("--csv", help="Write a forecast for every test row here.")] = None,
    html_out: Html = None,
) -> None:
    """Continue learning curves beyond their training rows, with 95% intervals."""
    from experiments.curves import forecast_table, print_forecasts, write_forecasts

    result, rows = forecast_table(curves)
    write_forecasts(curves, result, rows, json_out, csv_out)
    if str(json_out) != "-":
        print_forecasts(result)
    if html_out is not None:
        from analysis.curves.table import read_curves
        from analysis.pages import curves_page

        write_html(html_out, *curves_page(read_curves(curves), rows))
