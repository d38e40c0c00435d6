//! Plots as SVG text: panels above each other with one time axis.
//!
//! The same input gives the same bytes everywhere: logarithms come from `libm`, and text is not measured with the fonts of the
//! machine. The background is white, so that a page's own may be dark.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;

const WIDTH: u32 = 900;
const PANEL_HEIGHT: u32 = 220;
const TITLE_HEIGHT: u32 = 40;

/// A colour that is told from the others also by those who see fewer (Okabe and Ito).
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
pub const ORANGE: RGBColor = RGBColor(213, 94, 0);
pub const GREEN: RGBColor = RGBColor(0, 158, 115);
const GREY: RGBColor = RGBColor(90, 90, 90);

/// How points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Dots,
    Line,
    /// A line that keeps each value until the next.
    Steps,
    /// A reference: dashed and grey.
    Dashes,
}

/// Points in the order of their x, in the units of the axes.
pub struct Series {
    pub label: &'static str,
    pub mark: Mark,
    pub color: RGBColor,
    pub points: Vec<(f64, f64)>,
}

/// A dashed line with the name of what it stands for.
pub fn reference(label: &'static str, points: Vec<(f64, f64)>) -> Series {
    Series {
        label,
        mark: Mark::Dashes,
        color: GREY,
        points,
    }
}

/// One of the panels.
pub struct Panel {
    /// What is measured, with its unit.
    pub label: &'static str,
    /// The powers of ten at both ends, for a logarithmic axis.
    pub decades: Option<(i32, i32)>,
    pub series: Vec<Series>,
}

/// Draws the panels over the same `x` axis.
pub fn draw(title: &str, x_label: &str, x: (f64, f64), panels: &[Panel]) -> String {
    let mut svg = String::new();
    let height = TITLE_HEIGHT + PANEL_HEIGHT * panels.len() as u32;
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE).expect("a string takes all");
        let root = root
            .titled(title, ("sans-serif", 20).into_font().color(&BLACK))
            .expect("a string takes all");
        for (index, (area, panel)) in root
            .split_evenly((panels.len(), 1))
            .iter()
            .zip(panels)
            .enumerate()
        {
            let label = (index + 1 == panels.len()).then_some(x_label);
            draw_panel(area, x, label, panel);
        }
        root.present().expect("a string takes all");
    }
    // Without what is so anyway, and without spaces at the ends of lines.
    svg.lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect::<String>()
        .replace(" opacity=\"1\"", "")
        .replace(" stroke=\"none\" stroke-width=\"1\"", "")
}

/// A linear axis with labels at the multiples of a step.
struct Axis {
    range: (f64, f64),
    step: f64,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let (low, high) = self.range;
        let part = (value - low) / (high - low);
        first + (part * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        let (low, high) = self.range;
        let first = (low / self.step).ceil() as i32;
        let last = (high / self.step).floor() as i32;
        (first..=last)
            .map(|step| f64::from(step) * self.step)
            .collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.0..self.range.1
    }
}

