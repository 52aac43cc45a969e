//! Reading the log.

use std::{fmt, sync::Arc};

use serde_json::Map;
use tenancy_core::{
    ActionKey, AuditSink, Authorizer, AuthorizerExt as _, Event, PermissionKey, Subject,
    SubjectCipher, Target, TenantCtx, TenantDb,
};

use super::{export::Export, perm, retention::held, subjects, tail::Tail};
use crate::{
    ActionFilter, AuditEntryId, AuditQuery, AuditStore, Change, CountBy, Counts, Entry, Error,
    ErrorKind, ExportFormat, Filter, Order, Page, PgAuditStore, ResourceFilter, SealKeys, Verdict,
    error::code, model,
};

/// What an entry that shows the erasure of a subject is called, and the kind of its target.
const ERASED_SUBJECT: &str = "audit.subject_erased";
const SUBJECT_HASH: &str = "subject_hash";

/// What a cipher asks for before it erases.
const MAY_ERASE: PermissionKey = PermissionKey::from_static("subjects.erase");

/// How many names of details the entry of a revelation holds of each subject: with the longest names they fit.
const MOST_NAMES: usize = 32;

/// How many entries are looked at to know whether addresses are sealed.
const LOOKED_AT_FOR_SEALS: u16 = 500;

/// How many changed entries a verification names.
const MOST_CHANGES: usize = 1_000;

/// Reads a tenant's log: searches, counts, follows, verifies and exports it. What writes it is
/// [`PgAuditLog`](crate::PgAuditLog).
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_audit::{ActionFilter, AuditLog, AuditQuery, Error};
/// # use tenancy_core::{AuditSink, Authorizer, TenantCtx, TenantDb};
/// # async fn run(db: TenantDb, ctx: TenantCtx, authorizer: Arc<dyn Authorizer>,
/// #     audit: Arc<dyn AuditSink>) -> Result<(), Error> {
/// let log = AuditLog::new(db, authorizer, audit);
/// let query = AuditQuery::new().with_action(ActionFilter::prefix("template.")?);
/// let first = log.search(&ctx, &query).await?;
/// if let Some(next) = first.next {
///     let second = log.search(&ctx, &query.with_after(next)).await?;
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct AuditLog {
    store: Arc<dyn AuditStore>,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<dyn AuditSink>,
    cipher: Option<Arc<dyn SubjectCipher>>,
    keys: Option<SealKeys>,
    /// Where legal holds stand, of a log on Postgres.
    holds: Option<PgAuditStore>,
}

/// What verifying a stretch of the log found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Verification {
    /// Entries looked at.
    pub checked: u64,
    /// Entries of which a personal detail was erased, and which are intact otherwise.
    pub erased: u64,
    /// Entries that were changed.
    pub changed: u64,
    /// The first 1,000 that were changed, and what does not fit.
    pub changes: Vec<(AuditEntryId, Change)>,
}

impl AuditLog {
    /// Puts the service together, on Postgres.
    pub fn new(db: TenantDb, authorizer: Arc<dyn Authorizer>, audit: Arc<dyn AuditSink>) -> Self {
        let store = PgAuditStore::new(db);
        let mut log = Self::with_store(Arc::new(store.clone()), authorizer, audit);
        log.holds = Some(store);
        log
    }

    /// Puts the service together, on another store, which knows of no legal holds.
    pub fn with_store(
        store: Arc<dyn AuditStore>,
        authorizer: Arc<dyn Authorizer>,
        audit: Arc<dyn AuditSink>,
    ) -> Self {
        Self {
            store,
            authorizer,
            audit,
            cipher: None,
            keys: None,
            holds: None,
        }
    }

