//! Figures of several rounds, and what they come to.

/// The figures of one thing, one a round.
#[derive(Debug, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(1, 2)
    }

    pub(crate) fn low(&self) -> f64 {
        self.at(0, 1)
    }

    pub(crate) fn high(&self) -> f64 {
        self.at(1, 1)
    }

    /// Round by round, ours divided by the peer's.
    pub(crate) fn ratios(ours: &[f64], peer: &[f64]) -> Self {
        let mut ratios = Self::default();
        for (ours, peer) in ours.iter().zip(peer) {
            ratios.push(ours / peer);
        }
        ratios
    }

    fn at(&self, numerator: usize, denominator: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0
            .get(last * numerator / denominator)
            .copied()
            .unwrap_or(f64::NAN)
    }
}
