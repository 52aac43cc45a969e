//! Which steps are to be run, in which order.

use std::collections::HashMap;

use super::component::{Component, Migration};
use crate::{Error, ErrorKind};

/// The steps that ran already: name and checksum by component and version.
pub(crate) type Applied = HashMap<(String, i32), AppliedStep>;

#[derive(Debug)]
pub(crate) struct AppliedStep {
    pub(crate) checksum: Vec<u8>,
    pub(crate) breaking: bool,
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

/// Refuses a schema that is older than the component, or newer in a breaking way.
pub(crate) fn check(component: &Component, applied: &Applied) -> Result<(), Error> {
    if let Some(step) = pending(component, applied)?.first() {
        let message = format!(
            "the schema lacks migration {} (`{}`) of `{}`: run `tenancy migrate`",
            step.version, step.name, component.name
        );
        return Err(Error::new(
            ErrorKind::Misconfigured,
            "schema_older",
            message,
        ));
    }
    let newest = component.migrations.last().map_or(0, |step| step.version);
    let breaking = applied
        .iter()
        .find(|((name, version), ran)| name == component.name && *version > newest && ran.breaking);
    if let Some(((_, version), _)) = breaking {
        let message = format!(
            "the schema has migration {version} of `{}`, which this version can't work with: upgrade it",
            component.name
        );
        return Err(Error::new(
            ErrorKind::Misconfigured,
            "schema_newer",
            message,
        ));
    }
    Ok(())
}
