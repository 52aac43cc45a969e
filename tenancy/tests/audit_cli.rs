//! The commands of the audit log, as an operator runs them.

#[path = "audit_cli/adopt.rs"]
mod adopt;
#[path = "audit_cli/erasure.rs"]
mod erasure;
#[path = "audit_cli/heads.rs"]
mod heads;
#[path = "audit_cli/proofs.rs"]
mod proofs;
#[path = "audit_cli/read.rs"]
mod read;
#[path = "audit_cli/retention.rs"]
mod retention;
#[path = "audit_cli/seal.rs"]
mod seal;

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use tenancy::{
    audit::PgAuditLog,
    core::{AuditSink as _, Event, TenantCtx, testing::tenant},
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

struct Shop {
    db: Db,
    ctx: TenantCtx,
    other: TenantCtx,
    key: String,
    folder: tempfile::TempDir,
}

impl Shop {
    async fn new() -> Result<Self> {
        let db = Db::new(&[
            &tenancy::core::migrate::CORE,
            &tenancy::audit::COMPONENT,
            &tenancy::authz::COMPONENT,
        ])
        .await?;
        let (ctx, other) = (tenant(&db.app).await?, tenant(&db.app).await?);
        let keygen = Command::new(env!("CARGO_BIN_EXE_tenancy"))
            .args(["audit", "keygen", "2026-a"])
            .output()?;
        let key = String::from_utf8(keygen.stdout)?.trim().to_owned();
        Ok(Self {
            db,
            ctx,
            other,
            key,
            folder: tempfile::tempdir()?,
        })
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        Ok(Command::new(env!("CARGO_BIN_EXE_tenancy"))
            .arg("audit")
            .args(arguments)
            .env("TENANCY_OPERATOR_URL", self.db.server.operator_url())
            .env("TENANCY_WORKER_URL", self.db.server.worker_url())
            .env("TENANCY_AUDIT_SEAL_KEY", &self.key)
            .output()?)
    }

    fn said(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.run(arguments)?;
        let words = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8(words)?))
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    async fn record(&self, count: u32) -> Result {
        let audit = PgAuditLog::new(self.db.app.clone());
        for at in 0..count {
            audit
                .record(&self.ctx, Event::new("login.begun").meta("at", at))
                .await?;
            audit
                .record(&self.other, Event::new("thing.made").meta("at", at))
                .await?;
        }
        Ok(())
    }

    /// Other tests' transactions hold the horizon up.
    async fn seal(&self, entries: i64) -> Result {
        for _ in 0..200 {
            let (code, text) = self.said(&["seal", "--anchor", &self.path("heads")])?;
            assert_eq!(code, Some(0), "{text}");
            let sealed: i64 = sqlx::query_scalar(
                "SELECT coalesce(sum(entries), 0)::bigint FROM tenancy.audit_seals",
            )
            .fetch_one(&self.db.superuser().await?)
            .await?;
            if sealed == entries {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("not sealed".into())
    }

    fn verify(&self, file: &Path) -> Result<(Option<i32>, String)> {
        let (file, heads) = (file.to_string_lossy(), self.path("heads"));
        let (_, key) = self.said(&["public-key"])?;
        // Nothing but the file and the public key.
        let output = Command::new(env!("CARGO_BIN_EXE_tenancy"))
            .args([
                "audit",
                "verify",
                &*file,
                "--tenant",
                &self.ctx.tenant().to_string(),
                "--key",
                key.trim(),
                "--anchor",
                &heads,
            ])
            .env_clear()
            .output()?;
        Ok((
            output.status.code(),
            String::from_utf8([output.stdout, output.stderr].concat())?,
        ))
    }

    fn read(&self, arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
        let output = Command::new(env!("CARGO_BIN_EXE_tenancy"))
            .arg("audit")
            .args(arguments)
            .env("TENANCY_APP_URL", self.db.server.app_url())
            .env("TENANCY_WORKER_URL", self.db.server.worker_url())
            .output()?;
        let (out, err) = (
            String::from_utf8(output.stdout)?,
            String::from_utf8(output.stderr)?,
        );
        Ok((output.status.code(), out, err))
    }

    /// Verifies what comes on standard input, in a process that knows of no database.
    fn offline(&self, file: &str, more: &[&str]) -> Result<(Option<i32>, String)> {
        use std::io::Write as _;
        let mut verify = Command::new(env!("CARGO_BIN_EXE_tenancy"))
            .args(["audit", "verify", "-", "--tenant"])
            .arg(self.ctx.tenant().to_string())
            .args(more)
            .env_clear()
            .current_dir(self.folder.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()?;
        // It may end before it has read all.
        drop(
            verify
                .stdin
                .take()
                .ok_or("no input")?
                .write_all(file.as_bytes()),
        );
        let output = verify.wait_with_output()?;
        let words = String::from_utf8([output.stdout, output.stderr].concat())?;
        Ok((output.status.code(), words))
    }
}
