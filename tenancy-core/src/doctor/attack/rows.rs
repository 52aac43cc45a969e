//! The rows of the two probe tenants.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use sqlx::postgres::types::Oid;

use super::{
    attacker::{Attacker, Role},
    plan::{Plan, Reference, Target},
};
use crate::{TenantId, UserId, doctor::Options};

const REFERS: &str = "it refers to ";

/// A tenant that exists until the transaction ends.
#[derive(Debug)]
struct Probe {
    tenant: TenantId,
    user: UserId,
}

/// What there is in a table for one of the tenants, or for all where the table is shared.
#[derive(Debug)]
enum Row {
    Made { row: Value, rows: i64 },
    Missing(String),
}

/// The two tenants, and their rows by table.
#[derive(Debug)]
pub(super) struct Rows {
    probes: [Probe; 2],
    made: HashMap<(u32, usize), Row>,
}

impl Rows {
    /// Makes two tenants by the function that makes real ones.
    pub(super) async fn new(attacker: &mut Attacker) -> Result<Self, String> {
        let probes = [Probe::new(), Probe::new()];
        let jobs = probes.iter().map(|probe| {
            json!({
                "tenant": probe.tenant,
                "user": probe.user,
                "slug": format!("doctor-{}", probe.tenant.as_uuid().simple()),
            })
        });
        let jobs: Vec<Value> = jobs.collect();
        let made = attacker
            .kept(Role::App, include_str!("../sql/attack_tenant.sql"), &jobs)
            .await?;
        for answer in made {
            answer.map_err(|reason| format!("no probe tenant could be made: {reason}"))?;
        }
        Ok(Self {
            probes,
            made: HashMap::new(),
        })
    }

    /// Puts a row of each tenant into each table of a group, or one row where it has no tenants.
    pub(super) async fn fill(
        &mut self,
        attacker: &mut Attacker,
        plan: &Plan,
        group: &[Oid],
        options: &Options,
    ) -> Result<(), String> {
        let mut jobs = Vec::new();
        for &table in group {
            let sides = if plan.target(table).is_some() {
                0..2
            } else {
                0..1
            };
            for side in sides {
                match self.input(plan, table, side, options) {
                    Ok(input) => jobs.push(Job::new((table.0, side), input)),
                    Err(reason) => {
                        self.made.insert((table.0, side), Row::Missing(reason));
                    }
                }
            }
        }
        for role in attacker.roles() {
            jobs = self.fill_as(attacker, role, jobs).await?;
        }
        for job in jobs {
            self.made.insert(job.key, Row::Missing(job.refusal()));
        }
        Ok(())
    }

    /// As one of the attacker's roles; answers the jobs that it could not do.
    async fn fill_as(
        &mut self,
        attacker: &mut Attacker,
        role: Role,
        jobs: Vec<Job>,
    ) -> Result<Vec<Job>, String> {
        let inputs: Vec<Value> = jobs.iter().map(|job| job.input.clone()).collect();
        let answers = attacker
            .kept(role, include_str!("../sql/attack_fill.sql"), &inputs)
            .await?;
        let mut left = Vec::new();
        for (mut job, answer) in jobs.into_iter().zip(answers) {
            let answer = answer.unwrap_or_else(|reason| json!({ "why": reason }));
            if let Some(row) = answer.get("row") {
                let rows = answer.get("rows").and_then(Value::as_i64).unwrap_or(1);
                let row = row.clone();
                self.made.insert(job.key, Row::Made { row, rows });
            } else {
                let why = answer
                    .get("why")
                    .and_then(Value::as_str)
                    .unwrap_or("unknown");
                job.refusals.push(why.to_owned());
                left.push(job);
            }
        }
        Ok(left)
    }

    /// What `attack_fill.sql` has to know: the table, the tenant, and the values that are settled
    /// because other rows or the host's samples say so.
    fn input(
        &self,
        plan: &Plan,
        table: Oid,
        side: usize,
        options: &Options,
    ) -> Result<Value, String> {
        let target = plan.target(table);
        let probe = self.probes.get(side);
        let mut given = Map::new();
        for key in plan.needed_by(table) {
            let parent_side = if plan.target(key.parent).is_some() {
                side
            } else {
                0
            };
            let parent = match self.made.get(&(key.parent.0, parent_side)) {
                Some(Row::Made { row, .. }) => row,
                Some(Row::Missing(reason)) => return Err(missing_parent(&key.parent_name, reason)),
                None => continue,
            };
            for (mine, theirs) in key.mine.iter().zip(&key.theirs) {
                if let Some(value) = parent.get(theirs) {
                    given.insert(mine.clone(), value.clone());
                }
            }
        }
        if let (Some(target), Some(probe)) = (target, probe) {
            given.insert(target.column.clone(), json!(probe.tenant));
            let samples = options
                .samples
                .iter()
                .filter(|(name, _)| *name == target.name);
            for (_, sample) in samples {
                given.extend(sample.as_object().cloned().unwrap_or_default());
            }
        }
        Ok(json!({
            "table": table.0,
            "column": target.map(|target| &target.column),
            "tenant": target.and(probe).map(|probe| probe.tenant),
            "user": probe.map(|probe| probe.user),
            "given": given,
            "extra": side == 1,
        }))
    }

