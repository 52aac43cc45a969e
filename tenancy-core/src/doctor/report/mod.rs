//! What came out.

mod matrix;
mod sarif;
mod text;

use std::{collections::HashSet, time::Duration};

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub use matrix::{Cell, Matrix, Operation, TableCells, Verdict};

use super::{
    rule::{Rule, Severity},
    rules::rules,
};

/// One object that breaks one rule.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The rule's id, such as `TEN001`.
    pub rule: &'static str,
    /// The rule's name, such as `row_security_off`.
    pub name: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// The object, such as `public.invoices`, quoted as SQL needs it.
    pub object: String,
    /// What is wrong with it.
    pub detail: String,
    /// Why that matters.
    pub why: &'static str,
    /// The SQL that mends it, to be read before it is run.
    pub fix: String,
}

impl Finding {
    pub(super) fn new(rule: &'static Rule, object: String, detail: String, fix: String) -> Self {
        Self {
            rule: rule.id,
            name: rule.name,
            severity: rule.severity,
            object,
            detail,
            why: rule.why,
            fix,
        }
    }

    /// The line of a baseline that accepts exactly it: rule, object, and a hash of the detail.
    pub fn fingerprint(&self) -> String {
        let hash = hex::encode(Sha256::digest(self.detail.as_bytes()));
        format!("{} #{}", self.place(), hash.get(..8).unwrap_or_default())
    }

    /// The line of a baseline that accepts whatever this rule finds at this object.
    fn place(&self) -> String {
        format!("{} {}", self.rule, self.object)
    }
}

/// The result of [`run`](super::run).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The server's version.
    pub server_version: String,
    /// How many tables hold tenants' rows; partitions are not counted.
    pub tables: usize,
    /// What is wrong, the gravest first.
    pub findings: Vec<Finding>,
    /// How the attack went; `None` if it was not asked for.
    pub matrix: Option<Matrix>,
    /// How many findings were left out because they are accepted.
    pub accepted: usize,
    /// How long it took.
    pub elapsed: Duration,
}

impl Report {
    pub(super) fn new(server_version: String, tables: usize) -> Self {
        Self {
            server_version,
            tables,
            findings: Vec::new(),
            matrix: None,
            accepted: 0,
            elapsed: Duration::ZERO,
        }
    }

    pub(super) fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
        self.findings.sort_by(|a, b| {
            (b.severity.cmp(&a.severity))
                .then_with(|| a.rule.cmp(b.rule))
                .then_with(|| a.object.cmp(&b.object))
        });
        self.findings
            .dedup_by(|a, b| a.place() == b.place() && a.detail == b.detail);
    }

    pub(super) fn accept(&mut self, lines: &[String]) {
        let lines: HashSet<&str> = lines.iter().map(String::as_str).collect();
        let before = self.findings.len();
        self.findings.retain(|finding| {
            let (exactly, place) = (finding.fingerprint(), finding.place());
            !lines.contains(exactly.as_str()) && !lines.contains(place.as_str())
        });
        self.accepted += before - self.findings.len();
    }

    /// How many findings have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }

    /// 0: nothing of severity error. 1: something is. 2: the attack could not be carried out, so
    /// that nothing is proven.
    pub fn exit_code(&self) -> i32 {
        let unproven = self
            .matrix
            .as_ref()
            .is_some_and(|matrix| matrix.blocked.is_some());
        if self.count(Severity::Error) > 0 {
            1
        } else if unproven {
            2
        } else {
            0
        }
    }

    /// For people. With `color`, ANSI escapes.
    pub fn to_text(&self, color: bool) -> String {
        text::render(self, color)
    }

    /// The last line of [`to_text`](Self::to_text): counts, and how long it took.
    pub fn summary(&self) -> String {
        text::summary(self)
    }

    /// For programs. Fields are added, never renamed.
    pub fn to_json(&self) -> Value {
        json!({
            "server_version": self.server_version,
            "tables": self.tables,
            "rules": rules().count(),
            "findings": self.findings,
            "accepted": self.accepted,
            "attack": self.matrix,
            "exit_code": self.exit_code(),
            "elapsed_ms": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// SARIF 2.1.0, for code hosts and editors.
    pub fn to_sarif(&self) -> Value {
        sarif::render(self)
    }

    /// A baseline that accepts every finding of this report: one line each, to be kept in a file
    /// and handed to [`Options::with_accepted`](super::Options::with_accepted).
    pub fn to_baseline(&self) -> String {
        let mut lines: Vec<String> = self.findings.iter().map(Finding::fingerprint).collect();
        lines.sort();
        lines.dedup();
        lines
            .iter()
            .fold(String::new(), |text, line| text + line + "\n")
    }
}
