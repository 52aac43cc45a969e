//! An entry as an event of `CloudEvents` 1.0, in structured mode.

use serde::Serialize;
use tenancy_core::TenantId;

use super::{ndjson::Line, put, time};
use crate::{
    Error,
    model::entry::{AuditEntryId, Entry},
};

#[derive(Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: AuditEntryId,
    source: String,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    time: String,
    datacontenttype: &'static str,
    tenantid: TenantId,
    outcome: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    omitted: bool,
    data: Line<'a>,
}

pub(super) fn line(entry: &Entry, omitted: bool, out: &mut String) -> Result<(), Error> {
    let event = Event {
        specversion: "1.0",
        id: entry.id,
        source: format!("/tenants/{}", entry.tenant),
        kind: &entry.action,
        subject: entry.resource.as_deref(),
        time: time(entry.occurred_at()),
        datacontenttype: "application/json",
        tenantid: entry.tenant,
        outcome: entry.outcome.as_str(),
        omitted,
        data: Line::of(entry, omitted),
    };
    put(&event, out)?;
    out.push('\n');
    Ok(())
}
