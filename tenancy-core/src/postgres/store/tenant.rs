use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{PgStore, interval};
use crate::{
    Error, ErrorKind, HoldReference, MyTenant, MyTenantsPage, NewTenant, Reason, Slug, SlugOwner,
    Tenant, TenantId, TenantName, TenantState, TenantStatus, TenantStore, TenantTx, Transition,
    UserId,
};

/// How many former slugs are kept for a tenant at once: it does not hoard names.
const MAX_FORMER_SLUGS: i32 = 10;

/// The most tenants that one page of a user's holds.
const MOST_TENANTS: u16 = 1_000;

#[derive(Debug, sqlx::FromRow)]
struct TenantRow {
    id: TenantId,
    slug: String,
    name: String,
    status: String,
    created_at: DateTime<Utc>,
    is_owner: bool,
}

impl TryFrom<TenantRow> for MyTenant {
    type Error = Error;

    fn try_from(row: TenantRow) -> Result<Self, Error> {
        let status = status(&row.status)?;
        let TenantRow {
            id,
            slug,
            name,
            created_at,
            is_owner,
            ..
        } = row;
        Ok(Self {
            tenant: Tenant {
                id,
                slug,
                name,
                status,
                created_at,
            },
            is_owner,
        })
    }
}

#[derive(Debug, sqlx::FromRow)]
struct StateRow {
    status: String,
    status_before: Option<String>,
    status_reason: Option<String>,
    status_by_platform: bool,
    status_since: DateTime<Utc>,
    delete_after: Option<DateTime<Utc>>,
    holds: Vec<String>,
}

impl TryFrom<StateRow> for TenantState {
    type Error = Error;

    fn try_from(row: StateRow) -> Result<Self, Error> {
        Ok(Self {
            status: status(&row.status)?,
            before: row.status_before.as_deref().map(status).transpose()?,
            reason: row.status_reason,
            by_platform: row.status_by_platform,
            since: row.status_since,
            delete_after: row.delete_after,
            holds: row.holds,
        })
    }
}

pub(crate) fn status(text: &str) -> Result<TenantStatus, Error> {
    TenantStatus::parse(text).ok_or_else(|| {
        Error::new(
            ErrorKind::Internal,
            "unexpected_row",
            "a tenant has an unknown state",
        )
    })
}

#[async_trait]
impl TenantStore for PgStore {
    async fn create_in(&self, tx: &mut TenantTx, tenant: &NewTenant) -> Result<(), Error> {
        let answer: String = sqlx::query_scalar(include_str!("../sql/tenant_create.sql"))
            .bind(tenant.slug.as_str())
            .bind(tenant.name.as_str())
            .bind(tenant.owner)
            .fetch_one(&mut **tx)
            .await?;
        match answer.as_str() {
            "ok" => Ok(()),
            "slug_taken" => Err(slug_taken(&tenant.slug)),
            _ => Err(Error::new(
                ErrorKind::Conflict,
                "tenant_exists",
                "this tenant exists already",
            )),
        }
    }

    async fn get_in(&self, tx: &mut TenantTx) -> Result<Tenant, Error> {
        let tenant = tx.ctx().tenant();
        let row: TenantRow = sqlx::query_as(include_str!("../sql/tenant_get.sql"))
            .bind(tenant)
            .fetch_one(&mut **tx)
            .await?;
        Ok(MyTenant::try_from(row)?.tenant)
    }

    async fn state_in(&self, tx: &mut TenantTx) -> Result<TenantState, Error> {
        let tenant = tx.ctx().tenant();
        let row: Option<StateRow> = sqlx::query_as(include_str!("../sql/tenant_state.sql"))
            .bind(tenant)
            .fetch_optional(&mut **tx)
            .await?;
        row.ok_or_else(Error::not_a_member)?.try_into()
    }

    async fn move_in(&self, tx: &mut TenantTx, transition: &Transition) -> Result<(), Error> {
        let answer: String = sqlx::query_scalar("SELECT tenancy.move_tenant($1, $2, $3, $4)")
            .bind(transition.from.as_str())
            .bind(transition.to.as_str())
            .bind(transition.reason.as_ref().map(Reason::as_str))
            .bind(interval(transition.grace.as_duration())?)
            .fetch_one(&mut **tx)
            .await?;
        self.db.forget_after(tx);
        said(&answer)
    }

