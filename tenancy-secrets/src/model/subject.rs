//! Where keys of subjects and their data belong.

use std::fmt;

use sha2::{Digest as _, Sha256};
use tenancy_core::{Subject, TenantId};

use super::{
    canonical::Canonical,
    envelope::{Place, VERSION},
};
use crate::{KeyId, model::Suite};

/// A subject of a tenant, as the database knows it.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct SubjectHash {
    pub(crate) tenant: TenantId,
    pub(crate) hash: [u8; 32],
}

impl SubjectHash {
    pub(crate) fn of(tenant: TenantId, subject: &Subject) -> Self {
        let bytes = Canonical::new(b"tenancy-secrets/subject")
            .part(tenant.as_uuid().as_bytes())
            .part(subject.as_str().as_bytes())
            .finish();
        let hash = Sha256::digest(bytes).into();
        Self { tenant, hash }
    }

    fn part(&self, domain: &[u8], suite: Suite, key: KeyId) -> Canonical {
        Canonical::new(domain)
            .part(&[VERSION])
            .part(&[suite.byte()])
            .part(self.tenant.as_uuid().as_bytes())
            .part(&self.hash)
            .part(key.as_uuid().as_bytes())
    }
}

impl fmt::Debug for SubjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectHash({})", self.tenant)
    }
}

/// A subject's key in its row, under the tenant's data key.
pub(crate) struct SubjectKeyPlace {
    pub(crate) of: SubjectHash,
    pub(crate) id: KeyId,
}

impl Place for SubjectKeyPlace {
    fn to_bytes(&self, suite: Suite, key: KeyId) -> Vec<u8> {
        let part = self.of.part(b"tenancy-secrets/subject-key", suite, key);
        part.part(self.id.as_uuid().as_bytes()).finish()
    }
}

/// A subject's data, wherever a host keeps it, under the subject's key.
pub(crate) struct SubjectDataPlace {
    pub(crate) of: SubjectHash,
}

impl Place for SubjectDataPlace {
    fn to_bytes(&self, suite: Suite, key: KeyId) -> Vec<u8> {
        let part = self.of.part(b"tenancy-secrets/subject-data", suite, key);
        part.finish()
    }
}
