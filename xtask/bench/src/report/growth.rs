//! Tables and plots of the growth.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::growth::{Grown, Line, Point};
use crate::measure::Sample;
use crate::report::markdown::{both, heading, line, quantiles, range, row, whole};
use crate::statistics::Spread;

const SIZE: (u32, u32) = (800, 420);

/// Writes a table for each line, with the messages per second at each point.
pub(super) fn table(out: &mut String, grown: &Grown) {
    for Line { name, points } in &grown.lines {
        line(out, &format!("\n## {name}, by {}: {}\n", grown.dimension.name, grown.dimension.about));
        heading(
            out,
            &[grown.dimension.name, "messages/s", "min to max", "op/s", "p50 µs", "p99 µs", "op per task"],
        );
        for point in points {
            let rate = Spread::of(point.samples.iter().map(Sample::per_second));
            let done =
                point.samples.iter().flat_map(|sample| sample.per_task.iter().map(|done| *done as f64));
            let mut cells = vec![point.at.to_string()];
            cells.extend(both(messages_per_second(point), whole));
            cells.push(rate.map_or("-".to_owned(), |rate| whole(rate.median)));
            cells.extend(quantiles(&point.samples));
            cells.push(Spread::of(done).map_or("-".to_owned(), |done| range(done, whole)));
            row(out, &cells);
        }
    }
}

fn messages_per_second(point: &Point) -> Option<Spread> {
    Spread::of(point.samples.iter().map(|sample| sample.per_second() * f64::from(point.batch)))
}

/// Draws a line for each operation. The points have the same distance from each other, whatever their values.
pub(super) fn plot(path: &Path, grown: &Grown) -> Result<()> {
    draw(path, grown).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

fn draw(path: &Path, grown: &Grown) -> Result<(), Box<dyn std::error::Error>> {
    let spreads = |line: &Line| line.points.iter().filter_map(messages_per_second).collect::<Vec<_>>();
    let points: Vec<u32> =
        grown.lines.first().map_or(Vec::new(), |line| line.points.iter().map(|point| point.at).collect());
    let most = grown.lines.iter().flat_map(spreads).map(|spread| spread.max).fold(1.0, f64::max);
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("messages per second, by {}", grown.dimension.name), ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(80)
        .build_cartesian_2d((0..points.len()).into_segmented(), 0.0..most * 1.05)?;
    let label = |segment: &SegmentValue<usize>| match segment {
        SegmentValue::CenterOf(index) => points.get(*index).map_or(String::new(), u32::to_string),
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(points.len())
        .x_label_formatter(&label)
        .y_label_formatter(&|rate| format!("{rate:.0}"))
        .x_desc(grown.dimension.about)
        .draw()?;
    for (number, line) in grown.lines.iter().enumerate() {
        let colour = Palette99::pick(number).to_rgba();
        let spreads = spreads(line);
        let medians =
            spreads.iter().enumerate().map(|(at, spread)| (SegmentValue::CenterOf(at), spread.median));
        chart
            .draw_series(LineSeries::new(medians, colour.stroke_width(2)).point_size(3))?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        chart.draw_series(spreads.iter().enumerate().map(|(at, spread)| {
            let ends = [spread.min, spread.max].map(|end| (SegmentValue::CenterOf(at), end));
            PathElement::new(ends.to_vec(), colour.stroke_width(1))
        }))?;
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}
