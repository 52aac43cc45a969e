//! Vectors, and what an embedder's answer must look like.

use crate::{Error, ErrorKind};

/// The width of the stored vectors. Shorter ones are filled up with zeros, which changes no angle.
pub const MAX_DIMENSIONS: usize = 1536;

/// Which model makes vectors, and how long they are.
///
/// Two embedders with the same value make vectors that may be compared; any other two don't.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EmbeddingModel {
    id: String,
    dimensions: usize,
}

impl EmbeddingModel {
    /// Names a model.
    ///
    /// # Errors
    /// `model_invalid` for an empty or over-long name, or for dimensions outside 1 to
    /// [`MAX_DIMENSIONS`].
    pub fn new(id: impl Into<String>, dimensions: usize) -> Result<Self, Error> {
        let id = id.into();
        if id.is_empty() || id.len() > 200 || id.chars().any(char::is_control) {
            return Err(Error::invalid(
                "model_invalid",
                "a model needs a name of 1 to 200 bytes",
            ));
        }
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            let message = format!("{dimensions} dimensions are not between 1 and {MAX_DIMENSIONS}");
            return Err(Error::invalid("model_invalid", message));
        }
        Ok(Self { id, dimensions })
    }

    /// A model of this crate whose vectors fill the column.
    pub(crate) fn of_full_width(id: &'static str) -> Self {
        Self {
            id: id.to_owned(),
            dimensions: MAX_DIMENSIONS,
        }
    }

    /// The model's name, such as `text-embedding-3-small`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The length of its vectors.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Refuses a model that is not the one that the tenant's vectors come from.
    pub(crate) fn must_be(&self, known: &Self) -> Result<(), Error> {
        if self == known {
            return Ok(());
        }
        let message = format!(
            "the tenant's vectors come from `{}` ({}), and the embedder is `{}` ({})",
            known.id, known.dimensions, self.id, self.dimensions
        );
        Err(Error::new(
            ErrorKind::ModelMismatch,
            "model_mismatch",
            message,
        ))
    }
}

/// Checks an embedder's answer: one vector for each text, of the model's length, finite and not
/// all zero. Services run it on every answer, whatever the embedder.
///
/// # Errors
/// [`EmbeddingInvalid`](ErrorKind::EmbeddingInvalid) with the code `embedding_count`,
/// `embedding_dimensions`, `embedding_not_finite` or `embedding_zero`.
pub fn check_vectors(
    model: &EmbeddingModel,
    texts: usize,
    vectors: &[Vec<f32>],
) -> Result<(), Error> {
    let invalid =
        |code, message: String| Err(Error::new(ErrorKind::EmbeddingInvalid, code, message));
    if vectors.len() != texts {
        let message = format!(
            "the embedder answered {} vectors for {texts} texts",
            vectors.len()
        );
        return invalid("embedding_count", message);
    }
    for (at, vector) in vectors.iter().enumerate() {
        if vector.len() != model.dimensions() {
            let message = format!(
                "vector {at} has {} dimensions, and `{}` has {}",
                vector.len(),
                model.id(),
                model.dimensions()
            );
            return invalid("embedding_dimensions", message);
        }
        if !vector.iter().all(|x| x.is_finite()) {
            return invalid(
                "embedding_not_finite",
                format!("vector {at} holds NaN or infinity"),
            );
        }
        // The squares are what the database adds up: tiny numbers are zero to it.
        let norm: f32 = vector.iter().map(|x| x * x).sum();
        if !(norm.is_finite() && norm > 0.0) {
            return invalid("embedding_zero", format!("vector {at} has no direction"));
        }
    }
    Ok(())
}

/// A vector as the column stores it.
pub(crate) fn padded(mut vector: Vec<f32>) -> Vec<f32> {
    vector.resize(MAX_DIMENSIONS, 0.0);
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_vectors_that_have_a_direction_pass() {
        let model = EmbeddingModel::new("m", 2).unwrap();
        let code = |vectors: &[Vec<f32>]| check_vectors(&model, 1, vectors).unwrap_err().code();
        assert!(check_vectors(&model, 1, &[vec![0.0, 1.0]]).is_ok());
        assert_eq!(code(&[]), "embedding_count");
        assert_eq!(code(&[vec![1.0]]), "embedding_dimensions");
        assert_eq!(code(&[vec![f32::NAN, 1.0]]), "embedding_not_finite");
        assert_eq!(code(&[vec![0.0, 0.0]]), "embedding_zero");
        assert_eq!(code(&[vec![1e-30, 0.0]]), "embedding_zero");
        assert_eq!(code(&[vec![1e30, 0.0]]), "embedding_zero");
    }

    #[test]
    fn a_model_wider_than_the_column_is_refused() {
        assert!(EmbeddingModel::new("m", MAX_DIMENSIONS).is_ok());
        assert!(EmbeddingModel::new("m", MAX_DIMENSIONS + 1).is_err());
        assert!(EmbeddingModel::new("", 3).is_err());
    }
}
