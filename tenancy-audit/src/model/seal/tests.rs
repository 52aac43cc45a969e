//! The bytes that are hashed and signed, beside what another program makes of the same values.

use chrono::DateTime;
use sha2::{Digest as _, Sha256};
use tenancy_core::TenantId;
use uuid::Uuid;

use super::{Adoption, LostSeal, Removal, Seal, SealKeys, SealSignature};
use crate::{Ed25519Signer, SealSigner};

const AT: i64 = 1_700_000_000_123_456;

fn tenant(byte: u8) -> TenantId {
    TenantId::from_uuid(Uuid::from_bytes([byte; 16]))
}

fn seal() -> Seal {
    Seal {
        tenant: tenant(9),
        number: 7,
        first: 31,
        count: 5,
        root: [1; 32],
        ids_hash: [2; 32],
        previous: [3; 32],
        sealed_at: DateTime::from_timestamp_micros(AT).unwrap(),
        log_root: [4; 32],
        key: "one".to_owned(),
        signature: SealSignature([0; 64]),
    }
}

fn removal() -> Removal {
    Removal {
        id: Uuid::from_bytes([5; 16]),
        tenant: tenant(9),
        ranges: vec![(1, 3), (7, 7)],
        reason: "past its time".to_owned(),
        removed_at: DateTime::from_timestamp_micros(AT).unwrap(),
        key: "one".to_owned(),
        signature: SealSignature([0; 64]),
    }
}

fn adoption() -> Adoption {
    Adoption {
        id: Uuid::from_bytes([5; 16]),
        tenant: tenant(9),
        number: 7,
        entries: 35,
        loose: 2,
        lost: vec![LostSeal::new(8, [6; 32])],
        reason: "restored".to_owned(),
        adopted_at: DateTime::from_timestamp_micros(AT).unwrap(),
        key: "one".to_owned(),
        signature: SealSignature([0; 64]),
    }
}

#[test]
fn the_bytes_of_version_1_stay_as_they_are() {
    let sha256 = |bytes: Vec<u8>| hex::encode(Sha256::digest(bytes));
    assert_eq!(
        hex::encode(seal().hash()),
        "ca4ea7e0bcef34de0b7270ee908bc491dd9e37e36a307276d504a6d52395e606"
    );
    assert_eq!(
        sha256(seal().head().to_sign()),
        "afb1efa43193658614c6a008c8ae30f358fe02be417d8b40227fc9ba9074f4df"
    );
    assert_eq!(
        sha256(removal().to_sign()),
        "e05d1bc30f56caed0faf968b21664f4d907bfb99031eda00aecf2d01cae33c77"
    );
    assert_eq!(
        sha256(adoption().to_sign()),
        "e2357017b9409f2a400f2593fc05cceeb485f9c55c01e2756ad8846ce91dd6d5"
    );
}

#[tokio::test]
async fn what_was_signed_for_a_tenant_is_nothing_to_another_and_no_part_can_change() {
    let signer = Ed25519Signer::parse(Ed25519Signer::generate("one").unwrap().expose()).unwrap();
    let keys = SealKeys::new([signer.public_key()]);
    let mut removal = removal();
    removal.signature = signer.sign(&removal.to_sign()).await.unwrap();
    assert_eq!(removal.is_signed(tenant(9), &keys), Some(true));
    assert_eq!(removal.is_signed(tenant(8), &keys), Some(false));
    assert_eq!(removal.is_signed(tenant(9), &SealKeys::new([])), None);
    let changes: [fn(&mut Removal); 4] = [
        |removal| removal.ranges[1].1 = 8,
        |removal| removal.reason.push('x'),
        |removal| removal.id = Uuid::nil(),
        |removal| removal.removed_at += chrono::TimeDelta::microseconds(1),
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut other = removal.clone();
        change(&mut other);
        assert_eq!(
            other.is_signed(tenant(9), &keys),
            Some(false),
            "removal, {at}"
        );
    }

    let mut adoption = adoption();
    adoption.signature = signer.sign(&adoption.to_sign()).await.unwrap();
    assert_eq!(adoption.is_signed(tenant(9), &keys), Some(true));
    assert_eq!(adoption.is_signed(tenant(8), &keys), Some(false));
    let changes: [fn(&mut Adoption); 5] = [
        |adoption| adoption.lost.clear(),
        |adoption| adoption.lost[0].seal[0] ^= 1,
        |adoption| adoption.loose = 3,
        |adoption| adoption.number = 8,
        |adoption| adoption.reason.push('x'),
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut other = adoption.clone();
        change(&mut other);
        assert_eq!(
            other.is_signed(tenant(9), &keys),
            Some(false),
            "adoption, {at}"
        );
    }
}
