//! Holds on the logs of tenants that are gone.

use tenancy_core::{OperatorDb, TenantId};

use crate::{
    Error, ErrorKind,
    postgres::{HoldChange, OwnerTx},
};

/// The longest reference, in characters.
const MAX_REFERENCE: usize = 200;

/// Legal holds on the logs of tenants that are gone: while one stands, nothing of the log is removed or erased.
///
/// A tenant that is there is held by core (`tenancy tenants hold`), and such a hold counts for its log, too.
///
/// ```no_run
/// # use tenancy_audit::{Error, LogHolds};
/// # use tenancy_core::{OperatorDb, TenantId};
/// # async fn run(operator: OperatorDb, tenant: TenantId) -> Result<(), Error> {
/// let holds = LogHolds::new(operator);
/// holds.place(tenant, "case 7").await?;
/// // … and when it is over:
/// holds.lift(tenant, "case 7").await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct LogHolds(OperatorDb);

impl LogHolds {
    /// As the operator.
    pub fn new(operator: OperatorDb) -> Self {
        Self(operator)
    }

    /// Places a hold, referred to by 1 to 200 characters; `false` if there is such a hold already.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) `audit_tenant_not_gone`;
    /// [`InvalidInput`](ErrorKind::InvalidInput) `audit_reference_invalid`.
    pub async fn place(&self, tenant: TenantId, reference: &str) -> Result<bool, Error> {
        self.set(tenant, reference, true).await
    }

    /// Lifts a hold; `false` if there was none.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) `audit_reference_invalid`.
    pub async fn lift(&self, tenant: TenantId, reference: &str) -> Result<bool, Error> {
        self.set(tenant, reference, false).await
    }

    async fn set(&self, tenant: TenantId, reference: &str, place: bool) -> Result<bool, Error> {
        let fits = (1..=MAX_REFERENCE).contains(&reference.chars().count());
        if !fits || reference.contains('\0') {
            let message = format!("a hold is referred to by 1 to {MAX_REFERENCE} characters");
            return Err(Error::invalid("audit_reference_invalid", message));
        }
        let mut tx = OwnerTx::begin(&self.0).await?;
        let change = tx.hold(tenant, reference, place).await?;
        tx.commit().await?;
        match change {
            HoldChange::Changed => Ok(true),
            HoldChange::Unchanged => Ok(false),
            HoldChange::NotGone => {
                let message = format!("tenant `{tenant}` is not gone: hold the tenant itself");
                Err(Error::new(
                    ErrorKind::Conflict,
                    "audit_tenant_not_gone",
                    message,
                ))
            }
        }
    }
}
