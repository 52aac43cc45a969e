//! Why an invitation is not answered: the same words from the service and from the store.

use crate::{Error, ErrorKind, InvitationStatus};

pub(crate) fn unknown() -> Error {
    let message = "this invitation does not exist";
    Error::new(ErrorKind::NotFound, "invitation_unknown", message)
}

pub(crate) fn replaced() -> Error {
    let message = "a newer invitation was sent: use that one";
    Error::new(ErrorKind::Conflict, "invitation_replaced", message)
}

pub(crate) fn wrong_recipient() -> Error {
    let message = "this invitation is for another e-mail address";
    Error::new(ErrorKind::Denied, "invitation_wrong_recipient", message)
}

pub(crate) fn tenant_closed() -> Error {
    let message = "the tenant takes in nobody while it is suspended";
    Error::new(ErrorKind::Suspended, "tenant_suspended", message)
}

/// The error for an invitation that is in this state and not pending.
pub(crate) fn ended(status: InvitationStatus) -> Error {
    let (code, message) = match status {
        InvitationStatus::Accepted => ("invitation_used", "this invitation was accepted already"),
        InvitationStatus::Declined => ("invitation_declined", "this invitation was declined"),
        InvitationStatus::Expired => (
            "invitation_expired",
            "this invitation has expired: ask for a new one",
        ),
        InvitationStatus::Revoked => ("invitation_revoked", "this invitation was taken back"),
        InvitationStatus::Pending => ("invitation_pending", "this invitation waits for an answer"),
    };
    Error::new(ErrorKind::Conflict, code, message)
}
