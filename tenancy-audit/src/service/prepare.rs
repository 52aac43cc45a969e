//! From an event to a record: checked, redacted, signed with the context's actor, hashed.

use serde_json::{Map, Value};
use tenancy_core::{ActionKey, Actor, Event, Origin, Outcome, Target, TenantCtx};

use crate::{
    AuditEntryId, Draft, EntryKey, Error, ErrorKind, Limits, Oversize, Record, RecordedActor,
    Redaction,
    model::{
        ORIGIN_DETAILS, Personal, Place, SALT_LEN, SCHEMA_VERSION, SEALED, Sanitizer, resource_of,
    },
};

/// What the caller of a request can say about himself is cut off here, never refused.
const MAX_IP: usize = 64;
const MAX_USER_AGENT: usize = 512;
const MAX_TRACE_ID: usize = 64;
const MAX_TARGET_KIND: usize = 64;
/// Personal details of one event, and the bytes of their names in all: the commitments to them have 256 KiB in the
/// table, and one takes 64 bytes beside its name.
const MAX_DETAILS: usize = 1_024;
const MAX_DETAIL_NAMES: usize = 128 * 1024;

/// How events are checked and redacted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    pub(crate) redaction: Redaction,
    #[cfg(feature = "schema")]
    pub(crate) schemas: crate::EventSchemas,
}

impl Rules {
    pub(crate) fn prepare(&self, ctx: &TenantCtx, event: Event) -> Result<Draft, Error> {
        let action = ActionKey::parse(event.action)?;
        let mut sanitizer = Sanitizer::new(&self.limits, &self.redaction);
        let targets = self.targets(&mut sanitizer, event.targets)?;
        let meta = sanitizer.object(event.meta)?;
        let mut given = sanitizer.object(event.personal)?;
        if self.cut_details(&mut given)? {
            sanitizer.truncated = true;
        }
        let schema = self.schema(action.as_str(), event.outcome, &targets, &meta, &given)?;
        let id = AuditEntryId::new();
        let mut personal = Personal::new(ctx.tenant(), id);
        details(given, &mut personal)?;
        let mut from = event.origin;
        // An entry that a handler writes belongs to the trace of its request, too.
        let traced = || ctx.trace().map(|trace| trace.to_string());
        from.trace_id = from.trace_id.or_else(traced);
        let mut context = origin(&mut sanitizer, from, &mut personal)?;
        if let Some(version) = schema {
            context.insert("schema".to_owned(), version.into());
        }
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
        let key = event
            .idempotency_key
            .map(|key| EntryKey::new(&key, &record))
            .transpose()?;
        Ok(Draft::new(record, key))
    }

    /// Whether there were more details than can be kept, and the rest is gone.
    fn cut_details(&self, given: &mut Map<String, Value>) -> Result<bool, Error> {
        let mut names = 0;
        let fitting = given.keys().take(MAX_DETAILS).take_while(|name| {
            names += name.len();
            names <= MAX_DETAIL_NAMES
        });
        let fitting = fitting.count();
        if fitting == given.len() {
            return Ok(false);
        }
        if self.limits.oversize == Oversize::Refuse {
            let message = format!(
                "an event may have {MAX_DETAILS} personal details, and their names {MAX_DETAIL_NAMES} bytes"
            );
            return Err(Error::invalid("audit_details_too_many", message));
        }
        *given = std::mem::take(given).into_iter().take(fitting).collect();
        Ok(true)
    }

    /// The version of the schema that the event fits, where its action has one.
    #[cfg(feature = "schema")]
    fn schema(
        &self,
        action: &str,
        outcome: Outcome,
        targets: &[Target],
        meta: &Map<String, Value>,
        personal: &Map<String, Value>,
    ) -> Result<Option<u32>, Error> {
        if !self.schemas.knows(action) {
            return Ok(None);
        }
        let event = crate::model::described(outcome, targets, meta, personal);
        self.schemas.check(action, &event)
    }

    #[cfg(not(feature = "schema"))]
    #[expect(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "with the feature it looks, and may refuse"
    )]
    fn schema(
        &self,
        _: &str,
        _: Outcome,
        _: &[Target],
        _: &Map<String, Value>,
        _: &Map<String, Value>,
    ) -> Result<Option<u32>, Error> {
        Ok(None)
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
fn details(given: Map<String, Value>, personal: &mut Personal) -> Result<(), Error> {
    for (name, value) in given {
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

#[cfg(test)]
mod tests {
    use tenancy_core::{Principal, TenantId, UserId, testing::imagined};

    use super::*;

    fn prepared(rules: &Rules, event: Event) -> Result<Draft, Error> {
        let ctx = imagined(TenantId::new(), Principal::user(UserId::new()));
        rules.prepare(&ctx, event)
    }

    fn of(targets: impl IntoIterator<Item = String>) -> Event {
        let all = targets.into_iter();
        all.fold(Event::new("thing.made"), |event, id| {
            event.target("thing", id)
        })
    }

    #[test]
    fn targets_over_a_limit_are_refused_or_cut_as_the_host_wants() {
        let mut rules = Rules::default();
        let many = of((0..40).map(|at| at.to_string()));
        let long = of([format!("a{}", "ü".repeat(200))]);
        let refused = |event: &Event| prepared(&rules, event.clone()).unwrap_err();
        assert_eq!(refused(&many).code(), "audit_targets_too_many");
        assert_eq!(refused(&long).code(), "audit_target_too_long");

        rules.limits.oversize = Oversize::Truncate;
        let cut = prepared(&rules, many).unwrap();
        assert!(cut.truncated && !cut.redacted);
        assert_eq!(cut.targets.len(), 32);
        assert_eq!((&*cut.targets[0].id, &*cut.targets[31].id), ("0", "31"));
        assert_eq!(cut.resource.as_deref(), Some("thing:0"));
        assert_eq!(cut.hash(), cut.content_hash, "of what is kept");
        let cut = prepared(&rules, long).unwrap();
        // Between two characters.
        assert_eq!(cut.targets[0].id, format!("a{}", "ü".repeat(127)));
        assert!(cut.truncated);
        let kind = Event::new("thing.made").target("a:b", 7);
        let refused = prepared(&rules, kind).unwrap_err();
        assert_eq!(refused.code(), "audit_target_kind_invalid", "never cut");
    }

    #[test]
    fn targets_at_a_limit_stay_and_no_part_of_a_secret_is_left_at_a_cut() {
        let mut rules = Rules::default();
        rules.limits.oversize = Oversize::Truncate;
        let full = of((0..32).map(|_| "x".repeat(256)));
        let whole = prepared(&rules, full).unwrap();
        assert!(!whole.truncated && whole.targets.len() == 32);
        assert!(whole.targets.iter().all(|target| target.id.len() == 256));
        for before in 230..256 {
            let secret = format!("{}/sk_live_4eC39HqLyjWDarjtT1zdp7dc", "x".repeat(before));
            let cut = prepared(&rules, of([secret])).unwrap();
            assert!(cut.redacted, "{before}");
            // What stands in its place is shorter.
            assert_eq!(cut.truncated, before + 17 > 256, "{before}");
            assert!(!cut.targets[0].id.contains("sk_"), "{before}");
            assert!(cut.targets[0].id.len() <= 256, "{before}");
        }
    }
}
