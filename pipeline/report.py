"""Write the experiment on one page that opens anywhere, and log it."""

from __future__ import annotations

from ducklane.errors import exits_cleanly
from ducklane.project.outputs import replacing
from ducklane.settings import load


def main() -> None:
    """Refuse invalid settings and missing results before anything heavy is loaded; then write the page."""
    settings = load()
    # imported here: MLflow takes seconds to load
    from ducklane.reporting.origin import recorded
    from ducklane.reporting.report import REPORT, render
    from ducklane.reporting.results import read_results
    from ducklane.tracking.registry import champion
    from ducklane.tracking.runs import continued_run

    results = read_results()
    # into the run that has the scores
    with continued_run(results.origin["mlflow_run_id"], settings, "evaluate") as run:
        with replacing(REPORT) as draft:
            page = render(results, settings, recorded(run), champion(settings.export.registered_model_name))
            draft.write_text(page, encoding="utf-8")
        run.log_artifact(REPORT)
    print(f"{REPORT}: {REPORT.stat().st_size / 1e6:.1f} MB; open it in a browser")


if __name__ == "__main__":
    exits_cleanly(main)()
