//! How long the audit log keeps what.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use tenancy::{
    audit::{ActionFilter, RetentionFailure, RetentionPolicies, RetentionPolicy},
    core::{Retry, TenantId},
};

use crate::{
    Operator,
    audit_proofs::MoreKeys,
    audit_retention::{action_filter, retention},
    command::{Result, connect},
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
    },
}

/// What a policy is about.
#[derive(Args, Debug)]
pub(crate) struct Of {
    #[command(flatten)]
    operator: Operator,
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
            policies(&of.operator).await?.set(&policy).await?;
            println!("set");
        }
        Policy::Unset { of } => {
            let action = of.action()?;
            let policies = policies(&of.operator).await?;
            let unset = policies.unset(of.tenant, action.as_ref()).await?;
            println!(
                "{}",
                if unset {
                    "taken away"
                } else {
                    "there was none"
                }
            );
        }
        Policy::List { operator } => {
            for policy in policies(&operator).await?.list().await? {
                println!("{}", line(&policy));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn policies(operator: &Operator) -> Result<RetentionPolicies> {
    Ok(RetentionPolicies::new(connect(operator).await?))
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
    for failure in &applied.failed {
        eprintln!("failed: {}", told(failure));
    }
    if applied.cut_short {
        eprintln!("the database went away in the middle: run it again");
    }
    println!("{} entries removed", applied.entries);
    Ok(ExitCode::from(u8::from(!applied.failed.is_empty())))
}

/// What failed, why, and what to do about it.
fn told(failure: &RetentionFailure) -> String {
    let what = match (failure.tenant, failure.month) {
        (Some(tenant), _) => format!("tenant {tenant}"),
        (None, Some(month)) => month.format("%Y-%m").to_string(),
        (None, None) => "a policy".to_owned(),
    };
    let error = &failure.error;
    let next = if error.retry() == Retry::Never {
        "somebody has to look"
    } else {
        "run it again"
    };
    format!("{what}: {error} ({}); {next}", error.code())
}
