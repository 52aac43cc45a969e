//! How many retries a tenant may spend on a provider, and how long to wait between them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tenancy_core::TenantId;
use tokio::time::Instant;

use crate::{InvokeOptions, ProviderKey};

/// A bucket of retries for each tenant and provider, so that nobody spends another's, and an
/// outage is not met with a storm.
pub(crate) struct Budgets {
    burst: f64,
    buckets: Mutex<HashMap<(TenantId, ProviderKey), Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Budgets {
    pub(crate) fn new(burst: u32) -> Self {
        Self {
            burst: f64::from(burst),
            buckets: Mutex::default(),
        }
    }

    /// A call earns a tenth of a retry.
    pub(crate) fn earn(&self, tenant: TenantId, provider: &ProviderKey) {
        self.with(tenant, provider, |tokens| *tokens += 0.1);
    }

    /// Takes a retry, if there is one.
    pub(crate) fn take(&self, tenant: TenantId, provider: &ProviderKey) -> bool {
        let mut taken = false;
        self.with(tenant, provider, |tokens| {
            taken = *tokens >= 1.0;
            if taken {
                *tokens -= 1.0;
            }
        });
        taken
    }

    fn with(&self, tenant: TenantId, provider: &ProviderKey, change: impl FnOnce(&mut f64)) {
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= KEPT {
            // A bucket that nobody touched for so long is full again anyway.
            let full_after = Duration::from_secs_f64(self.burst);
            buckets.retain(|_, bucket| now - bucket.at < full_after);
        }
        let full = Bucket {
            tokens: self.burst,
            at: now,
        };
        let bucket = buckets.entry((tenant, provider.clone())).or_insert(full);
        let refilled = bucket.tokens + (now - bucket.at).as_secs_f64();
        bucket.tokens = refilled.min(self.burst);
        bucket.at = now;
        change(&mut bucket.tokens);
    }
}

/// The wait before try number `next`: random, up to a bound that doubles (full jitter), and never
/// less than what the server asked for.
pub(crate) fn backoff(options: &InvokeOptions, next: u16, asked: Option<Duration>) -> Duration {
    let doublings = u32::from(next.saturating_sub(2)).min(16);
    let bound = options.backoff.saturating_mul(1 << doublings).min(LONGEST);
    // Without randomness the bound itself is the safe choice.
    let share = getrandom::u32().map_or(1.0, |roll| f64::from(roll) / f64::from(u32::MAX));
    bound.mul_f64(share).max(asked.unwrap_or_default())
}

const KEPT: usize = 10_000;
const LONGEST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_tenant_cannot_spend_another_tenants_retries() {
        let budgets = Budgets::new(2);
        let (a, b) = (TenantId::new(), TenantId::new());
        let provider = ProviderKey::from_static("crm");
        assert!(budgets.take(a, &provider) && budgets.take(a, &provider));
        assert!(!budgets.take(a, &provider));
        assert!(budgets.take(b, &provider));
        tokio::time::advance(Duration::from_millis(1_050)).await;
        assert!(budgets.take(a, &provider), "one comes back each second");
    }

    #[test]
    fn the_wait_doubles_up_to_a_bound_and_honours_the_server() {
        let options = InvokeOptions::default();
        for _ in 0..50 {
            assert!(backoff(&options, 2, None) <= Duration::from_millis(100));
            assert!(backoff(&options, 9, None) <= LONGEST);
        }
        let asked = Duration::from_secs(7);
        assert_eq!(backoff(&options, 2, Some(asked)), asked);
    }
}
