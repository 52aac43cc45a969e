//! The attack: rows of two tenants in every table, and every way from the one to the other.
//!
//! It is carried out by up to two attackers. On the operator's connection as `tenancy_app`, where
//! tables that the app may only read can be given rows by `tenancy_definer`; and on the app's own
//! connection, whose login may have been granted more than its role.

mod attacker;
mod plan;
mod rows;

use serde_json::{Map, Value, json};

use super::{
    Matrix, Options, TableCells,
    report::{Cell, Operation, Verdict},
    scan::Scan,
};
use crate::{Error, OperatorDb};
use attacker::{Attacker, Role};
use plan::{Plan, Target};
use rows::Rows;

/// Lets each attacker try every table.
pub(super) async fn run(
    operator: &OperatorDb,
    scan: &Scan,
    options: &Options,
) -> Result<Matrix, Error> {
    let plan = Plan::load(operator.pool(), scan).await?;
    let mut attackers = vec![Attacker::operator(operator).await];
    if let Some(app) = &options.app {
        attackers.push(Attacker::login(app).await);
    }
    let mut matrix = Matrix::default();
    for attacker in attackers {
        let done = match attacker {
            Ok(attacker) => carry_out(attacker, &plan, options).await,
            Err(reason) => Err(reason),
        };
        match done {
            Ok((name, rows)) => matrix.merge(name, rows),
            Err(reason) => matrix.notes.push(reason),
        }
    }
    if matrix.attackers.is_empty() {
        matrix.blocked = Some(std::mem::take(&mut matrix.notes).join("; "));
    }
    // A partition that nobody may touch says nothing beside its table.
    matrix.tables.retain(|row| {
        let quiet = row
            .cells
            .iter()
            .all(|cell| cell.verdict == Verdict::NotGranted);
        !(quiet && plan.is_partition(&row.table))
    });
    Ok(matrix)
}

/// One attacker against every table. Whatever it did is rolled back, also when it fails.
async fn carry_out(
    mut attacker: Attacker,
    plan: &Plan,
    options: &Options,
) -> Result<(String, Vec<TableCells>), String> {
    let mut rows = Rows::new(&mut attacker).await?;
    for group in plan.in_order_of_references() {
        rows.fill(&mut attacker, plan, &group, options).await?;
    }
    let jobs: Vec<Value> = plan
        .targets()
        .iter()
        .map(|target| job(&rows, plan, target))
        .collect();
    let block = include_str!("../sql/attack_table.sql");
    let answers = attacker.undone(Role::App, block, &jobs).await?;
    let found = plan.targets().iter().zip(answers).map(|(target, answer)| {
        let cells = match answer {
            Ok(Value::Object(cells)) => cells_of(&cells),
            Ok(_) => no_cells("the attack gave no answer"),
            Err(reason) => no_cells(&reason),
        };
        TableCells::new(target.name.clone(), cells)
    });
    let found = found.collect();
    let name = attacker.name().to_owned();
    attacker.leave().await?;
    Ok((name, found))
}

/// What `attack_table.sql` has to know of a table.
fn job(rows: &Rows, plan: &Plan, target: &Target) -> Value {
    json!({
        "table": target.rel.0,
        "column": target.column,
        "view": target.is_view,
        "base": target.base.0,
        "a": rows.side(target, 0),
        "b": rows.side(target, 1),
        "why": rows.why(target),
        "refers": rows.refers(plan, target),
    })
}

/// Cells as `attack_table.sql` writes them: `{"select": ["held", null], …}`.
fn cells_of(answer: &Map<String, Value>) -> Vec<Cell> {
    let cell = |operation: Operation| {
        let pair = answer.get(operation.as_str()).and_then(Value::as_array);
        let text = |place: usize| {
            pair.and_then(|pair| pair.get(place))
                .and_then(Value::as_str)
        };
        match text(0).and_then(Verdict::parse) {
            Some(verdict) => Cell::new(operation, verdict, text(1).map(ToOwned::to_owned)),
            None => missing(operation, "the attack gave no answer"),
        }
    };
    Operation::ALL.into_iter().map(cell).collect()
}

fn no_cells(reason: &str) -> Vec<Cell> {
    let cells = Operation::ALL.into_iter();
    cells.map(|operation| missing(operation, reason)).collect()
}

fn missing(operation: Operation, reason: &str) -> Cell {
    Cell::new(operation, Verdict::NotExercised, Some(reason.to_owned()))
}
