//! How long the audit log keeps what.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use tenancy::{
    audit::{ActionFilter, RetentionPolicy},
    core::TenantId,
};

use crate::{
    Operator,
    audit_proofs::MoreKeys,
    audit_retention::{action_filter, retention},
    command::Result,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Keeps entries for so many days: all of them, or a tenant's, or of some actions.
    Set {
        #[command(flatten)]
        of: Of,
        /// How many days.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        keep: u32,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
    },
    /// Takes a policy away.
    Unset {
        #[command(flatten)]
        of: Of,
    },
    /// Lists all policies.
    List {
        #[command(flatten)]
        operator: Operator,
        #[command(flatten)]
        keys: MoreKeys,
    },
}

/// What a policy is about.
#[derive(Args, Debug)]
pub(crate) struct Of {
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    keys: MoreKeys,
    /// Only this tenant.
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Only this action, or all that begin so: `login.failed`, `login.*`.
    #[arg(long)]
    action: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Retain {
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    keys: MoreKeys,
}

impl Of {
    fn action(&self) -> Result<Option<ActionFilter>> {
        self.action.as_deref().map(action_filter).transpose()
    }
}

pub(crate) async fn run(which: Policy) -> Result {
    match which {
        Policy::Set { of, keep, reason } => {
            let mut policy = RetentionPolicy::new(keep, reason);
            policy.tenant = of.tenant;
            policy.action = of.action()?;
            retention(&of.operator, &of.keys)
                .await?
                .set_policy(&policy)
                .await?;
            println!("set");
        }
        Policy::Unset { of } => {
            let action = of.action()?;
            let retention = retention(&of.operator, &of.keys).await?;
            let unset = retention.unset_policy(of.tenant, action.as_ref()).await?;
            println!(
                "{}",
                if unset {
                    "taken away"
                } else {
                    "there was none"
                }
            );
        }
        Policy::List { operator, keys } => {
            for policy in retention(&operator, &keys).await?.policies().await? {
                println!("{}", line(&policy));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(policy: &RetentionPolicy) -> String {
    let tenant = policy
        .tenant
        .map_or("every tenant".to_owned(), |tenant| tenant.to_string());
    let action = match &policy.action {
        None => "everything".to_owned(),
        Some(ActionFilter::Exact(action)) => action.to_string(),
        Some(ActionFilter::Prefix(prefix)) => format!("{}*", prefix.as_str()),
        Some(_) => "some actions".to_owned(),
    };
    let (days, reason) = (policy.keep_days, policy.reason.escape_debug());
    format!("{tenant}: {action}: {days} days ({reason})")
}

pub(crate) async fn retain(what: &Retain) -> Result {
    let applied = retention(&what.operator, &what.keys).await?.apply().await?;
    for month in &applied.months {
        println!("{}: dropped", month.format("%Y-%m"));
    }
    for tenant in &applied.held {
        println!("tenant {tenant}: held");
    }
    for lost in &applied.undelivered {
        eprintln!(
            "stream {}: {} entries went before it told of them",
            lost.stream, lost.entries
        );
    }
    for (what, code) in &applied.failed {
        eprintln!("failed: {what} ({code}); run it again");
    }
    println!("{} entries removed", applied.entries);
    Ok(ExitCode::from(u8::from(!applied.failed.is_empty())))
}
