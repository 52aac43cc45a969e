use std::collections::HashMap;

use async_trait::async_trait;
use tenancy_core::TenantCtx;

use crate::{Embedder, EmbeddingModel, Error, Purpose};

/// Feature hashing of words and of the n-grams of their letters: no network, no model, no meaning.
///
/// Two texts are near each other when they share words or parts of words, in any language. It does
/// not know that `car` and `automobile` are the same: it is for tests, demonstrations, and a start
/// before there is a key for something better. The same text gives the same vector on every
/// machine and in every version of this crate; another algorithm would get another model name.
///
/// Each feature is hashed to a signed place of the vector. An orthogonal transform (random signs
/// and Walsh-Hadamard, in blocks) then spreads every feature over many dimensions: it changes no
/// angle, and leaves vectors whose signs alone say a good deal, which the bit search relies on.
///
/// ```
/// use tenancy_rag::HashEmbedder;
///
/// let embedder = HashEmbedder::new(256).unwrap();
/// let near = |a: &str, b: &str| -> f32 {
///     embedder.vector(a).iter().zip(embedder.vector(b)).map(|(x, y)| x * y).sum()
/// };
/// assert!(near("refund of an invoice", "invoices are refunded") > near("refund of an invoice", "sailing boats"));
/// ```
#[derive(Clone, Debug)]
pub struct HashEmbedder {
    model: EmbeddingModel,
    signs: Vec<f32>,
}

const WORD: f32 = 1.0;
const PAIR: f32 = 0.5;
const GRAM: f32 = 0.35;

impl HashEmbedder {
    /// Vectors of this many dimensions; the more, the fewer features share a place.
    ///
    /// # Errors
    /// `model_invalid` outside 1 to 1,536.
    pub fn new(dimensions: usize) -> Result<Self, Error> {
        let id = format!("hash-v1-{dimensions}");
        Ok(Self::of(EmbeddingModel::new(id, dimensions)?))
    }

    /// As wide as the stored vectors: 1,536 dimensions.
    pub fn full() -> Self {
        Self::of(EmbeddingModel::of_full_width("hash-v1-1536"))
    }

    fn of(model: EmbeddingModel) -> Self {
        let sign = |at: usize| {
            if fnv(&at.to_le_bytes()) & 1 == 0 {
                1.0
            } else {
                -1.0
            }
        };
        Self {
            signs: (0..model.dimensions()).map(sign).collect(),
            model,
        }
    }

    /// The vector of a text, of length 1.
    pub fn vector(&self, text: &str) -> Vec<f32> {
        let mut vector = vec![0.0; self.model.dimensions()];
        let places = self.model.dimensions() as u64;
        for (feature, (count, weight)) in features(text) {
            let place = usize::try_from(feature % places).unwrap_or_default();
            let sign = if feature >> 63 == 0 { 1.0 } else { -1.0 };
            if let Some(x) = vector.get_mut(place) {
                // The tenth time a word stands there says less than the first.
                *x += sign * weight * (1.0 + count.ln());
            }
        }
        if !normalise(&mut vector)
            && let Some(first) = vector.first_mut()
        {
            // No letters, or features that cancel out: a direction all the same.
            *first = 1.0;
        }
        self.spread(&mut vector);
        vector
    }

    fn spread(&self, vector: &mut [f32]) {
        for (x, sign) in vector.iter_mut().zip(&self.signs) {
            *x *= sign;
        }
        let mut rest = vector;
        while let Some(bits) = rest.len().checked_ilog2() {
            let (block, behind) = rest.split_at_mut(1 << bits);
            walsh_hadamard(block);
            rest = behind;
        }
    }
}

#[async_trait]
impl Embedder for HashEmbedder {
    fn model(&self) -> EmbeddingModel {
        self.model.clone()
    }

    async fn embed(
        &self,
        _: &TenantCtx,
        texts: &[String],
        _: Purpose,
    ) -> Result<Vec<Vec<f32>>, Error> {
        Ok(texts.iter().map(|text| self.vector(text)).collect())
    }
}