fn draw_panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    x: (f64, f64),
    x_label: Option<&str>,
    panel: &Panel,
) {
    let height = |value: f64| match panel.decades {
        Some(_) => libm::log10(value),
        None => value,
    };
    let (low, high, step) = match panel.decades {
        Some((low, high)) => (f64::from(low), f64::from(high), 1.0),
        None => linear_range(panel),
    };
    let across = Axis {
        range: x,
        step: tick_step(x.1 - x.0, 12.0),
    };
    let up = Axis {
        range: (low, high),
        step,
    };
    let mut chart = ChartBuilder::on(area)
        .margin_right(20)
        .margin_left(14)
        .margin_top(8)
        .set_label_area_size(LabelAreaPosition::Left, 80)
        .set_label_area_size(
            LabelAreaPosition::Bottom,
            if x_label.is_some() { 45 } else { 25 },
        )
        .build_cartesian_2d(across, up)
        .expect("the ranges are not empty");
    let decades = panel.decades.is_some();
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .axis_style(GREY)
        .label_style(("sans-serif", 13).into_font().color(&BLACK))
        .axis_desc_style(("sans-serif", 14).into_font().color(&BLACK))
        .x_desc(x_label.unwrap_or_default())
        .y_desc(panel.label)
        .x_label_formatter(&|value| plain(*value))
        .y_label_formatter(&|value| {
            if decades {
                power(value.round() as i32)
            } else {
                plain(*value)
            }
        })
        .draw()
        .expect("a string takes all");
    for series in &panel.series {
        let points = visible(series, x, (low, high), height);
        let color = series.color;
        let drawn = match series.mark {
            Mark::Dots => chart.draw_series(
                points
                    .into_iter()
                    .map(|point| Circle::new(point, 2, color.filled())),
            ),
            Mark::Line | Mark::Steps => {
                chart.draw_series(LineSeries::new(points, color.stroke_width(2)))
            }
            Mark::Dashes => {
                chart.draw_series(DashedLineSeries::new(points, 6, 4, color.stroke_width(1)))
            }
        };
        let legend = drawn.expect("a string takes all");
        if !series.label.is_empty() {
            let dots = series.mark == Mark::Dots;
            legend.label(series.label).legend(move |(x, y)| {
                // A legend is one kind of element, so dots are a short line in it.
                let from = if dots { x + 8 } else { x };
                PathElement::new(
                    vec![(from, y), (from + if dots { 4 } else { 18 }, y)],
                    color.stroke_width(if dots { 4 } else { 2 }),
                )
            });
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font(("sans-serif", 13).into_font().color(&BLACK))
        .background_style(WHITE.mix(0.85))
        .draw()
        .expect("a string takes all");
}

/// The points inside of the axes, few enough for a small file: of those that fall on one pixel, the first.
fn visible(
    series: &Series,
    x: (f64, f64),
    (low, high): (f64, f64),
    height: impl Fn(f64) -> f64,
) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    // A line begins with the last point before the axis, moved onto it.
    let first = match series.mark {
        Mark::Dots => 0,
        _ => series
            .points
            .partition_point(|point| point.0 < x.0)
            .saturating_sub(1),
    };
    for &(at, value) in &series.points[first..] {
        let y = height(value).clamp(low, high);
        if at > x.1 || (series.mark == Mark::Dots && at < x.0) {
            continue;
        }
        let at = at.clamp(x.0, x.1);
        if series.mark == Mark::Steps
            && let Some(&(_, before)) = points.last()
        {
            points.push((at, before));
        }
        points.push((at, y));
    }
    if series.mark == Mark::Steps
        && let Some(&(_, last)) = points.last()
    {
        points.push((x.1, last));
    }
    let pixel = |(at, y): (f64, f64)| {
        let across = (at - x.0) / (x.1 - x.0) * f64::from(WIDTH - 114);
        (
            across as i32,
            ((y - low) / (high - low) * f64::from(PANEL_HEIGHT - 40)) as i32,
        )
    };
    points.dedup_by_key(|point| pixel(*point));
    points
}

/// The ends of a linear axis that shows all points, and the step of its labels.
fn linear_range(panel: &Panel) -> (f64, f64, f64) {
    let values = || {
        panel
            .series
            .iter()
            .flat_map(|series| &series.points)
            .map(|point| point.1)
    };
    // With room for the legend, so that no point lies under it or on the frame.
    let (low, high) = (
        values().fold(-1.0, f64::min),
        values().fold(1.0, f64::max) + 1.0,
    );
    let step = tick_step(high - low, 6.0);
    (
        (low / step).floor() * step,
        (high / step).ceil() * step,
        step,
    )
}

/// A round step of which at most `most` fit into `span`.
fn tick_step(span: f64, most: f64) -> f64 {
    [1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 240.0]
        .into_iter()
        .find(|step| span / step <= most)
        .unwrap_or(span)
}

fn plain(value: f64) -> String {
    format!("{value:.0}")
}

/// A power of ten as people write it.
fn power(exponent: i32) -> String {
    match exponent {
        -2 => "0.01".into(),
        -1 => "0.1".into(),
        0..=3 => 10_u32.pow(exponent.unsigned_abs()).to_string(),
        _ => format!("1e{exponent}"),
    }
}
