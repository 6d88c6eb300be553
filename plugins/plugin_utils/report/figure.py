# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all charts share: the axis of seconds, the colours, the shaded faults, the legend.

The page sets the colours of text and lines from its style sheet, so dark mode and print reach the charts. The
legend is the page's as well, so that it wraps on a phone: each item names the renderer that it hides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bokeh.models import HoverTool, Range1d
from bokeh.models.annotations import BoxAnnotation
from bokeh.plotting import figure

# The palette of Okabe and Ito, which the colour-blind can tell apart, and lighter or darker kin of it.
BLUE, GREEN, ORANGE, RED, PINK, SKY = "#2f86c5", "#009e73", "#e69f00", "#d55e00", "#cc79a7", "#56b4e9"
GREY, SLATE, PURPLE, BROWN, GOLD = "#9aa2ae", "#66707e", "#8e6bd1", "#a0703c", "#f0c419"
LINES = (BLUE, ORANGE, GREEN, PINK, PURPLE, RED, SKY, BROWN)
DASHES = ("solid", "dashed", "dotted", "dotdash")
FAULT, RECOVERY = PURPLE, GOLD
LEFT_PX = 72
TEXT = "#7b8494"
FONT = "system-ui, sans-serif"


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a legend: its name, the colour of its mark, and the renderer that it hides."""

    name: str
    colour: str
    renderer: str
    dash: str = "solid"


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart ready for the page."""

    title: str
    note: str
    plot: Any
    legend: Sequence[Item] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Frame:
    """What every chart of a page stands on: the shared axis, and when faults held and were recovered from."""

    axis: Range1d
    faults: Sequence[tuple[float, float]]
    recoveries: Sequence[tuple[float, float]]

    def figure(self, height_px: int, **more: Any) -> Any:
        """Return an empty figure on the shared axis, with the faults shaded."""
        plot = _empty(self.axis, height_px, **more)
        for colour, alpha, windows in ((FAULT, 0.15, self.faults), (RECOVERY, 0.22, self.recoveries)):
            for from_s, to_s in windows:
                plot.add_layout(BoxAnnotation(
                    left=from_s, right=to_s, fill_color=colour, fill_alpha=alpha, line_color=colour,
                    line_alpha=0.7, line_dash="dashed", level="underlay",
                ))  # fmt: skip
        return plot


def hover(
    plot: Any,
    tips: Sequence[tuple[str, str]],
    renderers: Sequence[Any],
    mode: Literal["vline", "mouse"] = "vline",
) -> None:
    """Say the values under the pointer."""
    plot.add_tools(HoverTool(tooltips=list(tips), mode=mode, renderers=list(renderers)))


def items(chart: str, colours: Mapping[str, str], names: Iterable[str]) -> list[Item]:
    """Return the legend of renderers that are called ``chart:name``."""
    return [Item(name, colours[name], f"{chart}:{name}") for name in names]


def _empty(axis: Range1d, height_px: int, **more: Any) -> Any:
    plot = figure(
        x_range=axis, height=height_px, sizing_mode="stretch_width",
        min_border_left=LEFT_PX, min_border_right=14, min_border_top=4,
        tools="xpan,xbox_zoom,xwheel_zoom,reset,save", active_drag="xbox_zoom", active_scroll=None,
        toolbar_location="above", background_fill_color=None, border_fill_color=None, outline_line_color=None,
        **more,
    )  # fmt: skip
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.xgrid.grid_line_color = None
    plot.axis.axis_label_text_color = plot.axis.major_label_text_color = plot.axis.axis_line_color = TEXT
    plot.grid.grid_line_alpha = 0.35
    plot.axis.minor_tick_line_color = None
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_label_text_font = plot.axis.major_label_text_font = FONT
    plot.axis.axis_label_text_font_size = plot.axis.major_label_text_font_size = "12px"
    return plot
