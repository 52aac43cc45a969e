//! How the attack went, cell by cell.

use serde::Serialize;

use crate::doctor::{report::Finding, rules::of_attack};

/// A way to get at another tenant's rows.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// Reading without a predicate.
    Select,
    /// Adding a row that names another tenant.
    Insert,
    /// Changing rows without a predicate.
    Update,
    /// Removing rows without a predicate.
    Delete,
    /// Giving an own row to another tenant.
    Rewrite,
    /// Letting an own row refer to another tenant's row by a foreign key.
    Refer,
    /// `ON CONFLICT DO UPDATE` on another tenant's key.
    Upsert,
    /// Reading and writing where no tenant was entered.
    NoContext,
    /// One prepared statement in one tenant's context and then in another's.
    Switch,
}

impl Operation {
    /// All of them, in the order of the columns.
    pub const ALL: [Self; 9] = [
        Self::Select,
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Rewrite,
        Self::Refer,
        Self::Upsert,
        Self::NoContext,
        Self::Switch,
    ];

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Rewrite => "rewrite",
            Self::Refer => "refer",
            Self::Upsert => "upsert",
            Self::NoContext => "no_context",
            Self::Switch => "switch",
        }
    }
}

/// What one operation on one table showed. The later ones outweigh the earlier where several
/// roles attacked.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The role has no privilege for it at all, or there is no foreign key to refer by.
    NotGranted,
    /// It could not be tried in earnest: no row could be made, say. Nothing is proven.
    NotExercised,
    /// It was tried, with another tenant's row in reach, and got nowhere.
    Held,
    /// It got at another tenant's rows.
    Leaked,
}

impl Verdict {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "not_granted" => Self::NotGranted,
            "not_exercised" => Self::NotExercised,
            "held" => Self::Held,
            "leaked" => Self::Leaked,
            _ => return None,
        })
    }
}

/// One cell of the matrix.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Cell {
    /// What was tried.
    pub operation: Operation,
    /// What it showed.
    pub verdict: Verdict,
    /// Why it was not exercised, or what leaked.
    pub note: Option<String>,
}

impl Cell {
    pub(crate) fn new(operation: Operation, verdict: Verdict, note: Option<String>) -> Self {
        Self {
            operation,
            verdict,
            note,
        }
    }
}

/// One table or view, with a cell for each operation.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TableCells {
    /// Its qualified name.
    pub table: String,
    /// In the order of [`Operation::ALL`].
    pub cells: Vec<Cell>,
}

impl TableCells {
    pub(crate) fn new(table: String, cells: Vec<Cell>) -> Self {
        Self { table, cells }
    }

    /// What an operation on this table showed.
    pub fn verdict(&self, operation: Operation) -> Option<Verdict> {
        let cell = self.cells.iter().find(|cell| cell.operation == operation)?;
        Some(cell.verdict)
    }
}

/// Tables by operations.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Matrix {
    /// Which roles attacked.
    pub attackers: Vec<String>,
    /// Why nobody could attack; `None` if somebody did.
    pub blocked: Option<String>,
    /// Why some who should have attacked could not, although others did.
    pub notes: Vec<String>,
    /// The tables and views, by name.
    pub tables: Vec<TableCells>,
}

impl Matrix {
    /// How many cells have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        let cells = self.tables.iter().flat_map(|table| &table.cells);
        cells.filter(|cell| cell.verdict == verdict).count()
    }

    /// What an operation on a table showed.
    pub fn verdict(&self, table: &str, operation: Operation) -> Option<Verdict> {
        let row = self.tables.iter().find(|row| row.table == table)?;
        row.verdict(operation)
    }

    /// Adds what one more role found: of two verdicts on a cell, the weightier one stands.
    pub(crate) fn merge(&mut self, attacker: String, rows: Vec<TableCells>) {
        self.attackers.push(attacker);
        for row in rows {
            match self.tables.iter_mut().find(|mine| mine.table == row.table) {
                None => self.tables.push(row),
                Some(mine) => {
                    for (mine, theirs) in mine.cells.iter_mut().zip(row.cells) {
                        if theirs.verdict > mine.verdict {
                            *mine = theirs;
                        }
                    }
                }
            }
        }
        self.tables.sort_by(|a, b| a.table.cmp(&b.table));
    }

    /// Each leak as a finding.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for row in &self.tables {
            for cell in row
                .cells
                .iter()
                .filter(|cell| cell.verdict == Verdict::Leaked)
            {
                let Some(rule) = of_attack(cell.operation) else {
                    continue;
                };
                let detail = cell
                    .note
                    .clone()
                    .unwrap_or_else(|| "the attack succeeded".to_owned());
                let fix = rule.fix.replace("<table>", &row.table);
                findings.push(Finding::new(rule, row.table.clone(), detail, fix));
            }
        }
        findings
    }
}
