//! Plain text, for a terminal of a hundred columns.

use std::fmt::{self, Write as _};

use super::{Cell, Finding, Matrix, Operation, Report, Verdict};
use crate::doctor::{rule::Severity, rules::rules};

const WIDTH: usize = 96;
/// How many objects of one rule are shown where it is an error, how many else, and how many notes
/// of cells.
const SHOWN: usize = 8;
const SHOWN_OF_WARNINGS: usize = 3;

pub(super) fn render(report: &Report, color: bool) -> String {
    let mut out = Page {
        text: String::new(),
        color,
    };
    // Writing to a String can't fail.
    let _ = write_report(&mut out, report);
    out.text
}

struct Page {
    text: String,
    color: bool,
}

impl Page {
    fn line(&mut self, indent: usize, text: impl fmt::Display) -> fmt::Result {
        writeln!(self.text, "{:indent$}{text}", "")
    }

    /// Breaks at spaces, and lines the rest up below the first character behind the label.
    fn wrapped(&mut self, indent: usize, label: &str, text: &str) -> fmt::Result {
        let left = indent + label.chars().count();
        let mut line = format!("{:indent$}{label}", "");
        let mut used = left;
        for word in text.split(' ') {
            let length = word.chars().count();
            if used > left && used + 1 + length > WIDTH {
                writeln!(self.text, "{line}")?;
                line = format!("{:left$}{word}", "");
                used = left + length;
            } else {
                let gap = usize::from(used > left);
                line.push_str(if gap == 1 { " " } else { "" });
                line.push_str(word);
                used += gap + length;
            }
        }
        writeln!(self.text, "{line}")
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn severity(&self, severity: Severity) -> String {
        let code = match severity {
            Severity::Error => "1;31",
            Severity::Warning => "33",
            Severity::Info => "36",
        };
        self.paint(code, &format!("{:<7}", severity.as_str()))
    }
}

fn write_report(out: &mut Page, report: &Report) -> fmt::Result {
    let head = format!(
        "tenancy doctor: Postgres {}, {}, {}",
        report.server_version.split(' ').next().unwrap_or_default(),
        counted(report.tables, "tenant table"),
        counted(rules().count(), "rule"),
    );
    let head = out.paint("1", &head);
    out.line(0, head)?;
    out.line(0, "")?;
    if report.findings.is_empty() {
        let clean = out.paint("32", "No rule is broken.");
        out.line(2, clean)?;
        out.line(0, "")?;
    }
    for group in report.findings.chunk_by(|a, b| a.rule == b.rule) {
        write_group(out, group)?;
    }
    if let Some(matrix) = &report.matrix {
        write_matrix(out, matrix)?;
    }
    write_summary(out, report)
}

/// The findings of one rule: why once, then each object with its fix.
fn write_group(out: &mut Page, group: &[Finding]) -> fmt::Result {
    let Some(first) = group.first() else {
        return Ok(());
    };
    let title = format!("{} {}", first.rule, first.name);
    let (severity, title) = (out.severity(first.severity), out.paint("1", &title));
    out.line(2, format!("{severity} {title}"))?;
    out.wrapped(10, "", first.why)?;
    let shown = if first.severity == Severity::Error {
        SHOWN
    } else {
        SHOWN_OF_WARNINGS
    };
    for finding in group.iter().take(shown) {
        out.wrapped(10, "- ", &format!("{}: {}", finding.object, finding.detail))?;
        out.line(12, out.paint("36", &finding.fix))?;
    }
    if group.len() > shown {
        out.line(10, format!("- and {} more", group.len() - shown))?;
    }
    out.line(0, "")
}

fn write_matrix(out: &mut Page, matrix: &Matrix) -> fmt::Result {
    if let Some(reason) = &matrix.blocked {
        let title = out.paint("1;31", "The attack was not carried out.");
        out.line(2, title)?;
        out.wrapped(2, "", reason)?;
        return out.line(0, "");
    }
    let title = format!(
        "Attacked as {}, and rolled back",
        matrix.attackers.join(" and ")
    );
    let title = out.paint("1", &title);
    out.line(2, title)?;
    let names = matrix.tables.iter().map(|row| row.table.chars().count());
    let width = names.max().unwrap_or(0).clamp(5, 44);
    let mut head = format!("{:width$}", "table");
    for operation in Operation::ALL {
        let _ = write!(head, "  {:<7}", short(operation));
    }
    let head = out.paint("2", head.trim_end());
    out.line(2, head)?;
    for row in &matrix.tables {
        let mut line = format!("{:width$}", row.table);
        for cell in &row.cells {
            let _ = write!(line, "  {}", shown(out, cell));
        }
        out.line(2, line.trim_end())?;
    }
    out.line(0, "")?;
    out.line(
        2,
        "ok: held against another tenant's rows   -: not granted   ?: not exercised",
    )?;
    write_notes(out, matrix)?;
    out.line(0, "")
}

/// Why cells were not exercised, tables with the same reason together.
fn write_notes(out: &mut Page, matrix: &Matrix) -> fmt::Result {
    for note in &matrix.notes {
        out.wrapped(2, "note: ", note)?;
    }
    let mut lines: Vec<String> = Vec::new();
    for row in &matrix.tables {
        let open = row
            .cells
            .iter()
            .filter(|cell| cell.verdict == Verdict::NotExercised);
        let mut reasons: Vec<&str> = open.filter_map(|cell| cell.note.as_deref()).collect();
        reasons.dedup();
        lines.extend(
            reasons
                .iter()
                .map(|reason| format!("{}: {reason}", row.table)),
        );
    }
    for line in lines.iter().take(SHOWN) {
        out.wrapped(2, "?  ", line)?;
    }
    if lines.len() > SHOWN {
        out.line(2, format!("?  and {} more", lines.len() - SHOWN))?;
    }
    Ok(())
}

fn write_summary(out: &mut Page, report: &Report) -> fmt::Result {
    let code = if report.exit_code() == 0 {
        "1;32"
    } else {
        "1;31"
    };
    out.line(0, out.paint(code, &summary(report)))
}

pub(super) fn summary(report: &Report) -> String {
    let mut parts = vec![
        counted(report.count(Severity::Error), "error"),
        counted(report.count(Severity::Warning), "warning"),
        format!("{} for information", report.count(Severity::Info)),
    ];
    if report.accepted > 0 {
        parts.push(format!("{} accepted", report.accepted));
    }
    if let Some(matrix) = report
        .matrix
        .as_ref()
        .filter(|matrix| matrix.blocked.is_none())
    {
        let proven = format!(
            "{} held, {} leaked, {} not exercised",
            counted(matrix.count(Verdict::Held), "cell"),
            matrix.count(Verdict::Leaked),
            matrix.count(Verdict::NotExercised),
        );
        parts.push(proven);
    }
    format!(
        "{} ({:.1} s)",
        parts.join(", "),
        report.elapsed.as_secs_f64()
    )
}

fn short(operation: Operation) -> &'static str {
    match operation {
        Operation::NoContext => "nobody",
        other => other.as_str(),
    }
}

fn shown(out: &Page, cell: &Cell) -> String {
    match cell.verdict {
        Verdict::Held => out.paint("32", "ok     "),
        Verdict::Leaked => out.paint("1;31", "LEAK   "),
        Verdict::NotExercised => out.paint("33", "?      "),
        Verdict::NotGranted => out.paint("2", "-      "),
    }
}

fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
