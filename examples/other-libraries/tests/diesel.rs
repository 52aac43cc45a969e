//! A host on Diesel, with diesel-async over tokio-postgres.

use diesel::{
    ExpressionMethods as _, QueryDsl as _, QueryableByName,
    result::{DatabaseErrorKind, Error},
    sql_query,
    sql_types::BigInt,
};
use diesel_async::{
    AsyncConnection as _, AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _,
};
use other_libraries::{RESIDUE, World};
use uuid::Uuid;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

use schema::notes;

mod schema {
    diesel::table! {
        notes (tenant_id, id) {
            tenant_id -> Uuid,
            id -> Uuid,
            body -> Text,
        }
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Whose notes are seen.
async fn seen(conn: &mut AsyncPgConnection) -> std::result::Result<Vec<Uuid>, Error> {
    notes::table.select(notes::tenant_id).load(conn).await
}

async fn add(conn: &mut AsyncPgConnection, tenant: Uuid) -> std::result::Result<usize, Error> {
    diesel::insert_into(notes::table)
        .values((
            notes::tenant_id.eq(tenant),
            notes::id.eq(Uuid::new_v4()),
            notes::body.eq("c"),
        ))
        .execute(conn)
        .await
}

/// Adds a note in a transaction of the tenant, and says what it saw before.
async fn round(
    conn: &mut AsyncPgConnection,
    world: &World,
    end: std::result::Result<(), Error>,
) -> std::result::Result<Vec<Uuid>, Error> {
    let context = world.context();
    let mine = world.mine.tenant().as_uuid();
    conn.transaction(async |conn| {
        conn.batch_execute(&context).await?;
        let before = seen(conn).await?;
        add(conn, mine).await?;
        end.map(|()| before)
    })
    .await
}

#[tokio::test]
async fn a_transaction_sees_its_tenant_and_leaves_nothing_behind() -> Result {
    let world = World::new().await?;
    let mine = world.mine.tenant().as_uuid();
    let mut conn = AsyncPgConnection::establish(world.url()).await?;
    let undone = round(&mut conn, &world, Err(Error::RollbackTransaction)).await;
    assert_eq!(undone, Err(Error::RollbackTransaction));
    for before in [2, 3] {
        let residue: Count = sql_query(RESIDUE).get_result(&mut conn).await?;
        assert_eq!(residue.count, 0);
        assert!(seen(&mut conn).await?.is_empty());
        assert_eq!(round(&mut conn, &world, Ok(())).await?, vec![mine; before]);
    }
    let residue: Count = sql_query(RESIDUE).get_result(&mut conn).await?;
    assert_eq!(residue.count, 0);
    Ok(())
}

#[tokio::test]
async fn without_a_context_nothing_is_seen_and_nothing_is_written() -> Result {
    let world = World::new().await?;
    let mut conn = AsyncPgConnection::establish(world.url()).await?;
    assert!(seen(&mut conn).await?.is_empty());
    let changed = diesel::update(notes::table)
        .set(notes::body.eq("x"))
        .execute(&mut conn)
        .await?;
    assert_eq!(changed, 0);
    let refused = add(&mut conn, world.mine.tenant().as_uuid()).await;
    assert!(refused.is_err(), "a note without a tenant");
    let context = world.context();
    let theirs = world.theirs.tenant().as_uuid();
    let foreign = conn
        .transaction(async |conn| {
            conn.batch_execute(&context).await?;
            add(conn, theirs).await
        })
        .await;
    assert!(foreign.is_err(), "a note of another tenant");
    Ok(())
}

#[tokio::test]
async fn a_context_outside_of_a_transaction_is_an_error() -> Result {
    let world = World::new().await?;
    let mut conn = AsyncPgConnection::establish(world.url()).await?;
    let error = conn.batch_execute(&world.context()).await.unwrap_err();
    let Error::DatabaseError(DatabaseErrorKind::Unknown, told) = error else {
        return Err(error.into());
    };
    assert!(
        told.message().contains("transaction block"),
        "{}",
        told.message()
    );
    assert!(seen(&mut conn).await?.is_empty());
    Ok(())
}
