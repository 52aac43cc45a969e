use async_trait::async_trait;

use crate::{Error, SealHead, SealSignature};

/// Signs seals, with a key that the database does not know.
///
/// # Contract
/// Signs with Ed25519 over the bytes given, always with the key of [`key_name`](Self::key_name): another
/// key is another signer. A key's name is never used for a second key, since seals refer to it for years.
///
/// # Concurrency
/// Any number of calls at once. The sealer waits for each signature within its transaction.
///
/// # Errors and retry
/// An error leaves the entries unsealed; the sealer tries again at its next round, whatever its advice. It is
/// made by [`Error::new`].
///
/// # Cancellation
/// A dropped call has signed or not; either way nothing is stored.
///
/// # For implementors
/// `tenancy_audit::testing::conformance::seal_signer` is the suite. A signer whose key lies elsewhere:
///
/// ```
/// use async_trait::async_trait;
/// use tenancy_audit::{Error, ErrorKind, SealSignature, SealSigner};
///
/// struct InVault;
///
/// #[async_trait]
/// impl SealSigner for InVault {
///     fn key_name(&self) -> String {
///         "2026-a".to_owned()
///     }
///
///     async fn sign(&self, message: &[u8]) -> Result<SealSignature, Error> {
///         let signature: Option<[u8; 64]> = ask_the_vault(message).await;
///         signature.map(SealSignature::from_bytes).ok_or_else(|| {
///             Error::new(ErrorKind::Unavailable, "vault_away", "the vault does not answer")
///         })
///     }
/// }
/// # async fn ask_the_vault(_: &[u8]) -> Option<[u8; 64]> { None }
/// ```
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait SealSigner: Send + Sync + 'static {
    /// The name of the key, up to 64 letters, digits and `-_.`.
    fn key_name(&self) -> String;

    /// Signs these bytes.
    async fn sign(&self, message: &[u8]) -> Result<SealSignature, Error>;
}

/// Takes the newest seals to a place that whoever can write to the database can't write to.
///
/// # Contract
/// What was published is not changed or taken back by a later call. Publishing a head twice changes
/// nothing. Of a tenant, a later head stands for all before it.
///
/// # Concurrency
/// One call at a time from one sealer, beside its sealing; two sealers may call at once.
///
/// # Errors and retry
/// An error is counted, and the heads are given again with the next ones, whatever its advice, after a pause that
/// grows up to half a minute; sealing goes on meanwhile. Heads that were not published when the process ended are
/// given by the next one. It is made by [`Error::new`].
///
/// # Cancellation
/// A call that takes longer than a minute and a half is dropped, and so is one that runs five seconds after the sealer
/// was told to stop. A dropped call may have published.
///
/// # For implementors
/// `tenancy_audit::testing::conformance::seal_anchor` is the suite. A head is written as JSON, which is what a
/// [`Verifier`](crate::Verifier) reads, one a line:
///
/// ```
/// use async_trait::async_trait;
/// use tenancy_audit::{Error, ErrorKind, SealAnchor, SealHead};
///
/// struct Printed;
///
/// #[async_trait]
/// impl SealAnchor for Printed {
///     fn place(&self) -> String {
///         "printer".to_owned()
///     }
///
///     async fn publish(&self, heads: &[SealHead]) -> Result<(), Error> {
///         for head in heads {
///             let line = serde_json::to_string(head).map_err(|_| {
///                 Error::new(ErrorKind::Unavailable, "printer_jammed", "a head can't be printed")
///             })?;
///             println!("{line}");
///         }
///         Ok(())
///     }
/// }
/// ```
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait SealAnchor: Send + Sync + 'static {
    /// A name of the place, 1 to 255 bytes without a NUL, the same for as long as the place is: under it the
    /// database keeps what was published. No secret.
    fn place(&self) -> String;

    /// Publishes the newest heads of some tenants, 64 KiB of JSON at most: where more are to be published, the place
    /// is called again.
    async fn publish(&self, heads: &[SealHead]) -> Result<(), Error>;
}
