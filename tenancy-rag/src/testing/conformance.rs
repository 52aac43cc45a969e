//! What every implementation of a port must do. Each function panics with what was not kept.

use tenancy_core::TenantCtx;

use crate::{
    Chunker, Embedder, ErrorKind, Extracted, Extractor, Markup, Purpose, Upload, check_vectors,
};

const TEXTS: [&str; 5] = [
    "one",
    "two words",
    "Grüße, 世界 🦀",
    "one",
    "a\nlonger\n\ntext. With sentences.",
];

/// The suite of [`Embedder`].
///
/// # Panics
/// Where the contract is broken.
pub async fn embedder(embedder: &dyn Embedder, ctx: &TenantCtx) {
    let texts: Vec<String> = TEXTS.iter().map(ToString::to_string).collect();
    let model = embedder.model();
    for purpose in [Purpose::Passage, Purpose::Query] {
        let vectors = answer(embedder, ctx, &texts, purpose).await;
        assert!(
            check_vectors(&model, texts.len(), &vectors).is_ok(),
            "an answer is not valid"
        );
        assert!(
            near(vectors.first(), vectors.get(3)),
            "equal texts have different vectors"
        );

        let reversed: Vec<String> = texts.iter().rev().cloned().collect();
        let back = answer(embedder, ctx, &reversed, purpose).await;
        for (there, back) in vectors.iter().zip(back.iter().rev()) {
            assert!(
                near(Some(there), Some(back)),
                "the order of the answer is not the texts'"
            );
        }
    }
    assert!(
        answer(embedder, ctx, &[], Purpose::Passage)
            .await
            .is_empty(),
        "no text has a vector"
    );
    assert_eq!(embedder.model(), model, "the model changed");
}

#[expect(clippy::panic, reason = "a suite says by a panic what was not kept")]
async fn answer(
    embedder: &dyn Embedder,
    ctx: &TenantCtx,
    texts: &[String],
    purpose: Purpose,
) -> Vec<Vec<f32>> {
    match embedder.embed(ctx, texts, purpose).await {
        Ok(vectors) => vectors,
        Err(error) => panic!("the embedder failed: {error}"),
    }
}

/// Whether two vectors point the same way, but for rounding.
fn near(a: Option<&Vec<f32>>, b: Option<&Vec<f32>>) -> bool {
    let (Some(a), Some(b)) = (a, b) else {
        return false;
    };
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt() > 0.999
}

/// The suite of [`Extractor`], with an upload that it reads and words that its text must hold.
///
/// # Panics
/// Where the contract is broken.
pub async fn extractor(extractor: &dyn Extractor, ctx: &TenantCtx, upload: &Upload, words: &str) {
    assert!(
        extractor.reads(&upload.media_type),
        "it does not read its own media type"
    );
    let (Ok(first), Ok(second)) = (
        extractor.extract(ctx, upload).await,
        extractor.extract(ctx, upload).await,
    ) else {
        return assert!(words.is_empty(), "a good upload was refused");
    };
    assert_eq!(first, second, "the same bytes gave two texts");
    assert!(first.text.contains(words), "the words are not in the text");
    if first.origins == crate::Origins::Same {
        assert_eq!(
            first.text.as_bytes(),
            &*upload.bytes,
            "the text is not the upload"
        );
    }
    for cut in [1, upload.bytes.len() / 3, upload.bytes.len() / 2] {
        let part = upload.bytes.get(..cut).unwrap_or_default();
        let broken = Upload::new(upload.media_type.clone(), part);
        if let Err(error) = extractor.extract(ctx, &broken).await {
            assert_eq!(
                error.kind(),
                ErrorKind::InvalidInput,
                "a broken upload: {error}"
            );
        }
    }
}

/// The suite of [`Chunker`].
///
/// # Panics
/// Where the contract is broken.
pub fn chunker(chunker: &dyn Chunker) {
    for markup in [Markup::Plain, Markup::Markdown] {
        for text in [
            TEXTS.join("\n\n"),
            "x".repeat(20_000),
            "# A\n\n```\nfn\n```\n\n".repeat(200),
        ] {
            let extracted = Extracted::same(text, markup);
            let (first, second) = (chunker.chunk(&extracted), chunker.chunk(&extracted));
            let (Ok(first), Ok(second)) = (first, second) else {
                return assert_eq!(extracted.text, "", "a text was refused");
            };
            assert_eq!(first, second, "the same text was cut in two ways");
            assert!(
                crate::model::cut(&extracted, first).is_ok(),
                "a range is not one of the text"
            );
        }
    }
}
