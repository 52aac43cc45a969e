//! A host on tokio-postgres.

use other_libraries::{RESIDUE, World};
use tokio_postgres::{Client, GenericClient, NoTls, Transaction, error::SqlState};
use uuid::Uuid;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

async fn connect(world: &World) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(world.url(), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A transaction of the tenant.
async fn begin<'a>(client: &'a mut Client, world: &World) -> Result<Transaction<'a>> {
    let tx = client.transaction().await?;
    tx.batch_execute(&world.context()).await?;
    Ok(tx)
}

/// Whose notes are seen.
async fn seen(client: &impl GenericClient) -> Result<Vec<Uuid>> {
    let rows = client
        .query("SELECT tenant_id FROM public.notes", &[])
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn add(
    client: &impl GenericClient,
    tenant: Uuid,
) -> std::result::Result<u64, tokio_postgres::Error> {
    let insert = "INSERT INTO public.notes VALUES ($1, gen_random_uuid(), 'c')";
    client.execute(insert, &[&tenant]).await
}

#[tokio::test]
async fn a_transaction_sees_its_tenant_and_leaves_nothing_behind() -> Result {
    let world = World::new().await?;
    let mine = world.mine.tenant().as_uuid();
    let mut client = connect(&world).await?;
    for (commit, kept) in [(false, 2), (true, 3)] {
        let tx = begin(&mut client, &world).await?;
        assert_eq!(seen(&tx).await?, [mine; 2]);
        assert_eq!(add(&tx, mine).await?, 1);
        if commit {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        // The session is nobody's again.
        let residue: i64 = client.query_one(RESIDUE, &[]).await?.get(0);
        assert_eq!(residue, 0);
        assert!(seen(&client).await?.is_empty());
        let tx = begin(&mut client, &world).await?;
        assert_eq!(seen(&tx).await?, vec![mine; kept]);
    }
    Ok(())
}

#[tokio::test]
async fn without_a_context_nothing_is_seen_and_nothing_is_written() -> Result {
    let world = World::new().await?;
    let mut client = connect(&world).await?;
    assert!(seen(&client).await?.is_empty());
    let error = add(&client, world.mine.tenant().as_uuid())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    let changed = client
        .execute("UPDATE public.notes SET body = 'x'", &[])
        .await?;
    assert_eq!(changed, 0);
    // A note of another tenant is refused inside as well.
    let tx = begin(&mut client, &world).await?;
    let error = add(&tx, world.theirs.tenant().as_uuid()).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    Ok(())
}

#[tokio::test]
async fn a_context_outside_of_a_transaction_is_an_error() -> Result {
    let world = World::new().await?;
    let client = connect(&world).await?;
    let error = client.batch_execute(&world.context()).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::NO_ACTIVE_SQL_TRANSACTION));
    assert!(seen(&client).await?.is_empty());
    Ok(())
}
