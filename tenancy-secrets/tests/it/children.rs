//! Other operating-system processes: this test program, started again with a task.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
};

use tenancy_core::{
    TenantDb, TenantId, UserId, WorkerDb,
    testing::{FakeAuthorizer, MemoryAudit},
};
use tenancy_secrets::{LocalKeyring, SecretVault};

use crate::{
    flow, rotation, subjects,
    support::{Result, World},
};

const TASK: &str = "TENANCY_TEST_CHILD";

/// A child with a task; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// Starts this program again for one task, with what it needs in its environment.
    pub(crate) fn start(task: &str, world: &World, more: &[(&str, &str)]) -> Result<Self> {
        let user = world.a.user().ok_or("no user")?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args([
                "children::a_child_does_its_task",
                "--exact",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(TASK, task)
            .env("CHILD_APP_URL", world.db.server.app_url())
            .env("CHILD_WORKER_URL", world.db.server.worker_url())
            .env("CHILD_KEYRING", &world.entry)
            .env("CHILD_TENANT", world.a.tenant().to_string())
            .env("CHILD_USER", user.to_string())
            .envs(more.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let stdin = child.stdin.take();
        Ok(Self {
            child,
            stdin,
            lines: BufReader::new(stdout),
        })
    }

    /// The next line that is meant for the parent.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        while self.lines.read_line(&mut line)? > 0 {
            // libtest writes `test name ... ` without a line break in front of the first one.
            if let Some((_, told)) = line.split_once("##") {
                return Ok(told.trim().to_owned());
            }
            line.clear();
        }
        Err("the child has ended".into())
    }

    /// Says that it may go on or stop.
    pub(crate) fn tell(&mut self, word: &str) -> Result {
        writeln!(self.stdin.as_mut().ok_or("no stdin")?, "{word}")?;
        Ok(())
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a child works with.
pub(crate) struct Inside {
    pub(crate) db: TenantDb,
    pub(crate) worker: WorkerDb,
    pub(crate) vault: SecretVault,
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
}

/// Tells the parent something.
pub(crate) fn say(word: &str) {
    println!("##{word}");
}

/// Waits for the parent's word.
pub(crate) async fn heard() -> String {
    let read = || {
        let mut line = String::new();
        std::io::stdin()
            .read_line(&mut line)
            .map(|_| line.trim().to_owned())
    };
    tokio::task::spawn_blocking(read).await.unwrap().unwrap()
}

pub(crate) fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("`{name}` is not set"))
}

/// Does nothing unless it was started by [`Process::start`].
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_does_its_task() -> Result {
    let Ok(task) = std::env::var(TASK) else {
        return Ok(());
    };
    let db = TenantDb::connect(&env("CHILD_APP_URL")).await?;
    let keyring = LocalKeyring::parse(&env("CHILD_KEYRING"))?;
    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    let audit = Arc::new(MemoryAudit::new());
    let inside = Inside {
        vault: SecretVault::new(db.clone(), keyring, authorizer, audit),
        db,
        worker: WorkerDb::connect(&env("CHILD_WORKER_URL")).await?,
        tenant: env("CHILD_TENANT").parse()?,
        user: env("CHILD_USER").parse()?,
    };
    match task.as_str() {
        "read_and_write" => rotation::read_and_write(inside).await,
        "rotate" => rotation::rotate(inside).await,
        "refresh" => flow::refresh(inside).await,
        "open_subject" => subjects::open(inside).await,
        other => Err(format!("unknown task `{other}`").into()),
    }
}
