//! An entry as an event of OCSF 1.3.0: class API Activity (6003) of the category Application Activity (6).

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::Serialize;
use tenancy_core::{Outcome, RequestId, TenantId, UserId};

use super::{Sorted, put};
use crate::{
    Error,
    model::entry::{AuditEntryId, Entry},
};

const VERSION: &str = "1.3.0";
const CLASS: u32 = 6_003;

#[derive(Serialize)]
struct Event<'a> {
    activity_id: u32,
    activity_name: &'a str,
    actor: Actor<'a>,
    api: Api<'a>,
    category_uid: u32,
    class_uid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_request: Option<HttpRequest>,
    metadata: Metadata,
    resources: Vec<Resource<'a>>,
    severity_id: u32,
    src_endpoint: Endpoint<'a>,
    status: &'static str,
    status_detail: &'static str,
    status_id: u32,
    time: i64,
    type_uid: u32,
    unmapped: Unmapped<'a>,
}

#[derive(Default, Serialize)]
struct Actor<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    app_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
}

#[derive(Serialize)]
struct User<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    type_id: u32,
    uid: &'a str,
}

#[derive(Serialize)]
struct Api<'a> {
    operation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Request>,
}

#[derive(Serialize)]
struct Request {
    uid: RequestId,
}

#[derive(Serialize)]
struct HttpRequest {
    user_agent: String,
}

#[derive(Serialize)]
struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_uid: Option<String>,
    log_name: &'static str,
    logged_time: i64,
    product: Product,
    tenant_uid: TenantId,
    uid: AuditEntryId,
    version: &'static str,
}

#[derive(Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
}

#[derive(Serialize)]
struct Resource<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    uid: &'a str,
}

#[derive(Serialize)]
struct Endpoint<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    svc_name: Option<&'a str>,
}

#[derive(Serialize)]
struct Unmapped<'a> {
    content_hash: String,
    context: Sorted<'a>,
    meta: Sorted<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    omitted: bool,
    on_behalf_of: Option<UserId>,
    personal: Sorted<'a>,
    redacted: bool,
    schema_version: i16,
    truncated: bool,
}

pub(super) fn line(entry: &Entry, omitted: bool, out: &mut String) -> Result<(), Error> {
    let (activity_id, activity_name) = activity(&entry.action);
    let origin = entry.origin();
    let (severity_id, status_id, status) = match entry.outcome {
        Outcome::Allowed => (1, 1, "Success"),
        _ => (2, 2, "Failure"),
    };
    let event = Event {
        activity_id,
        activity_name,
        actor: actor(entry),
        api: Api {
            operation: &entry.action,
            request: entry.request.map(|uid| Request { uid }),
        },
        category_uid: CLASS / 1_000,
        class_uid: CLASS,
        http_request: origin
            .user_agent
            .map(|user_agent| HttpRequest { user_agent }),
        metadata: Metadata {
            correlation_uid: origin.trace_id,
            log_name: "audit_logs",
            logged_time: entry.created_at.timestamp_millis(),
            product: Product {
                name: "tenancy-audit",
                vendor_name: "tenancy",
            },
            tenant_uid: entry.tenant,
            uid: entry.id,
            version: VERSION,
        },
        resources: entry
            .targets
            .iter()
            .map(|target| Resource {
                kind: &target.kind,
                uid: &target.id,
            })
            .collect(),
        severity_id,
        src_endpoint: endpoint(entry, origin.ip),
        status,
        status_detail: entry.outcome.as_str(),
        status_id,
        time: entry.occurred_at().timestamp_millis(),
        type_uid: CLASS * 100 + activity_id,
        unmapped: unmapped(entry, omitted),
    };
    put(&event, out)?;
    out.push('\n');
    Ok(())
}

fn unmapped(entry: &Entry, omitted: bool) -> Unmapped<'_> {
    Unmapped {
        content_hash: BASE64.encode(entry.content_hash),
        context: Sorted(&entry.context),
        meta: Sorted(&entry.meta),
        omitted,
        on_behalf_of: entry.actor.on_behalf_of,
        personal: Sorted(&entry.personal),
        redacted: entry.redacted,
        schema_version: entry.schema_version,
        truncated: entry.truncated,
    }
}

fn actor(entry: &Entry) -> Actor<'_> {
    let id = &*entry.actor.id;
    let user = |kind, type_id| Actor {
        user: Some(User {
            kind,
            type_id,
            uid: id,
        }),
        ..Actor::default()
    };
    match &*entry.actor.kind {
        "user" => user("User", 1),
        "api_key" => user("API key", 99),
        _ => Actor {
            app_name: Some(id),
            ..Actor::default()
        },
    }
}

/// OCSF wants to know at least one thing about the source, and takes as an address only what is one.
fn endpoint(entry: &Entry, from: Option<String>) -> Endpoint<'_> {
    let service = Some(&*entry.actor.id).filter(|_| entry.actor.kind == "service");
    let ip = from.as_deref().and_then(|from| from.parse().ok());
    let name = from.filter(|_| ip.is_none());
    let unknown = ip.is_none() && name.is_none() && service.is_none();
    Endpoint {
        ip,
        name: name.or_else(|| unknown.then(|| "unknown".to_owned())),
        svc_name: service,
    }
}

/// The activity that the last word of an action tells of; 99 is another one, under the action's name.
fn activity(action: &str) -> (u32, &str) {
    let (_, last) = action.rsplit_once('.').unwrap_or_default();
    match last {
        "accepted" | "added" | "created" | "enqueued" | "granted" | "imported" | "invited"
        | "issued" | "made" | "offered" | "post" | "registered" | "uploaded" => (1, "Create"),
        "downloaded" | "exported" | "get" | "listed" | "read" | "revealed" | "searched"
        | "viewed" => (2, "Read"),
        "changed" | "disabled" | "edited" | "enabled" | "patch" | "put" | "renamed"
        | "restored" | "resumed" | "rotated" | "suspended" | "updated" => (3, "Update"),
        "cancelled" | "delete" | "deleted" | "erased" | "expired" | "left" | "purged"
        | "removed" | "revoked" => (4, "Delete"),
        _ => (99, action),
    }
}
