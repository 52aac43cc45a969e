//! Which steps are to be run, in which order.

use std::collections::HashMap;

use super::component::{Component, Migration};
use crate::{Error, ErrorKind};

/// The steps that ran already, by component and version.
pub(crate) type Applied = HashMap<(String, i32), AppliedStep>;

#[derive(Debug)]
pub(crate) struct AppliedStep {
    pub(crate) checksum: Vec<u8>,
    pub(crate) compatible_from: i32,
}

/// Puts components behind what they require.
pub(crate) fn order<'a>(components: &[&'a Component]) -> Result<Vec<&'a Component>, Error> {
    let mut waiting: Vec<&Component> = components.to_vec();
    let mut ordered: Vec<&Component> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|component| {
            component
                .requires
                .iter()
                .all(|name| ordered.iter().any(|done| done.name == *name))
        });
        let Some(at) = ready else {
            let stuck: Vec<_> = waiting.iter().map(|component| component.name).collect();
            let message = format!(
                "these components lack what they require: {}",
                stuck.join(", ")
            );
            return Err(Error::new(
                ErrorKind::Misconfigured,
                "component_missing",
                message,
            ));
        };
        ordered.push(waiting.remove(at));
    }
    Ok(ordered)
}

/// The steps still to be run, after checking that those that ran are those we know.
pub(crate) fn pending(
    component: &Component,
    applied: &Applied,
) -> Result<Vec<&'static Migration>, Error> {
    let mut pending = Vec::new();
    for step in component.migrations {
        match applied.get(&(component.name.to_owned(), step.version)) {
            None => pending.push(step),
            Some(ran) if ran.checksum == step.checksum() => {}
            Some(_) => {
                let message = format!(
                    "migration {} of `{}` was changed after it ran: restore its text",
                    step.version, component.name
                );
                return Err(Error::new(
                    ErrorKind::Misconfigured,
                    "migration_changed",
                    message,
                ));
            }
        }
    }
    Ok(pending)
}

/// Refuses a schema that is older than the component, or that no longer serves it.
pub(crate) fn check(component: &Component, applied: &Applied) -> Result<(), Error> {
    let pending = pending(component, applied)?;
    if !pending.is_empty() {
        let message = format!(
            "the schema is older than this program: `{}` lacks {}: run `tenancy migrate`, or what runs your migrations, before the new version starts",
            component.name,
            named(&pending)
        );
        return Err(Error::new(
            ErrorKind::Misconfigured,
            "schema_older",
            message,
        ));
    }
    served(component, applied)
}

/// Refuses a schema with a step that no longer serves what this program knows of the component.
pub(crate) fn served(component: &Component, applied: &Applied) -> Result<(), Error> {
    let known = component.migrations.last().map_or(0, |step| step.version);
    let newest = applied
        .iter()
        .filter(|((name, version), ran)| {
            name == component.name && *version > known && ran.compatible_from > known
        })
        .max_by_key(|((_, version), ran)| (ran.compatible_from, *version));
    let Some(((name, version), ran)) = newest else {
        return Ok(());
    };
    let message = format!(
        "the schema is newer than this program: since migration {version} of `{name}` it serves programs that know migration {} or later, and this one knows {known}: start a newer version",
        ran.compatible_from
    );
    Err(Error::new(
        ErrorKind::Misconfigured,
        "schema_newer",
        message,
    ))
}

/// The steps by number and name, a few of them.
fn named(steps: &[&Migration]) -> String {
    const SHOWN: usize = 5;
    let mut list: Vec<_> = steps
        .iter()
        .take(SHOWN)
        .map(|step| format!("{} (`{}`)", step.version, step.name))
        .collect();
    if let Some(more) = steps.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        list.push(format!("and {more} more"));
    }
    let word = if steps.len() == 1 {
        "migration"
    } else {
        "migrations"
    };
    format!("{word} {}", list.join(", "))
}
