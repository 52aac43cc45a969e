//! The other tenant sees nothing, even by SQL that forgets every predicate.

use tenancy::core::TenantCtx;

use super::onboarding::People;
use crate::{Result, Screen, World};

pub(crate) async fn run(screen: &mut Screen, world: &World, people: &People) -> Result {
    screen.step("Isolation");
    let query = "SELECT count(*) FROM public.templates";
    screen.ask(format!(
        "the same statement in both tenants, without a WHERE: {query}"
    ));
    let (acme, globex) = (
        count(world, &people.ada, query).await?,
        count(world, &people.eve, query).await?,
    );
    screen.got(format!("acme sees {acme}, globex sees {globex}"));
    screen.promise("the other tenant sees nothing", acme > 0 && globex == 0);

    screen.ask("globex deletes every template and moves a row into acme");
    let mut tx = world.db.write(&people.eve).await?;
    let deleted = sqlx::query("DELETE FROM public.templates")
        .execute(&mut *tx)
        .await?;
    let planted = sqlx::query("INSERT INTO public.templates VALUES ($1, gen_random_uuid(), 'x')")
        .bind(people.ada.tenant())
        .execute(&mut *tx)
        .await;
    drop(tx);
    let answer = match &planted {
        Ok(_) => "planted".to_owned(),
        Err(error) => error.to_string(),
    };
    screen.got(format!(
        "{} rows deleted; {answer}",
        deleted.rows_affected()
    ));
    let left = count(world, &people.ada, query).await?;
    screen.promise("the other tenant changes nothing", {
        deleted.rows_affected() == 0 && planted.is_err() && left == acme
    });

    let bare: i64 = sqlx::query_scalar(query)
        .fetch_one(world.db.without_tenant())
        .await?;
    screen.promise("without a tenant there are no rows at all", bare == 0);
    Ok(())
}

async fn count(world: &World, ctx: &TenantCtx, query: &'static str) -> Result<i64> {
    let mut tx = world.db.read(ctx).await?;
    Ok(sqlx::query_scalar(query).fetch_one(&mut *tx).await?)
}