    /// A tenant and what it has in a table, for `attack_table.sql`.
    pub(super) fn side(&self, target: &Target, side: usize) -> Value {
        let probe = self.probes.get(side);
        let (row, rows) = match self.made.get(&(target.base.0, side)) {
            Some(Row::Made { row, rows }) => (row.clone(), *rows),
            _ => (Value::Null, 0),
        };
        json!({
            "tenant": probe.map(|probe| probe.tenant),
            "user": probe.map(|probe| probe.user),
            "row": row,
            "rows": rows,
        })
    }

    /// What an own row of the first tenant would hold to refer to a row of the second, by foreign
    /// key, for `attack_table.sql`.
    pub(super) fn refers(&self, plan: &Plan, target: &Target) -> Vec<Value> {
        let keys = plan.refers(target.rel);
        keys.filter_map(|(key, parent)| self.refer(key, target, parent))
            .collect()
    }

    fn refer(&self, key: &Reference, target: &Target, parent: &Target) -> Option<Value> {
        let pairs = key.mine.iter().zip(&key.theirs);
        let mut pairs = pairs.filter(|(mine, _)| **mine != target.column).peekable();
        pairs.peek()?;
        let row = |side| match self.made.get(&(parent.rel.0, side)) {
            Some(Row::Made { row, .. }) => Some(row),
            _ => None,
        };
        let name = &parent.name;
        let (Some(ours), Some(theirs)) = (row(0), row(1)) else {
            return Some(json!({ "parent": name, "why": self.why(parent) }));
        };
        let mut columns = Map::new();
        let mut same = true;
        for (mine, column) in pairs {
            let value = theirs.get(column).cloned().unwrap_or_default();
            same &= ours.get(column) == Some(&value);
            columns.insert(mine.clone(), value);
        }
        // Both tenants have the same key there, and the reference names the tenant: it finds the own row.
        let mut all = key.mine.iter().zip(&key.theirs);
        if same && all.any(|(mine, theirs)| *mine == target.column && *theirs == parent.column) {
            return None;
        }
        Some(if same || columns.values().any(Value::is_null) {
            json!({ "parent": name, "why": "both tenants have the same key there" })
        } else {
            json!({ "parent": name, "columns": columns })
        })
    }

    /// Why a table has no rows to attack.
    pub(super) fn why(&self, target: &Target) -> String {
        let rows = (0..2).filter_map(|side| self.made.get(&(target.base.0, side)));
        let mut missing = rows.filter_map(|row| match row {
            Row::Missing(reason) => Some(reason.clone()),
            Row::Made { .. } => None,
        });
        missing
            .next()
            .unwrap_or_else(|| "its own tenant does not reach the row".to_owned())
    }
}

/// The first table in a chain of references that has no row is the one to name.
fn missing_parent(parent: &str, reason: &str) -> String {
    if reason.starts_with(REFERS) {
        reason.to_owned()
    } else {
        format!("{REFERS}{parent}, which has no row: {reason}")
    }
}

impl Probe {
    fn new() -> Self {
        Self {
            tenant: TenantId::new(),
            user: UserId::new(),
        }
    }
}

/// A row to be made.
#[derive(Debug)]
struct Job {
    key: (u32, usize),
    input: Value,
    refusals: Vec<String>,
}

impl Job {
    fn new(key: (u32, usize), input: Value) -> Self {
        Self {
            key,
            input,
            refusals: Vec::new(),
        }
    }

    /// Why nobody could make it. That a role may not write the table says little where another
    /// one tried.
    fn refusal(mut self) -> String {
        self.refusals
            .sort_by_key(|reason| reason.starts_with("permission denied"));
        self.refusals.into_iter().next().unwrap_or_default()
    }
}
