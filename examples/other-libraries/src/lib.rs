//! A host that stays with the library it has: tokio-postgres, Diesel or `SeaORM`. The tests run each
//! of them on a real database, and the guide's code is compiled here.

/// The guide, as documentation whose examples are tested.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/other-libraries.md")]
struct Guide;

use tenancy_core::{TenantCtx, TenantDb, migrate::CORE, testing};
use tenancy_devdb::BoxError;
use tenancy_testkit::Db;

/// Two tenants with two notes each, in a table of the host's own.
#[derive(Debug)]
#[non_exhaustive]
pub struct World {
    /// The database.
    pub kit: Db,
    /// Whose rows a test works with.
    pub mine: TenantCtx,
    /// Whose rows it must not see.
    pub theirs: TenantCtx,
}

impl World {
    /// Makes all of it.
    pub async fn new() -> Result<Self, BoxError> {
        let kit = Db::new(&[&CORE]).await?;
        sqlx::raw_sql(
            "CREATE TABLE public.notes (
                tenant_id uuid NOT NULL, id uuid NOT NULL, body text NOT NULL, PRIMARY KEY (tenant_id, id)
            );
            SELECT tenancy.protect_table('public.notes')",
        )
        .execute(&kit.superuser().await?)
        .await?;
        let mine = testing::tenant(&kit.app).await?;
        let theirs = testing::tenant(&kit.app).await?;
        for ctx in [&mine, &theirs] {
            fill(&kit.app, ctx).await?;
        }
        Ok(Self { kit, mine, theirs })
    }

    /// The URL of the host's login.
    pub fn url(&self) -> &str {
        self.kit.server.app_url()
    }

    /// What binds a transaction of another library.
    pub fn context(&self) -> String {
        self.kit.app.context_sql(&self.mine)
    }
}

async fn fill(db: &TenantDb, ctx: &TenantCtx) -> Result<(), BoxError> {
    let mut tx = db.write(ctx).await?;
    let two = "INSERT INTO public.notes SELECT $1, gen_random_uuid(), body FROM unnest('{a,b}'::text[]) body";
    sqlx::query(two)
        .bind(ctx.tenant())
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// What is left of a context on a session: the settings that are not empty.
pub const RESIDUE: &str = "SELECT count(*) FROM unnest('{tenant_id,user_id,request_id,actor_kind,actor_id,on_behalf_of,permissions,roles}'::text[]) name
    WHERE nullif(current_setting('tenancy.' || name, true), '') IS NOT NULL";