    /// Knows the keys that erasures may be signed with, so that [`verify`](Self::verify) tells details that
    /// an operator erased from those that somebody stripped. Without them both count as changed.
    pub fn with_seal_keys(mut self, keys: SealKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Opens and erases the personal details that were sealed with this cipher.
    pub fn with_cipher(mut self, cipher: Arc<dyn SubjectCipher>) -> Self {
        self.cipher = Some(cipher);
        self
    }

    /// An entry with its personal details in clear; those of an erased subject are gone, and
    /// [`Entry::verify`](crate::Record::verify) names them as erased if the log shows that they were, by
    /// the entry that [`erase_subject`](Self::erase_subject) makes, and as stripped if not.
    ///
    /// Records `audit.revealed` before it shows anything: the entry, whose details were opened (by the hash that
    /// `audit.subject_erased` names a subject by), and their names, never what they say. Where nothing was
    /// sealed, or all of it is gone, there is nothing to record.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `audit.read`;
    /// [`Misconfigured`](ErrorKind::Misconfigured) `audit_no_cipher`; what the cipher answers; what can't be
    /// recorded is not shown.
    pub async fn reveal(&self, ctx: &TenantCtx, entry: Entry) -> Result<Entry, Error> {
        self.authorizer.require(ctx, perm::AuditRead::get()).await?;
        let created_at = entry.created_at;
        let mut record = entry.into_record();
        let opened = subjects::open(self.cipher()?, ctx, &mut record).await?;
        for (subject, names) in opened.erased {
            if self.shows_erasure(ctx, &subject).await? {
                record.shown.extend(names);
            }
        }
        if !opened.clear.is_empty() {
            let event = revealed(ctx, record.id, opened.clear);
            self.audit.record(ctx, event).await?;
        }
        Ok(Entry::new(record, created_at))
    }

    /// Erases what the log says about a person: destroys the key it is sealed under, so that nobody can open it any
    /// more in entries, on replicas or in exports, and records `audit.subject_erased`, which is what shows the
    /// erasure from then on. Every proof still holds. A user's subject is `Subject::from(user)`. After an error it
    /// can be called again.
    ///
    /// A backup from before holds the key of its time: after restoring one, erase again.
    ///
    /// What was recorded without a cipher is not sealed, and stays: see
    /// [`Retention::erase_details`](crate::Retention::erase_details).
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) `audit_held` while the tenant is under a legal hold, to who has
    /// `subjects.erase`, and [`Denied`](ErrorKind::Denied) to others, whatever the cipher asks for;
    /// [`Misconfigured`](ErrorKind::Misconfigured) `audit_no_cipher`; what the cipher answers, which asks
    /// for its own permission.
    pub async fn erase_subject(&self, ctx: &TenantCtx, subject: &Subject) -> Result<(), Error> {
        let cipher = self.cipher()?;
        self.refuse_under_hold(ctx).await?;
        match cipher.erase_subject(ctx, subject).await {
            Err(error) if error.code() == code::SUBJECT_HELD => return Err(held(ctx.tenant())),
            done => done?,
        }
        if self.shows_erasure(ctx, subject).await? {
            return Ok(());
        }
        let event = Event::new(ERASED_SUBJECT)
            .target(SUBJECT_HASH, model::subject_hash(ctx.tenant(), subject));
        Ok(self.audit.record(ctx, event).await?)
    }

    /// Stops a cipher that does not ask about holds at one that stands; one that asks does it again, under
    /// a lock. Who may not erase is denied as the cipher would deny it, and does not learn of the hold.
    async fn refuse_under_hold(&self, ctx: &TenantCtx) -> Result<(), Error> {
        let Some(holds) = &self.holds else {
            return Ok(());
        };
        if !holds.is_held(ctx).await? {
            return Ok(());
        }
        self.authorizer.require_key(ctx, &MAY_ERASE).await?;
        Err(held(ctx.tenant()))
    }

    async fn shows_erasure(&self, ctx: &TenantCtx, subject: &Subject) -> Result<bool, Error> {
        let hash = model::subject_hash(ctx.tenant(), subject);
        let query = AuditQuery::new()
            .with_action(ActionFilter::Exact(ActionKey::parse(ERASED_SUBJECT)?))
            .with_resource(ResourceFilter::Exact(Target::new(SUBJECT_HASH, hash)))
            .with_limit(1);
        Ok(!self.store.search(ctx, &query).await?.entries.is_empty())
    }

