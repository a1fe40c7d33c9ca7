"""The page of the comparison: tables and plots, made from the figures that were kept and from nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .ratios import base_of

__all__ = ["write_page"]

#: The entry of a kernel that is to be compared.
KERNEL = "the kernel, one thread"

HEAD = """# parallel_deco beside its peers

Made by `python -m benchmarks.report` from [{file}](../benchmarks/results/{file}); nothing here is written by hand.
{processor}, {cpus} CPUs, {system}, Python {python}, {date}. {versions}.

It is one machine with one version of Python: of more CPUs, and of builds without a GIL, it says nothing.

All contenders take turns, round after round ({rounds} rounds), so what slows the machine down for a while hits
everybody; the figures are medians. Each library runs with its defaults, and once more, where the row names a width or a
chunk size, with what somebody would set who knows the work. Differences under a quarter are ties on a machine like this
one. Where a peer is better than parallel_deco, the table says so; what each route would have cost is in the rows of its
explicit backends. A kernel is compared on one thread, as the others are, but for NumPy's BLAS, which has all CPUs.
"""


def write_page(figures: dict[str, Any], file: str, folder: Path) -> Path:
    """Write the page and its plots.

    Parameters
    ----------
    figures : dict
        What `report.run` returned.
    file : str
        Name of the file that keeps them.
    folder : Path
        Gets `comparison.md`, and a folder `comparison` of plots.

    Returns
    -------
    Path
        Of the page.
    """
    plots = folder / "comparison"
    plots.mkdir(parents=True, exist_ok=True)
    groups = [group for group in figures["groups"] if group["medians"]]
    parts = [head(figures, file), overview(groups)]
    for group in groups:
        draw(group, plots / f"{group['name']}.svg")
        parts.append(section(group))
    page = folder / "comparison.md"
    page.write_text("\n".join(parts))
    return page


def head(figures: dict[str, Any], file: str) -> str:
    """Return the beginning of the page."""
    about = figures["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    words = {**about, "versions": versions, "rounds": figures["rounds"], "file": file}
    return HEAD.format(**words)


def is_ours(name: str) -> bool:
    """Whether an entry is this library's."""
    return name.startswith(("parallel_deco", "the kernel")) or name.endswith(("1 worker", " workers"))


def best(medians: dict[str, float], ours: bool) -> str | None:
    """Return the fastest entry of this library, or of the others."""
    names = [name for name in medians if is_ours(name) == ours]
    return min(names, key=medians.__getitem__) if names else None


def chosen(medians: dict[str, float]) -> str | None:
    """Return the entry of this library as it is used by default; a kernel's is that on one thread; or its fastest."""
    return next((name for name in ("parallel_deco", KERNEL) if name in medians), best(medians, ours=True))


def shown(seconds: float, group: dict[str, Any]) -> str:
    """Return a time for one task, in the question's unit."""
    name, scale = group["unit"]
    value = seconds * scale / group["per"]
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f} {name}"


def times(ratio: float) -> str:
    """Return a ratio with as many digits as mean something."""
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


def overview(groups: list[dict[str, Any]]) -> str:
    """Return the table of all questions."""
    lines = ["| question | parallel_deco | fastest other | as many times as long |", "|---|---|---|--:|"]
    for group in groups:
        medians = group["medians"]
        us, other = chosen(medians), best(medians, ours=False)
        if us is None or other is None:
            continue
        title = f"{us}: " if us == KERNEL else ""
        lines.append(
            f"| [{group['question']}](#{group['name']}) | {title}{shown(medians[us], group)} |"
            f" {other}: {shown(medians[other], group)} | {times(medians[us] / medians[other])} |"
        )
    return "\n".join(lines) + "\n"


def section(group: dict[str, Any]) -> str:
    """Return the part of the page for one question."""
    name, medians, limit = group["name"], group["medians"], group["limit"]
    base = base_of(medians)
    columns = ["contender", "median"] + ([f"times {base}"] if base else []) + (["times the limit"] if limit else [])
    lines = [f'## <a id="{name}"></a>{group["question"]}', "", f"![{group['question']}](comparison/{name}.svg)", ""]
    lines += [f"| {' | '.join(columns)} |", "|---" + "|--:" * (len(columns) - 1) + "|"]
    for entry in sorted(medians, key=medians.__getitem__):
        title = f"**{entry}**" if is_ours(entry) else entry
        cells = [title, shown(medians[entry], group)]
        cells += [times(medians[entry] / medians[base])] if base else []
        cells += [times(medians[entry] / limit["seconds"])] if limit else []
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    if limit:
        lines.append(f"The limit: {limit['words']}, {shown(limit['seconds'], group)}.")
    if group["notes"]:
        lines.append(group["notes"])
    lines += [f"Did not take part: {entry} ({why})." for entry, why in sorted(group["missing"].items())]
    return "\n".join(lines) + "\n"


def draw(group: dict[str, Any], path: Path) -> None:
    """Draw bars, the fastest on top, with the limit as a line."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    medians, limit = group["medians"], group["limit"]
    names = sorted(medians, key=medians.__getitem__, reverse=True)
    unit, scale = group["unit"]
    values = [medians[name] * scale / group["per"] for name in names]
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "parallel_deco", "font.size": 9}):
        figure = Figure(figsize=(8, 0.9 + 0.26 * len(names)), layout="constrained")
        axes = figure.subplots()
        bars = axes.barh(names, values, color=["#c8501e" if is_ours(name) else "#9aa5b1" for name in names])
        axes.bar_label(bars, [shown(medians[name], group) for name in names], padding=3)
        least = min([*values, limit["seconds"] * scale / group["per"]] if limit else values)
        if max(values) > 20 * least:
            axes.set_xscale("log")
            axes.set_xlim(least / 2, max(values) * 6)
            axes.set_xlabel(f"{unit}, logarithmic; shorter is faster")
        else:
            axes.set_xlim(0, max(values) * 1.2)
            axes.set_xlabel(f"{unit}; shorter is faster")
        if limit:
            axes.axvline(limit["seconds"] * scale / group["per"], color="black", linestyle="--", linewidth=1)
            words = f"limit: {limit['words'].replace('`', '')}"
            axes.annotate(words, (limit["seconds"] * scale / group["per"], len(names) - 0.4), fontsize=8)
        axes.set_title(group["question"], loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, format="svg", metadata={"Date": None})
