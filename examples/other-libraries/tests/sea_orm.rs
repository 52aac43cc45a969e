//! A host on `SeaORM`.

use other_libraries::{RESIDUE, World};
use sea_orm::{
    ActiveModelTrait as _, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction,
    DbErr, EntityTrait as _, Set, Statement, TransactionTrait as _, entity::prelude::Uuid,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

mod note {
    #![expect(unreachable_pub, reason = "the derives make public types of it")]

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "notes")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub body: String,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A transaction of the tenant.
async fn begin(
    db: &DatabaseConnection,
    world: &World,
) -> std::result::Result<DatabaseTransaction, DbErr> {
    let tx = db.begin().await?;
    tx.execute_unprepared(&world.context()).await?;
    Ok(tx)
}

/// Whose notes are seen.
async fn seen(db: &impl ConnectionTrait) -> Result<Vec<Uuid>> {
    let notes = note::Entity::find().all(db).await?;
    Ok(notes.into_iter().map(|note| note.tenant_id).collect())
}

async fn add(db: &impl ConnectionTrait, tenant: Uuid) -> std::result::Result<(), DbErr> {
    let note = note::ActiveModel {
        tenant_id: Set(tenant),
        id: Set(Uuid::new_v4()),
        body: Set("c".to_owned()),
    };
    note.insert(db).await.map(drop)
}

async fn residue(db: &DatabaseConnection) -> Result<i64> {
    let asked = Statement::from_string(db.get_database_backend(), RESIDUE);
    let row = db.query_one_raw(asked).await?.ok_or("one row")?;
    Ok(row.try_get("", "count")?)
}

/// A pool of one connection: what one transaction left, the next would find.
async fn connect(world: &World) -> Result<DatabaseConnection> {
    let mut options = sea_orm::ConnectOptions::new(world.url());
    options.max_connections(1);
    Ok(Database::connect(options).await?)
}

#[tokio::test]
async fn a_transaction_sees_its_tenant_and_leaves_nothing_behind() -> Result {
    let world = World::new().await?;
    let mine = world.mine.tenant().as_uuid();
    let db = connect(&world).await?;
    for (commit, kept) in [(false, 2), (true, 3)] {
        let tx = begin(&db, &world).await?;
        assert_eq!(seen(&tx).await?, [mine; 2]);
        add(&tx, mine).await?;
        if commit {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        assert_eq!(residue(&db).await?, 0);
        assert!(seen(&db).await?.is_empty());
        let tx = begin(&db, &world).await?;
        assert_eq!(seen(&tx).await?, vec![mine; kept]);
    }
    Ok(())
}

#[tokio::test]
async fn without_a_context_nothing_is_seen_and_nothing_is_written() -> Result {
    let world = World::new().await?;
    let db = connect(&world).await?;
    assert!(seen(&db).await?.is_empty());
    assert!(add(&db, world.mine.tenant().as_uuid()).await.is_err());
    let changed = db
        .execute_unprepared("UPDATE public.notes SET body = 'x'")
        .await?;
    assert_eq!(changed.rows_affected(), 0);
    let tx = begin(&db, &world).await?;
    assert!(add(&tx, world.theirs.tenant().as_uuid()).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_context_outside_of_a_transaction_is_an_error() -> Result {
    let world = World::new().await?;
    let db = connect(&world).await?;
    let error = db.execute_unprepared(&world.context()).await.unwrap_err();
    assert!(error.to_string().contains("transaction block"), "{error}");
    assert!(seen(&db).await?.is_empty());
    Ok(())
}
