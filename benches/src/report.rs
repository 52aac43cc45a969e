//! What a run leaves: lines on the screen, a JSON file and a chart.

use std::{fmt::Write as _, path::Path};

use serde::Serialize;

use crate::{Result, sample::Sample};

/// Which way is better.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Higher,
    Lower,
}

#[derive(Debug, Serialize)]
pub(crate) struct Metric {
    #[serde(rename = "metric")]
    name: &'static str,
    unit: &'static str,
    ours: f64,
    peer: Option<f64>,
    peer_name: Option<&'static str>,
    ratio: Option<f64>,
    spread: [f64; 2],
    goal: f64,
    met: bool,
    better: Better,
    /// How many rows there were, where that matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<i64>,
}

impl Metric {
    /// A figure of ours alone, with a goal in its own unit.
    pub(crate) fn alone(
        metric: &'static str,
        unit: &'static str,
        sample: &Sample,
        better: Better,
        goal: f64,
    ) -> Self {
        Self {
            name: metric,
            unit,
            ours: sample.median(),
            peer: None,
            peer_name: None,
            ratio: None,
            spread: [sample.low(), sample.high()],
            goal,
            met: clears(sample, better, goal),
            better,
            rows: None,
        }
    }

    /// Says among how many rows it was taken.
    pub(crate) fn among(mut self, rows: i64) -> Self {
        self.rows = Some(rows);
        self
    }

    /// Sets another goal.
    pub(crate) fn aim(&mut self, goal: f64) {
        self.goal = goal;
        let [low, high] = self.spread;
        self.met = match self.better {
            Better::Higher => low >= goal,
            Better::Lower => high <= goal,
        };
    }

    /// A figure beside a peer's of the same rounds, with a goal for the ratio.
    pub(crate) fn beside(
        metric: &'static str,
        unit: &'static str,
        (ours, peer): (&[f64], &[f64]),
        peer_name: &'static str,
        better: Better,
        goal: f64,
    ) -> Self {
        let ratios = Sample::ratios(ours, peer);
        let median = |figures: &[f64]| {
            let mut sample = Sample::default();
            for figure in figures {
                sample.push(*figure);
            }
            sample.median()
        };
        Self {
            name: metric,
            unit,
            ours: median(ours),
            peer: Some(median(peer)),
            peer_name: Some(peer_name),
            ratio: Some(ratios.median()),
            spread: [ratios.low(), ratios.high()],
            goal,
            met: clears(&ratios, better, goal),
            better,
            rows: None,
        }
    }
}

/// The whole spread has to clear the goal, not the median.
fn clears(sample: &Sample, better: Better, goal: f64) -> bool {
    match better {
        Better::Higher => sample.low() >= goal,
        Better::Lower => sample.high() <= goal,
    }
}

/// Prints the metrics and writes `target/bench/<area>.json` and `.svg`.
pub(crate) fn publish(area: &str, metrics: &[Metric]) -> Result {
    for metric in metrics {
        let beside = match (metric.peer, metric.peer_name, metric.ratio) {
            (Some(peer), Some(name), Some(ratio)) => {
                format!(", {name} {peer:.1}, ratio {ratio:.2}")
            }
            _ => String::new(),
        };
        let [low, high] = metric.spread;
        println!(
            "{:<44} {:>10.1} {}{beside}  [{low:.2} .. {high:.2}]  goal {} {}",
            metric.name,
            metric.ours,
            metric.unit,
            metric.goal,
            if metric.met { "met" } else { "MISSED" }
        );
    }
    let (missed, of) = (missed(metrics), metrics.len());
    if missed > 0 {
        println!("{missed} of {of} goals are missed");
    }
    let folder = Path::new("target/bench");
    std::fs::create_dir_all(folder)?;
    std::fs::write(
        folder.join(format!("{area}.json")),
        serde_json::to_string_pretty(metrics)?,
    )?;
    std::fs::write(folder.join(format!("{area}.svg")), chart(area, metrics)?)?;
    println!("written: target/bench/{area}.json and .svg");
    Ok(())
}

/// How many of the goals are missed.
pub(crate) fn missed(metrics: &[Metric]) -> usize {
    metrics.iter().filter(|metric| !metric.met).count()
}

/// One bar a metric: how far the figure is from its goal, which is the line in the middle.
fn chart(area: &str, metrics: &[Metric]) -> Result<String> {
    const ROW: usize = 34;
    let height = 50 + metrics.len() * ROW;
    let mut svg = String::new();
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{height}" font-family="sans-serif" font-size="13">"#
    )?;
    writeln!(
        svg,
        r#"<text x="10" y="24" font-size="16">{area}: figure relative to its goal (1.0)</text>"#
    )?;
    for (row, metric) in metrics.iter().enumerate() {
        let figure = metric.ratio.unwrap_or(metric.ours);
        let reached = match metric.better {
            Better::Higher => figure / metric.goal,
            Better::Lower => metric.goal / figure,
        };
        let (y, width) = (40 + row * ROW, (reached * 150.0).clamp(2.0, 430.0));
        let colour = if metric.met { "#2a7" } else { "#c53" };
        writeln!(
            svg,
            r#"<rect x="320" y="{y}" width="{width:.0}" height="18" fill="{colour}"/>"#
        )?;
        writeln!(svg, r#"<text x="10" y="{}">{}</text>"#, y + 14, metric.name)?;
        writeln!(
            svg,
            r#"<text x="{:.0}" y="{}">{reached:.2}</text>"#,
            326.0 + width,
            y + 14
        )?;
    }
    writeln!(
        svg,
        r##"<line x1="470" y1="34" x2="470" y2="{height}" stroke="#333" stroke-dasharray="4"/></svg>"##
    )?;
    Ok(svg)
}