    async fn rename_in(&self, tx: &mut TenantTx, name: &TenantName) -> Result<String, Error> {
        let old: Option<String> = sqlx::query_scalar("SELECT tenancy.rename_tenant($1)")
            .bind(name.as_str())
            .fetch_one(&mut **tx)
            .await?;
        old.ok_or_else(Error::not_a_member)
    }

    async fn change_slug_in(
        &self,
        tx: &mut TenantTx,
        slug: &Slug,
        keep: Duration,
    ) -> Result<String, Error> {
        let (answer, old): (String, Option<String>) =
            sqlx::query_as(include_str!("../sql/tenant_change_slug.sql"))
                .bind(slug.as_str())
                .bind(interval(keep)?)
                .bind(MAX_FORMER_SLUGS)
                .fetch_one(&mut **tx)
                .await?;
        match answer.as_str() {
            "slug_taken" => Err(slug_taken(slug)),
            answer => said(answer).map(|()| old.unwrap_or_default()),
        }
    }

    async fn hold_in(
        &self,
        tx: &mut TenantTx,
        reference: &HoldReference,
        place: bool,
    ) -> Result<bool, Error> {
        let answer: String = sqlx::query_scalar("SELECT tenancy.hold_tenant($1, $2)")
            .bind(reference.as_str())
            .bind(place)
            .fetch_one(&mut **tx)
            .await?;
        match answer.as_str() {
            "unchanged" => Ok(false),
            answer => said(answer).map(|()| true),
        }
    }

    async fn for_user(&self, user: UserId, page: &MyTenantsPage) -> Result<Vec<MyTenant>, Error> {
        let (name, id) = page.after.clone().unzip();
        let rows: Vec<TenantRow> = sqlx::query_as(include_str!("../sql/tenants_of.sql"))
            .bind(user)
            .bind(name)
            .bind(id)
            .bind(i32::from(page.limit.clamp(1, MOST_TENANTS)))
            .fetch_all(&mut *self.db.unbound().await?)
            .await?;
        rows.into_iter().map(MyTenant::try_from).collect()
    }

    async fn by_slug(&self, slug: &str) -> Result<Option<SlugOwner>, Error> {
        let row: Option<(TenantId, String)> =
            sqlx::query_as("SELECT tenant_id, current_slug FROM tenancy.find_slug($1)")
                .bind(slug)
                .fetch_optional(&mut *self.db.unbound().await?)
                .await?;
        Ok(row.map(|(tenant, now)| {
            if now == slug {
                SlugOwner::Current(tenant)
            } else {
                SlugOwner::Former { tenant, now }
            }
        }))
    }
}

fn slug_taken(slug: &Slug) -> Error {
    let message = format!("the slug `{}` is taken", slug.as_str());
    Error::new(ErrorKind::Conflict, "slug_taken", message)
}

fn said(answer: &str) -> Result<(), Error> {
    let (kind, code, message) = match answer {
        "ok" => return Ok(()),
        "stale" => (
            ErrorKind::Conflict,
            "stale",
            "the tenant is in another state by now",
        ),
        "not_allowed" => (
            ErrorKind::Conflict,
            "transition_refused",
            "nothing leads from the tenant's state to that one",
        ),
        "not_yours" => (
            ErrorKind::Denied,
            "closed_by_platform",
            "the platform closed this tenant, and only the platform opens it",
        ),
        "not_platform" => (
            ErrorKind::Denied,
            "hold_not_yours",
            "a tenant does not place or release legal holds on itself",
        ),
        "same" => (
            ErrorKind::Conflict,
            "slug_unchanged",
            "the tenant has this slug already",
        ),
        "too_many" => (
            ErrorKind::Limit,
            "too_many_former_slugs",
            "too many former slugs are still kept for this tenant",
        ),
        _ => return Err(Error::not_a_member()),
    };
    Err(Error::new(kind, code, message))
}