    fn cipher(&self) -> Result<&dyn SubjectCipher, Error> {
        self.cipher.as_deref().ok_or_else(|| {
            let message = "the log was put together without a cipher of personal details";
            Error::new(ErrorKind::Misconfigured, "audit_no_cipher", message)
        })
    }

    /// A page of the context's tenant's entries.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `audit.read`; [`Cursor`](ErrorKind::Cursor) if the
    /// cursor is damaged or belongs to another search; [`InvalidInput`](ErrorKind::InvalidInput)
    /// `audit_ip_sealed` for an address where addresses are sealed.
    pub async fn search(&self, ctx: &TenantCtx, query: &AuditQuery) -> Result<Page, Error> {
        self.authorizer.require(ctx, perm::AuditRead::get()).await?;
        self.check_searchable(ctx, query).await?;
        self.store.search(ctx, query).await
    }

    /// One entry.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `audit.read`;
    /// [`NotFound`](ErrorKind::NotFound) if this tenant has no such entry.
    pub async fn get(&self, ctx: &TenantCtx, id: AuditEntryId) -> Result<Entry, Error> {
        self.authorizer.require(ctx, perm::AuditRead::get()).await?;
        self.store.get(ctx, id).await?.ok_or_else(|| {
            let message = format!("there is no audit entry `{id}`");
            Error::new(ErrorKind::NotFound, "audit_entry_unknown", message)
        })
    }