/// Hashes of words, of pairs of words and of n-grams of letters: how often, and what they weigh.
fn features(text: &str) -> HashMap<u64, (f32, f32)> {
    let mut found: HashMap<u64, (f32, f32)> = HashMap::new();
    let mut add = |kind: u8, bytes: &[u8], weight: f32| {
        let hash = fnv_from(fnv(&[kind]), bytes);
        found.entry(mix(hash)).or_insert((0.0, weight)).0 += 1.0;
    };
    let lower = text.to_lowercase();
    let mut last: Option<&str> = None;
    for word in lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        // Without a corpus nobody knows which words are common; short ones mostly are.
        let weight = if word.chars().nth(3).is_none() {
            0.3
        } else {
            WORD
        };
        add(b'w', word.as_bytes(), weight);
        if let Some(last) = last {
            add(b'p', format!("{last} {word}").as_bytes(), PAIR * weight);
        }
        let bounded: Vec<char> = std::iter::once('<')
            .chain(word.chars())
            .chain(['>'])
            .collect();
        for width in [4, 5] {
            for gram in bounded.windows(width) {
                add(b'g', String::from_iter(gram).as_bytes(), GRAM);
            }
        }
        last = Some(word);
    }
    found
}

/// Scales to length 1; `false` for a vector without a direction.
fn normalise(vector: &mut [f32]) -> bool {
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if !(norm.is_finite() && norm > f32::EPSILON) {
        return false;
    }
    for x in vector.iter_mut() {
        *x /= norm;
    }
    true
}

/// The orthonormal Walsh-Hadamard transform; the length is a power of two.
fn walsh_hadamard(block: &mut [f32]) {
    let mut half = 1;
    while half < block.len() {
        for pair in block.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (a, b) in left.iter_mut().zip(right) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    #[expect(clippy::cast_precision_loss, reason = "a power of two up to 1,024")]
    let scale = 1.0 / (block.len() as f32).sqrt();
    for x in block.iter_mut() {
        *x *= scale;
    }
}

/// FNV-1a: the same everywhere, for ever.
pub(super) fn fnv(bytes: &[u8]) -> u64 {
    fnv_from(0xcbf2_9ce4_8422_2325, bytes)
}

fn fnv_from(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Makes all bits depend on all bits (splitmix64's last step).
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn every_text_has_a_direction_of_length_one() {
        for dimensions in [1, 2, 3, 100, 384, 1536] {
            let embedder = HashEmbedder::new(dimensions).unwrap();
            for text in ["", "!!!", "word", "漢字 かな", &"long ".repeat(5_000)] {
                let vector = embedder.vector(text);
                assert_eq!(vector.len(), dimensions);
                assert!(
                    (cosine(&vector, &vector) - 1.0).abs() < 1e-3,
                    "{dimensions} {text:.9}"
                );
            }
        }
    }

    #[test]
    fn the_full_width_is_the_widest_model_there_is() {
        let widest = HashEmbedder::new(crate::MAX_DIMENSIONS).unwrap();
        assert_eq!(HashEmbedder::full().model, widest.model);
        assert_eq!(HashEmbedder::full().signs, widest.signs);
    }

    #[test]
    fn shared_words_are_near_and_strangers_are_not() {
        let embedder = HashEmbedder::full();
        let question = embedder.vector("How do I rotate the signing key?");
        let answer = embedder
            .vector("To rotate a signing key, add the new key first and retire the old one.");
        let other = embedder.vector("The cafeteria serves lunch between noon and two o'clock.");
        assert!(cosine(&question, &answer) > 0.25);
        assert!(cosine(&question, &other).abs() < 0.1);
    }

    #[test]
    fn the_signs_of_a_short_question_still_say_something() {
        let embedder = HashEmbedder::full();
        let agree = |a: &str, b: &str| {
            let (a, b) = (embedder.vector(a), embedder.vector(b));
            a.iter()
                .zip(&b)
                .filter(|(x, y)| (**x > 0.0) == (**y > 0.0))
                .count()
        };
        let near = agree("rotate the signing key", "rotating the old signing key");
        let far = agree("rotate the signing key", "lunch between noon and two");
        assert!(near > 900 && far < 850, "{near} {far}");
    }

    #[test]
    fn the_vector_of_a_text_never_changes() {
        let vector = HashEmbedder::new(4).unwrap().vector("tenancy");
        let near = |(x, golden): (&f32, f32)| (x - golden).abs() < 1e-5;
        assert!(vector.iter().zip(GOLDEN).all(near), "{vector:?}");
    }

    const GOLDEN: [f32; 4] = [-0.544_688, 0.267_392, 0.683_336, -0.406_040];
}
