use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::PgStore;
use crate::{
    Error, ErrorKind, MyTenant, NewTenant, Tenant, TenantId, TenantStatus, TenantStore, TenantTx,
    UserId,
};

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
        let status = TenantStatus::parse(&row.status).ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                "unexpected_row",
                "a tenant has an unknown state",
            )
        })?;
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
            "slug_taken" => {
                let message = format!("the slug `{}` is taken", tenant.slug.as_str());
                Err(Error::new(ErrorKind::Conflict, "slug_taken", message))
            }
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

    async fn set_status_in(
        &self,
        tx: &mut TenantTx,
        from: TenantStatus,
        to: TenantStatus,
    ) -> Result<(), Error> {
        let answer: String = sqlx::query_scalar("SELECT tenancy.set_tenant_status($1, $2)")
            .bind(from.as_str())
            .bind(to.as_str())
            .fetch_one(&mut **tx)
            .await?;
        if answer == "ok" {
            return Ok(());
        }
        let message = format!("the tenant is no longer `{}`", from.as_str());
        Err(Error::new(
            ErrorKind::Conflict,
            "tenant_state_moved",
            message,
        ))
    }

    async fn for_user(&self, user: UserId) -> Result<Vec<MyTenant>, Error> {
        let rows: Vec<TenantRow> = sqlx::query_as(include_str!("../sql/tenants_of.sql"))
            .bind(user)
            .fetch_all(self.db.without_tenant())
            .await?;
        rows.into_iter().map(MyTenant::try_from).collect()
    }

    async fn by_slug(&self, slug: &str) -> Result<Option<TenantId>, Error> {
        Ok(sqlx::query_scalar("SELECT tenancy.tenant_by_slug($1)")
            .bind(slug)
            .fetch_one(self.db.without_tenant())
            .await?)
    }
}
