//! Servers that run as child processes.

use std::process::Stdio;

use rmcp::transport::TokioChildProcess;
use tenancy_core::Credential;
use tokio::process::Command;

use crate::{CallFault, FaultKind};

/// A command that speaks MCP on stdin and stdout.
///
/// It is named in the host's code and nowhere else: neither a tenant nor the database can change
/// what runs. It starts without a shell, and with nothing of the host's environment but `PATH`,
/// `HOME` and what is given here.
#[derive(Clone, Debug)]
pub struct StdioCommand {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    credential_env: Option<String>,
}

impl StdioCommand {
    /// A program without arguments.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            credential_env: None,
        }
    }

    /// Adds an argument. Not for secrets: other users of the machine see arguments.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Names the environment variable through which the tenant's credential is handed over.
    pub fn credential_env(mut self, name: impl Into<String>) -> Self {
        self.credential_env = Some(name.into());
        self
    }

    pub(super) fn start(
        &self,
        credential: Option<&Credential>,
    ) -> Result<TokioChildProcess, CallFault> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().kill_on_drop(true);
        for name in ["PATH", "HOME"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        match (&self.credential_env, credential) {
            (Some(name), Some(credential)) => {
                command.env(name, credential.secret.expose());
            }
            (None, Some(_)) => {
                let message = "the command takes no credential";
                return Err(CallFault::unsent(FaultKind::Forbidden, message));
            }
            (_, None) => {}
        }
        let started = TokioChildProcess::builder(command)
            .stderr(Stdio::null())
            .spawn();
        let (child, _) = started.map_err(|error| {
            let message = format!("the command did not start: {}", error.kind());
            CallFault::unsent(FaultKind::Unreachable, message)
        })?;
        Ok(child)
    }
}
