//! From an event to a record: checked, redacted, signed with the context's actor, hashed.

use serde_json::{Map, Value};
use tenancy_core::{ActionKey, Actor, Event, Origin, Target, TenantCtx};

use crate::{
    AuditEntryId, Error, ErrorKind, Limits, Oversize, Record, RecordedActor, Redaction,
    SCHEMA_VERSION,
    model::{Personal, Place, SALT_LEN, SEALED, Sanitizer, resource_of},
};

/// What the caller of a request can say about himself is cut off here, never refused.
const MAX_IP: usize = 64;
const MAX_USER_AGENT: usize = 512;
const MAX_TRACE_ID: usize = 64;
const MAX_TARGET_KIND: usize = 64;

/// The names under which the origin's details are kept.
pub(super) const ORIGIN_DETAILS: [&str; 2] = ["ip", "user_agent"];

/// How events are checked and redacted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    pub(crate) redaction: Redaction,
}

impl Rules {
    pub(crate) fn prepare(&self, ctx: &TenantCtx, event: Event) -> Result<Record, Error> {
        let action = ActionKey::parse(event.action)?;
        let mut sanitizer = Sanitizer::new(&self.limits, &self.redaction);
        let targets = self.targets(&mut sanitizer, event.targets)?;
        let meta = sanitizer.object(event.meta)?;
        let id = AuditEntryId::new();
        let mut personal = Personal::new(ctx.tenant(), id);
        details(&mut sanitizer, event.personal, &mut personal)?;
        let mut from = event.origin;
        // An entry that a handler writes belongs to the trace of its request, too.
        let traced = || ctx.trace().map(|trace| trace.to_string());
        from.trace_id = from.trace_id.or_else(traced);
        let context = origin(&mut sanitizer, from, &mut personal)?;
        let mut record = Record {
            id,
            tenant: ctx.tenant(),
            actor: actor(ctx),
            action: action.into(),
            resource: resource_of(&targets),
            outcome: event.outcome,
            targets,
            context,
            personal: personal.values,
            commitments: personal.commitments,
            request: Some(ctx.request_id()),
            meta,
            redacted: sanitizer.redacted,
            truncated: sanitizer.truncated,
            schema_version: SCHEMA_VERSION,
            content_hash: [0; 32],
            damaged: Vec::new(),
            shown: Vec::new(),
        };
        record.content_hash = record.hash();
        Ok(record)
    }

    fn targets(
        &self,
        sanitizer: &mut Sanitizer<'_>,
        mut targets: Vec<Target>,
    ) -> Result<Vec<Target>, Error> {
        let most = self.limits.targets;
        let truncates = self.limits.oversize == Oversize::Truncate;
        if targets.len() > most {
            if !truncates {
                let message = format!("an event may have {most} targets");
                return Err(Error::invalid("audit_targets_too_many", message));
            }
            targets.truncate(most);
            sanitizer.truncated = true;
        }
        for target in &mut targets {
            check_kind(&target.kind)?;
            let most = self.limits.target_id_bytes;
            if target.id.len() > most && !truncates {
                let message = format!("the id of a target may have {most} bytes");
                return Err(Error::invalid("audit_target_too_long", message));
            }
            target.id = sanitizer.text(&target.id, Place::Identifier, most);
        }
        Ok(targets)
    }
}

/// The colon separates kind and id in `resource`.
fn check_kind(kind: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    if !kind.is_empty() && kind.len() <= MAX_TARGET_KIND && kind.bytes().all(fits) {
        return Ok(());
    }
    let shown = tenancy_core::InvalidInput::quote(kind);
    let message = format!(
        "`{shown}` is no kind of target: use letters, digits and `_-./`, at most {MAX_TARGET_KIND}"
    );
    Err(Error::invalid("audit_target_kind_invalid", message))
}

fn actor(ctx: &TenantCtx) -> RecordedActor {
    let principal = ctx.principal();
    let actor = &principal.actor;
    let user = match actor {
        Actor::User { id } => Some(*id),
        _ => None,
    };
    RecordedActor {
        kind: actor.kind().to_owned(),
        id: actor.id(),
        user,
        on_behalf_of: principal.on_behalf_of,
    }
}

/// What the caller says about a person; it shares the limits of `meta`.
fn details(
    sanitizer: &mut Sanitizer<'_>,
    given: Map<String, Value>,
    personal: &mut Personal,
) -> Result<(), Error> {
    for (name, value) in sanitizer.object(given)? {
        if ORIGIN_DETAILS.contains(&name.as_str()) || name.starts_with(SEALED) {
            let message =
                "`ip` and `user_agent` are the origin's: say them there; no detail begins with `*`";
            return Err(Error::invalid("audit_personal_reserved", message));
        }
        personal.add(&name, value, salt()?);
    }
    Ok(())
}

/// Address and browser say something about a person; the trace says nothing.
fn origin(
    sanitizer: &mut Sanitizer<'_>,
    origin: Origin,
    personal: &mut Personal,
) -> Result<Map<String, Value>, Error> {
    let [ip, user_agent] = ORIGIN_DETAILS;
    let details = [
        (ip, origin.ip, MAX_IP),
        (user_agent, origin.user_agent, MAX_USER_AGENT),
    ];
    for (name, value, most) in details {
        if let Some(text) = value {
            let text = sanitizer.text(&text, Place::Identifier, most);
            personal.add(name, text.into(), salt()?);
        }
    }
    let mut context = Map::new();
    if let Some(trace) = origin.trace_id {
        let trace = sanitizer.text(&trace, Place::Identifier, MAX_TRACE_ID);
        context.insert("trace_id".to_owned(), trace.into());
    }
    Ok(context)
}

fn salt() -> Result<[u8; SALT_LEN], Error> {
    let mut salt = [0; SALT_LEN];
    getrandom::fill(&mut salt).map_err(|_| {
        let message = "the operating system gives no random bytes";
        Error::new(ErrorKind::Unavailable, "randomness_unavailable", message)
    })?;
    Ok(salt)
}
