//! Codes that this crate reads as well as makes, so that both say the same.

/// The details of an entry were changed while others were being erased.
pub(crate) const DETAILS_MOVED: &str = "audit_details_moved";
/// A legal hold stands.
pub(crate) const HELD: &str = "audit_held";
/// A transaction that has not ended uses the key.
pub(crate) const KEY_BUSY: &str = "audit_key_busy";
/// The key was used for something else.
pub(crate) const KEY_REUSED: &str = "audit_key_reused";
/// The month is not to be dropped yet, whatever a policy says.
pub(crate) const MONTH_RECENT: &str = "audit_month_recent";
pub(crate) const SEAL_MOVED: &str = "audit_seal_moved";

/// A code of core's: the connection was lost, or there is none.
pub(crate) const DATABASE_UNAVAILABLE: &str = "database_unavailable";

/// Codes of a [`SubjectCipher`](tenancy_core::SubjectCipher): the key of the person is destroyed.
pub(crate) const SUBJECT_ERASED: &str = "subject_erased";
/// It may not be destroyed, because a legal hold stands.
pub(crate) const SUBJECT_HELD: &str = "subject_held";
