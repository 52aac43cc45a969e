//! Plain values and pure logic, without input or output.

mod canonical;
mod connection;
mod derive;
mod envelope;
mod key;
mod name;
mod provider;
mod provider_check;
mod rotation;
mod secret;
mod subject;
mod token;

pub(crate) use canonical::Canonical;
pub use connection::{
    Connection, ConnectionStatus, DisconnectOutcome, FinishRequest, Finished, RevocationSweep,
    StartOptions, Started,
};
pub(crate) use derive::derive;
pub(crate) use envelope::Place;
pub use envelope::{Binding, Envelope, MAX_SECRET_LEN, Suite};
pub(crate) use key::random;
pub use key::{DataKey, KeyId, KeyState, StoredKey, WrapContext, WrappedKey};
pub use name::{ConnectionId, FieldKey, ProviderKey, SecretId, SecretPath};
pub use provider::{
    ClientAuth, Identity, IssuerCheck, Pkce, Provider, Revocation, RevokedScope, RevokedToken,
};
pub(crate) use provider_check::{is_loopback, is_scope};
pub use rotation::{RotateOptions, RotationProgress, RotationReport, TenantRotation};
pub use secret::{PutMode, Secret, SecretMeta, SecretQuery, SecretWrite, StoredSecret, Written};
pub(crate) use subject::{SubjectDataPlace, SubjectHash, SubjectKeyPlace};
pub(crate) use token::{TokenFailure, Tokens, failure_of, normalise};
