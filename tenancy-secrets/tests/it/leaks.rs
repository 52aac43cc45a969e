//! A secret is in its envelope and nowhere else.

use std::{
    io::Write,
    sync::{Arc, Mutex, OnceLock},
};

use tenancy_secrets::{LocalKeyring, RotateOptions, Rotation};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, util::SubscriberInitExt as _};

use crate::support::{Result, World};

/// Everything that was logged, by whomever, at whatever level.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Takes all of `tracing` and `log` of this process, TRACE included.
    pub(crate) fn start() -> Self {
        // One for all tests that run in this process.
        static LOG: OnceLock<Log> = OnceLock::new();
        let start = || {
            let log = Self::default();
            tracing_subscriber::fmt()
                .with_env_filter(EnvFilter::new("trace"))
                .with_writer(log.clone())
                .finish()
                .init();
            log
        };
        LOG.get_or_init(start).clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

const CANARY: &str = "canary-5up3r-s3cr3t-4f9b1c";
const CONTROL: &str = "control-in-the-clear-77e2";

/// Whether the write-ahead log of the server holds these bytes.
async fn wal_holds(superuser: &sqlx::PgPool, needle: &str) -> Result<bool> {
    let sql = "SELECT coalesce(bool_or(position(convert_to($1, 'UTF8') IN pg_read_binary_file('pg_wal/' || name)) > 0), false)
        FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'";
    Ok(sqlx::query_scalar(sql)
        .bind(needle)
        .fetch_one(superuser)
        .await?)
}

#[tokio::test]
async fn a_secret_is_neither_in_a_row_nor_in_the_write_ahead_log_nor_in_a_log_at_trace() -> Result {
    let log = Log::start();
    let world = World::new().await?;
    let superuser = world.db.superuser().await?;
    let before = world.put(&world.a, "main", CANARY).await?;
    world.put(&world.a, "main", CANARY).await?;
    assert_eq!(
        world.vault.get(&world.a, before.id).await?.value.expose(),
        CANARY
    );
    let rotation = Rotation::new(world.db.worker.clone(), LocalKeyring::parse(&world.entry)?);
    rotation
        .rotate_all(&RotateOptions::default(), |_| ())
        .await?;
    let failed = world.vault.get(&world.b, before.id).await.unwrap_err();
    world.vault.delete(&world.a, before.id).await?;
    world.put(&world.a, "main", CANARY).await?;

    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT s::text FROM tenancy.integration_secrets s UNION ALL SELECT k::text FROM tenancy.tenant_data_keys k",
    )
    .fetch_all(&superuser)
    .await?;
    assert!(!rows.is_empty());
    let encoded = {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        STANDARD.encode(CANARY)
    };
    for text in [
        rows.join("\n"),
        format!("{failed:?} {failed}"),
        format!("{:?}", world.audit.entries()),
    ] {
        assert!(
            !text.contains(CANARY) && !text.contains(&encoded[..20]),
            "{text}"
        );
    }

    // The control shows that the search would find it. Other tests' checkpoints recycle segments,
    // so both are written until a search sees the control.
    let mut seen = false;
    for round in 0..10 {
        world.put(&world.a, "main", CANARY).await?;
        let control = "SET synchronous_commit = on; CREATE TABLE IF NOT EXISTS public.control (body text);
            INSERT INTO public.control SELECT 'control-in-the-clear-77e2' FROM generate_series(1, 10)";
        sqlx::raw_sql(control).execute(&superuser).await?;
        seen |= wal_holds(&superuser, CONTROL).await?;
        assert!(!wal_holds(&superuser, CANARY).await?);
        if seen && round > 1 {
            break;
        }
    }
    assert!(seen, "the search sees nothing");

    let text = log.text();
    let tenant = world.a.tenant().to_string();
    assert!(
        text.contains("tenancy.put_secret") && text.contains(&tenant),
        "the log was captured"
    );
    let key = world
        .entry
        .split_once(':')
        .map(|(_, key)| key)
        .unwrap_or_default();
    assert!(
        !text.contains(CANARY) && !text.contains(key),
        "a secret is in the log"
    );
    Ok(())
}