    /// Compares every entry that the query finds with its hash, page by page: of a query without filters, all of
    /// them. The query's page size and cursor don't count.
    ///
    /// This finds entries that were edited, and nothing else. One that was removed, put in, or replaced together
    /// with its hash, is found by the seals: [`AuditProofs::verify`](crate::AuditProofs::verify) in the database,
    /// [`Verifier`](crate::Verifier) in a file.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `audit.read`; [`InvalidInput`](ErrorKind::InvalidInput)
    /// `audit_ip_sealed` for an address where addresses are sealed.
    pub async fn verify(&self, ctx: &TenantCtx, query: &AuditQuery) -> Result<Verification, Error> {
        self.authorizer.require(ctx, perm::AuditRead::get()).await?;
        self.check_searchable(ctx, query).await?;
        let mut query = query.clone().with_limit(1_000);
        query.after = None;
        let mut found = Verification::default();
        loop {
            let page = self.store.search(ctx, &query).await?;
            for entry in &page.entries {
                found.count(entry, self.keys.as_ref());
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// How many entries the query finds: exactly up to `most` (1 to 100,000), of more the newest; by what
    /// one likes to know.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub async fn count(
        &self,
        ctx: &TenantCtx,
        query: &AuditQuery,
        by: CountBy,
        most: u32,
    ) -> Result<Counts, Error> {
        self.authorizer.require(ctx, perm::AuditRead::get()).await?;
        self.check_searchable(ctx, query).await?;
        let mut query = query.clone();
        query.after = None;
        self.store.count(ctx, &query, by, most).await
    }

    /// Follows the log from now on. The query's order, page size and cursor don't count.
    ///
    /// # Errors
    /// As [`search`](Self::search); [`Misconfigured`](ErrorKind::Misconfigured) `audit_log_restored` on a log that
    /// came into another cluster, until it is adopted there.
    pub async fn tail(&self, ctx: &TenantCtx, query: &AuditQuery) -> Result<Tail, Error> {
        self.authorizer.require(ctx, perm::AuditRead::get()).await?;
        self.check_searchable(ctx, query).await?;
        query.check()?;
        let mark = self.store.mark(ctx).await?;
        let (store, authorizer) = (self.store.clone(), self.authorizer.clone());
        Ok(Tail::new(
            store,
            authorizer,
            ctx.clone(),
            query.clone(),
            mark,
        ))
    }

    /// Starts an export of everything that the query finds in what is committed now, oldest first.
    ///
    /// Records `audit.exported` before anything is handed out; the texts and addresses that were looked for are
    /// personal details of that entry. The query's order, page size and cursor don't count.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `audit.export`; `audit_ip_sealed` as [`search`](Self::search);
    /// [`Misconfigured`](ErrorKind::Misconfigured) `audit_log_restored` on a log that came into another cluster,
    /// until it is adopted there; an export that can't be recorded does not happen.
    pub async fn export(
        &self,
        ctx: &TenantCtx,
        query: &AuditQuery,
        format: ExportFormat,
    ) -> Result<Export, Error> {
        self.authorizer
            .require(ctx, perm::AuditExport::get())
            .await?;
        self.check_searchable(ctx, query).await?;
        query.check()?;
        let mut query = query
            .clone()
            .with_order(Order::OldestFirst)
            .with_limit(1_000);
        query.after = None;
        query.seen = Some(self.store.mark(ctx).await?);
        let (filters, personal) = query.recorded();
        let mut event = Event::new("audit.exported")
            .target("audit_log", ctx.tenant())
            .meta("format", format.as_str())
            .meta("filters", filters);
        if personal
            .as_object()
            .is_some_and(|filters| !filters.is_empty())
        {
            event = event.personal("filters", personal);
        }
        self.audit.record(ctx, event).await?;
        Ok(Export::new(self.store.clone(), ctx.clone(), query, format))
    }

    /// Addresses that are sealed can't be searched for: it would find none and look like an answer. Who has no
    /// cipher sees by the newest entries in question that others seal.
    async fn check_searchable(&self, ctx: &TenantCtx, query: &AuditQuery) -> Result<(), Error> {
        let by_ip = |filter: &Filter| matches!(filter, Filter::Ip(_));
        if query.ip.is_none() && !query.except.iter().any(by_ip) {
            return Ok(());
        }
        let mut sealed = self.cipher.is_some();
        if !sealed {
            let mut rest = query.clone().with_order(Order::NewestFirst);
            rest.limit = Some(LOOKED_AT_FOR_SEALS);
            rest.ip = None;
            rest.after = None;
            rest.except.retain(|filter| !by_ip(filter));
            let newest = self.store.search(ctx, &rest).await?.entries;
            sealed = newest.iter().any(|entry| subjects::seals_address(entry));
        }
        if !sealed {
            return Ok(());
        }
        let message = "addresses are sealed here and can't be searched for: leave `ip:` out, or look at times from \
            before they were";
        Err(Error::invalid("audit_ip_sealed", message))
    }
}

/// What says that details were opened.
fn revealed(ctx: &TenantCtx, entry: AuditEntryId, clear: Vec<(Subject, Vec<String>)>) -> Event {
    let mut event = Event::new("audit.revealed").target("audit_entry", entry);
    let mut fields = Map::new();
    for (subject, mut names) in clear {
        let whose = model::subject_hash(ctx.tenant(), &subject);
        event = event.target(SUBJECT_HASH, whose);
        names.sort_unstable();
        let more = names.len().saturating_sub(MOST_NAMES);
        names.truncate(MOST_NAMES);
        if more > 0 {
            names.push(format!("… and {more} more"));
        }
        fields.insert(whose.to_string(), names.into());
    }
    event.meta("fields", fields)
}

impl Verification {
    fn count(&mut self, entry: &Entry, keys: Option<&SealKeys>) {
        self.checked += 1;
        match entry.verify_stored(keys) {
            Verdict::Intact => {}
            Verdict::Erased(_) => self.erased += 1,
            Verdict::Changed(change) => {
                self.changed += 1;
                if self.changes.len() < MOST_CHANGES {
                    self.changes.push((entry.id, change));
                }
            }
        }
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").finish_non_exhaustive()
    }
}
