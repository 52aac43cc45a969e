use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Error, Member, MemberStatus, OfferAnswer, OwnershipOffer, OwnershipOfferId, TenantTx, UserId,
};

/// Stores members.
///
/// # Contract
/// A change that would leave a tenant without an active owner is
/// [`Conflict`](crate::ErrorKind::Conflict) with the code `last_owner`. An owner is kept out, let in
/// again or removed only by an owner who acts for himself, or by himself: otherwise the change is
/// [`Denied`](crate::ErrorKind::Denied) with the code `owner_protected`. Whoever is kept out or
/// removed takes his pending invitations and open offers with him.
///
/// # Concurrency
/// Changes of one tenant happen one after the other. Of two that would together remove the last
/// owner, one fails.
///
/// # Errors and retry
/// As [`Error::retry`] says. A refused change leaves its transaction usable and has changed nothing.
///
/// # Cancellation
/// Follows the transaction.
///
/// # For implementors
/// `tenancy_core::testing::conformance` is the suite; it needs a real database.
#[async_trait]
pub trait MembershipStore: Send + Sync + 'static {
    /// One member, whatever his state.
    async fn get_in(&self, tx: &mut TenantTx, member: UserId) -> Result<Option<Member>, Error>;
    /// A page of members in the order of their ids, after the one given.
    async fn list_in(
        &self,
        tx: &mut TenantTx,
        after: Option<UserId>,
        limit: u16,
    ) -> Result<Vec<Member>, Error>;
    /// Activates or deactivates a member; `false` if he is in that state already.
    async fn set_status_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        to: MemberStatus,
    ) -> Result<bool, Error>;
    /// Ends a membership; what hangs on it goes too.
    async fn remove_in(&self, tx: &mut TenantTx, member: UserId) -> Result<(), Error>;
}

/// Stores who owns a tenant, and the offers by which ownership changes hands.
///
/// # Contract
/// Only an active owner who acts for himself changes owners or offers his place, and only the
/// recipient of an offer accepts it: anything else is [`Denied`](crate::ErrorKind::Denied). One
/// offer of a tenant is open at a time. Accepting is a compare-and-set from `open` that moves the
/// place, if the one who offered is still an active owner and the recipient an active member. A
/// tenant keeps an active owner throughout.
///
/// # Concurrency
/// As for [`MembershipStore`]. Of any number of answers to one offer, one counts.
///
/// # Errors and retry
/// As [`Error::retry`] says. A refused change leaves its transaction usable and has changed nothing.
///
/// # Cancellation
/// Follows the transaction.
///
/// # For implementors
/// `tenancy_core::testing::conformance` is the suite; it needs a real database.
#[async_trait]
pub trait OwnershipStore: Send + Sync + 'static {
    /// Makes a member an owner, or no longer one; `false` if it is so already.
    async fn set_owner_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        is_owner: bool,
    ) -> Result<bool, Error>;
    /// Offers the place of the transaction's owner to a member.
    async fn offer_in(
        &self,
        tx: &mut TenantTx,
        to: UserId,
        valid_for: Duration,
    ) -> Result<OwnershipOffer, Error>;
    /// Ends an open offer, and says who made it.
    async fn answer_in(
        &self,
        tx: &mut TenantTx,
        offer: OwnershipOfferId,
        answer: OfferAnswer,
    ) -> Result<UserId, Error>;
    /// The offer that can be accepted now, if there is one.
    async fn open_offer_in(&self, tx: &mut TenantTx) -> Result<Option<OwnershipOffer>, Error>;
}
