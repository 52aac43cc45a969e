//! An entry as a line of a table, by RFC 4180.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};

use super::{Sorted, put, time};
use crate::{Error, model::entry::Entry};

pub(super) const HEAD: &str = "id,tenant_id,occurred_at,created_at,actor_kind,actor_id,actor_user_id,on_behalf_of,\
action,outcome,resource,targets,request_id,ip,user_agent,context,personal,meta,redacted,truncated,schema_version,\
content_hash\r\n";

pub(super) fn line(entry: &Entry, out: &mut String) -> Result<(), Error> {
    let origin = entry.origin();
    let id = |id: Option<String>| id.unwrap_or_default();
    let mut json = [const { String::new() }; 4];
    let [targets, context, personal, meta] = &mut json;
    put(&entry.targets, targets)?;
    put(&Sorted(&entry.context), context)?;
    put(&Sorted(&entry.personal), personal)?;
    put(&Sorted(&entry.meta), meta)?;
    let cells = [
        &*entry.id.to_string(),
        &*entry.tenant.to_string(),
        &*time(entry.occurred_at()),
        &*time(entry.created_at),
        &*entry.actor.kind,
        &*entry.actor.id,
        &*id(entry.actor.user.map(|user| user.to_string())),
        &*id(entry.actor.on_behalf_of.map(|user| user.to_string())),
        &*entry.action,
        entry.outcome.as_str(),
        entry.resource.as_deref().unwrap_or_default(),
        targets,
        &*id(entry.request.map(|request| request.to_string())),
        origin.ip.as_deref().unwrap_or_default(),
        origin.user_agent.as_deref().unwrap_or_default(),
        context,
        personal,
        meta,
        if entry.redacted { "true" } else { "false" },
        if entry.truncated { "true" } else { "false" },
        &*entry.schema_version.to_string(),
        &*BASE64.encode(entry.content_hash),
    ];
    for (at, cell) in cells.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        put_cell(cell, out);
    }
    out.push_str("\r\n");
    Ok(())
}

/// A `'` in front keeps a spreadsheet from taking the cell for a formula. One that begins with a `'`
/// gets another, so that it is known what to take away.
pub(super) fn put_cell(cell: &str, out: &mut String) {
    let risky = cell.starts_with([
        '=', '+', '-', '@', '\t', '\r', '\n', '\'', '＝', '＋', '－', '＠',
    ]);
    if !risky && !cell.contains(['"', ',', '\r', '\n']) {
        out.push_str(cell);
        return;
    }
    out.push('"');
    if risky {
        out.push('\'');
    }
    for c in cell.chars() {
        if c == '"' {
            out.push('"');
        }
        out.push(c);
    }
    out.push('"');
}
