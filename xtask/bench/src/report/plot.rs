//! Plots, as SVG.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::clients::Kind;
use crate::measure::Sample;
use crate::rounds::{Outcome, Setting, on_or_off};
use crate::statistics::Spread;

const WIDTH: u32 = 800;
const HEIGHT_OF_BAR: u32 = 26;
/// The fonts of the title, and of the axis with its numbers.
const HEIGHT_OF_REST: u32 = 100;

/// Draws a bar for each client: its median rate, with a line from the slowest round to the fastest.
pub(super) fn rates(path: &Path, outcome: &Outcome) -> Result<()> {
    let Setting { workload, synchronous_commit } = &outcome.setting;
    let title = format!(
        "{}: operations per second, synchronous_commit {}",
        workload.name,
        on_or_off(*synchronous_commit)
    );
    let bars: Vec<_> = outcome
        .results
        .iter()
        .filter_map(|result| {
            let spread = Spread::of(result.samples.iter().map(Sample::per_second))?;
            Some((result.name, colour(result.kind), spread))
        })
        .collect();
    draw(path, &title, &bars).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

fn draw(
    path: &Path,
    title: &str,
    bars: &[(&str, RGBColor, Spread)],
) -> Result<(), Box<dyn std::error::Error>> {
    let count = u32::try_from(bars.len())?;
    let area = SVGBackend::new(path, (WIDTH, HEIGHT_OF_BAR * count + HEIGHT_OF_REST)).into_drawing_area();
    area.fill(&WHITE)?;
    let most = bars.iter().map(|(_, _, spread)| spread.max).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(180)
        .build_cartesian_2d(0.0..most * 1.05, (0..bars.len()).into_segmented())?;
    // The first client is at the top.
    let from_top = |segment: &SegmentValue<usize>| match segment {
        SegmentValue::CenterOf(index) => {
            bars.iter().rev().nth(*index).map_or("", |(name, ..)| *name).to_owned()
        }
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(bars.len())
        .y_label_formatter(&from_top)
        .x_label_formatter(&|rate| format!("{rate:.0}"))
        .draw()?;
    chart.draw_series(bars.iter().rev().enumerate().map(|(index, (_, colour, spread))| {
        let corners = [(0.0, SegmentValue::Exact(index)), (spread.median, SegmentValue::Exact(index + 1))];
        let mut bar = Rectangle::new(corners, colour.filled());
        bar.set_margin(4, 4, 0, 0);
        bar
    }))?;
    chart.draw_series(bars.iter().rev().enumerate().map(|(index, (_, _, spread))| {
        let ends = [spread.min, spread.max].map(|end| (end, SegmentValue::CenterOf(index)));
        PathElement::new(ends.to_vec(), BLACK.stroke_width(2))
    }))?;
    area.present()?;
    Ok(())
}

fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Ours => RGBColor(46, 108, 190),
        Kind::Raw => RGBColor(160, 160, 160),
        Kind::Official => RGBColor(222, 138, 50),
        Kind::OnlySends => RGBColor(200, 200, 200),
    }
}
