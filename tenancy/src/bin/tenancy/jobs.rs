//! What the commands of the job queue do.

use std::process::ExitCode;

use tenancy::{
    core::WorkerDb,
    jobs::{JobHistory, JobStore as _, PgJobStore, TenantPolicy},
};

use crate::{
    JobPolicy, JobTenant, Jobs,
    command::{Result, connect},
};

pub(crate) async fn run(which: Jobs) -> Result {
    match which {
        Jobs::Partitions {
            operator,
            ahead,
            keep_months,
        } => {
            let history = JobHistory::new(connect(&operator).await?);
            let made = history.ensure_months(ahead).await?;
            println!("{made} months made");
            if let Some(months) = keep_months {
                let dropped = history.drop_older_than(months).await?;
                println!("{dropped} months dropped");
            }
        }
        Jobs::Policy(JobPolicy::Show(of)) => show(&store(&of).await?.policy(of.tenant).await?),
        Jobs::Policy(JobPolicy::Set {
            of,
            weight,
            max_in_flight,
            no_limit,
            pause,
            resume,
        }) => {
            let store = store(&of).await?;
            let mut policy = store.policy(of.tenant).await?;
            if let Some(weight) = weight {
                policy = policy.with_weight(weight);
            }
            if no_limit {
                policy.max_in_flight = None;
            } else if let Some(jobs) = max_in_flight {
                policy = policy.with_max_in_flight(jobs);
            }
            policy = policy.with_paused(pause || (policy.paused && !resume));
            store.set_policy(of.tenant, &policy).await?;
            show(&store.policy(of.tenant).await?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn store(of: &JobTenant) -> Result<PgJobStore> {
    Ok(PgJobStore::new(WorkerDb::connect(&of.worker_url).await?))
}

fn show(policy: &TenantPolicy) {
    println!("weight: {}", policy.weight);
    match policy.max_in_flight {
        Some(jobs) => println!("at most in flight: {jobs}"),
        None => println!("at most in flight: any number"),
    }
    println!("paused: {}", if policy.paused { "yes" } else { "no" });
}
